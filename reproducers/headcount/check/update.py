"""What a user sets on a pruned network before it is called: head counts, and the sizes that follow from them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

#: Attributes that hold a number of heads, and those that hold all their channels.
_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads", "num_head", "num_key_value_heads")
_CHANNELS = ("all_head_size", "inner_dim", "attn_dim", "attention_dim", "hidden_size", "embed_dim", "dim")
_RATIOS = ("num_key_value_groups", "n_rep", "num_groups")
_SIZES = ("attention_head_size", "head_dim", "dim_head", "d_head")

#: An attribute of a module, and what it is set to.
Setting = tuple[nn.Module, str, int]


def settings(net: nn.Module, heads: Mapping[nn.Module, tuple[int, int, int, int]]) -> dict[str, list[Setting]]:
    """Return what may be set, the least first: the attributes' names, and the settings. "" is nothing.

    Args:
        heads: listed layer -> its heads and channels before, in each part, and now.
    """
    counts, sizes, channels = [*_ratios(net, heads)], [], []
    owners = {child: module for module in net.modules() for child in module.children()}
    for layer, (before, rows, now, left) in heads.items():
        for module in (layer, owners.get(layer, layer)):
            own = {name: value for name, value in vars(module).items() if type(value) is int}
            counts += [(module, name, now) for name in _COUNTS if own.get(name) == before]
            if before and now:
                sizes += [(module, name, left // now) for name in _SIZES if own.get(name) == rows // before]
            channels += [(module, name, left) for name in _CHANNELS if own.get(name) == rows]
    found: dict[str, list[Setting]] = {"": []}
    for chosen in (counts, [*counts, *sizes], [*counts, *sizes, *channels]):
        # Of several layers in one module the first decides: queries come before keys with fewer heads.
        kept = {(id(module), name): (module, name, value) for module, name, value in reversed(chosen)}
        found.setdefault(", ".join(dict.fromkeys(name for _, name, _ in chosen)), [*kept.values()])
    return found


def _ratios(net: nn.Module, heads: Mapping[nn.Module, tuple[int, int, int, int]]) -> Iterator[Setting]:
    """Yield settings of how many heads of queries read one of keys."""
    for module in net.modules():
        own = [heads[layer] for layer in module.children() if layer in heads]
        before, now = ([count[place] for count in own] for place in (0, 2))
        if own and min(before) < max(before) and min(now) > 0:
            for name in _RATIOS:
                if vars(module).get(name) == max(before) // min(before):
                    yield module, name, max(now) // min(now)


@contextmanager
def made(chosen: list[Setting]) -> Iterator[None]:
    """Set attributes; put them back unless what follows ends well."""
    before = [(module, name, getattr(module, name)) for module, name, _ in chosen]
    for module, name, value in chosen:
        setattr(module, name, value)
    try:
        yield
    except Exception:
        for module, name, value in before:
            setattr(module, name, value)
        raise
