"""What the documentation promises for a cell, by arithmetic alone.

Nothing here has ever seen a pruner: an `Expectation` is computed from the model's numbers and the
call's parameters, with exact fractions. Where the documentation leaves a choice, every choice is in
the sets of allowed counts, and a comment says which choice it is. The rules are numbered as in the
design; upstream's sentences are quoted where they decide something.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from headcount.matrix.config import REDUCED, Config, Criterion, Scope, Second
from headcount.models import FAMILIES, Model, synthetic_channels, synthetic_heads

Counts = frozenset[int]


@dataclass(frozen=True)
class Total:
    """Channels or heads that are ranked together: how many of them may be kept in all."""

    name: str
    roles: tuple[str, ...]
    kept: Counts


@dataclass(frozen=True)
class Expectation:
    """What may be left of a model. Counts are of what is kept.

    Attributes:
        queries: heads of queries that read each head of keys and values, in the dense model.
        head_dim: channels per head of the dense model: which head a channel belongs to.
        listed: the projections in `num_heads`, whose count the pruner reports (rule 2).
        may_refuse: an exception is a proper answer to this call (rule 10).
        may_leave: so is leaving the whole model as it was.
        heads: per block, the allowed head counts (rules 3, 4).
        head_dims: per block, the allowed channels per head (rules 4, 5).
        channels: `width`, `labels` and `mlp.N` -> the allowed counts (rule 5).
        head_total: over the blocks that are ranked together, or None (rule 3, global).
        channel_totals: likewise for channels; a block's head dims have the role `dims.N` (rule 5).
        head_importance: per block and head, or None where the criterion cannot be planted (rule 7).
        across: whether heads of different blocks compete in the planted order (rule 7, global).
        groups: whether those that read the same keys and values compete with others as the planted ones (rule 7).
        channel_importance: role -> importance of each channel, for the roles that can be planted.
        round_to: kept channels are a multiple of it (rule 10); head dims per head or per layer.
    """

    queries: int
    head_dim: int
    listed: str
    may_refuse: bool
    may_leave: bool
    heads: tuple[Counts, ...]
    head_dims: tuple[Counts, ...]
    channels: Mapping[str, Counts]
    head_total: Total | None
    channel_totals: tuple[Total, ...]
    head_importance: tuple[tuple[float, ...], ...] | None
    across: bool
    groups: bool
    channel_importance: Mapping[str, tuple[float, ...]]
    round_to: int | None


@cache  # every build is expected the same
def expect(model: Model, config: Config) -> Expectation:
    """The expectation of a cell: one pruner, or two in a row on the same model."""
    nonsense = not 0 <= config.head_pruning_ratio <= 1
    if nonsense:
        # "Refused" may also be read as brought into range, as a release does with min(ratio, 1).
        config = replace(config, head_pruning_ratio=min(max(config.head_pruning_ratio, Fraction(0)), Fraction(1)))
    rounds = 2 if config.second is Second.SAME else 1
    ranked = config.importance in _RANKED
    once = config.iterative_steps * rounds == 1
    family = FAMILIES[model.family]
    return Expectation(
        queries=family.queries_per_kv,
        head_dim=model.head_dim,
        listed="" if _as_groups(model, config) else config.num_heads,
        may_refuse=nonsense or config.head_pruning_ratio == 1,
        # A ViT has no batch norm to take a scale from, and no sentence says what then.
        may_leave=nonsense or config.importance is Criterion.BN_SCALE,
        heads=_heads(model, config, rounds),
        head_dims=_head_dims(model, config, rounds),
        channels=_channels(model, config, rounds),
        head_total=_head_total(model, config, rounds),
        channel_totals=_channel_totals(model, config, rounds),
        # Where attention is one with the residual stream, a head goes in all blocks, or none: by which one's order?
        head_importance=synthetic_heads(model) if ranked and not family.uses_multihead_attention else None,
        # A second step ranks by the means of what the first one left, which no one has planted.
        across=config.importance in _RANKED_ACROSS and config.global_pruning and once and family.queries_per_kv == 1,
        groups=ranked and once and family.queries_per_kv > 1,
        channel_importance=_channel_importance(model) if ranked else {},
        round_to=config.round_to,
    )


#: Criteria under which a larger planted factor is a larger score. FPGM looks for the median,
#: OBDC and activation at what the data do, BN scale at layers that a ViT has none of.
_RANKED = {
    *(Criterion.MAGNITUDE, Criterion.GROUP_NORM, Criterion.L1, Criterion.LAMP, Criterion.TAYLOR, Criterion.HESSIAN),
    # Whichever layer of a group is looked at: what is planted into one is planted into all.
    *REDUCED,
}

#: Those whose scores of different layers compare as planted: plain norms over the layer's mean.
#: LAMP is "layer-adaptive", and a power of the norm shifts the layers' means.
_RANKED_ACROSS = {Criterion.MAGNITUDE, Criterion.GROUP_NORM}


def prunes_heads(config: Config) -> bool:
    """Whether some block is to lose heads."""
    ratios = [config.head_pruning_ratio, *(ratio for _, ratio in config.head_pruning_ratio_dict)]
    return config.prune_num_heads and any(ratio > 0 for ratio in ratios)


# --- counts ------------------------------------------------------------------------------------


def kept(count: int, ratio: Fraction, at_least: int = 1) -> Counts:
    """How many of `count` may be left when a share `ratio` of them goes.

    Between floor(count * ratio) and its ceiling may go: upstream's releases use either, and no
    sentence says which. `at_least` are left unless all are to go, even against the ratio. Where all
    are to go, none may: check_pruning_group is there to "avoid over-pruning, i.e., channels=0".
    """
    if ratio >= 1:
        return frozenset({0, min(at_least, count), count})
    floor = min(at_least, count)
    return frozenset(max(count - gone, floor) for gone in (math.floor(count * ratio), math.ceil(count * ratio)))


def kept_from(counts: Iterable[int], ratio: Fraction, at_least: int = 1, rounds: int = 1) -> Counts:
    """`kept` applied `rounds` times, to every count that may be there already."""
    current = frozenset(counts)
    for _ in range(rounds):
        current = frozenset(left for count in current for left in kept(count, ratio, at_least))
    return current


def span(counts: Iterable[int]) -> Counts:
    """Every count between the smallest and the largest."""
    counts = tuple(counts)
    return frozenset(range(min(counts), max(counts) + 1))


# --- heads: rules 3 and 4 ----------------------------------------------------------------------


def _heads(model: Model, config: Config, rounds: int) -> tuple[Counts, ...]:
    return tuple(_block_heads(model, config, rounds, index) for index in range(model.layers))


def _block_heads(model: Model, config: Config, rounds: int, index: int) -> Counts:
    if not _prunes_heads(config, index) or _as_groups(model, config):
        return frozenset({model.heads_of(index)})
    stays = _unlisted(config, model.heads_of(index)) | _untold(model, model.heads_of(index))
    if FAMILIES[model.family].uses_multihead_attention and _width_stays(config):
        return stays
    return _block_heads_pruned(model, config, rounds, index) | stays


def _unlisted(config: Config, count: int) -> Counts:
    """Upstream's examples list q, k and v; whether attention with fewer listed is pruned at all, no sentence says."""
    return frozenset() if config.num_heads == "qkv" else frozenset({count})


def _untold(model: Model, count: int) -> Counts:
    """Heads that may stay for want of a sentence that says that they go.

    A table with numbers for each head is no layer, and does not go with one. nn.MultiheadAttention is one, which
    upstream's torchvision example prunes as a group of channels, never by its heads.
    """
    return frozenset({count}) if _may_keep_heads(model) else frozenset()


def _may_keep_heads(model: Model) -> bool:
    return FAMILIES[model.family].relative_position_bias or FAMILIES[model.family].uses_multihead_attention


def _as_groups(model: Model, config: Config) -> bool:
    """Whether attention is named as a layer with groups of channels, not of heads: nothing is said of these then."""
    return FAMILIES[model.family].uses_multihead_attention and config.documented


def _width_stays(config: Config) -> bool:
    """Ignored layers keep their outputs; the output projection and the second MLP layer write the width."""
    return "residual_outputs" in config.ignored_layers


def _block_heads_pruned(model: Model, config: Config, rounds: int, index: int) -> Counts:
    ratio, heads = _head_ratio(config, index), model.heads_of(index)
    if _own_head_ratio(config, index) or not config.global_pruning:
        # "max_pruning_ratio (float): the maximum pruning ratio": whether it bounds heads too is open.
        capped = _kept_heads(model, heads, min(ratio, config.max_pruning_ratio), rounds)
        free = _kept_heads(model, heads, ratio, rounds)
        return span(capped | free) if capped != free else free
    return frozenset(range(1 if ratio < 1 else 0, heads + 1))


def _kept_heads(model: Model, heads: int, ratio: Fraction, rounds: int) -> Counts:
    """Heads left in a block. Those that read one head of keys and values are repeats of it: as many of each must go.

    So the ratio may be rounded in each such group; or whole groups may go, with what they read.
    """
    queries = FAMILIES[model.family].queries_per_kv
    whole = kept_from({heads}, ratio, rounds=rounds)
    if queries == 1:
        return whole
    return whole | {heads // queries * left for left in kept_from({queries}, ratio, rounds=rounds)}


def _prunes_heads(config: Config, index: int) -> bool:
    """Whether a block may lose heads at all. "prune_num_heads (bool): remove entire heads"."""
    return config.prune_num_heads and f"qkv.{index}" not in config.ignored_layers and _head_ratio(config, index) > 0


def _head_ratio(config: Config, index: int) -> Fraction:
    own = _own_head_ratio(config, index)
    return config.head_pruning_ratio if own is None else own


def _own_head_ratio(config: Config, index: int) -> Fraction | None:
    """A block's own ratio: "head_pruning_ratio_dict (Dict[nn.Module, float]): layer-specific head pruning ratio"."""
    for scope, ratio in config.head_pruning_ratio_dict:
        if any(role.partition(".")[2] == str(index) for role in scope):
            return ratio
    return None


def _head_total(model: Model, config: Config, rounds: int) -> Total | None:
    """Global: the blocks without a ratio of their own share one total. One head a block wins over it."""
    ranked = [
        index
        for index in range(model.layers)
        if _prunes_heads(config, index) and _own_head_ratio(config, index) is None
    ]
    if not config.global_pruning or not ranked:
        return None
    total = sum(model.heads_of(index) for index in ranked)
    free = kept_from({total}, config.head_pruning_ratio, len(ranked), rounds)
    capped = kept_from({total}, min(config.head_pruning_ratio, config.max_pruning_ratio), len(ranked), rounds)
    allowed = span(free | capped) if free != capped or config.head_pruning_ratio == 1 else free
    # Each block's heads come in groups that read one of keys and values: it may be off by less than one for each.
    slack = sum(heads // FAMILIES[model.family].queries_per_kv - 1 for heads in map(model.heads_of, ranked))
    if FAMILIES[model.family].queries_per_kv > 1:
        allowed = frozenset(range(min(allowed) - slack, min(max(allowed) + slack, total) + 1))
    if config.num_heads != "qkv" or _may_keep_heads(model):
        allowed = span(allowed | {total})
    return Total("heads", tuple(f"heads.{index}" for index in ranked), allowed)


# --- channels: rules 4, 5 and 10 ---------------------------------------------------------------


def _head_dims(model: Model, config: Config, rounds: int) -> tuple[Counts, ...]:
    if FAMILIES[model.family].uses_multihead_attention and _width_stays(config):
        return (frozenset({model.head_dim}),) * model.layers
    if _as_groups(model, config):
        dims = _channel_counts(model.head_dim, config, rounds, "width")
        return (dims if config.prune_head_dims else dims | {model.head_dim},) * model.layers
    return tuple(
        _channel_counts(model.head_dim, config, rounds, f"dims.{index}", loose=True) | _unlisted(config, model.head_dim)
        if config.prune_head_dims and f"qkv.{index}" not in config.ignored_layers
        else frozenset({model.head_dim})
        for index in range(model.layers)
    )


def _channels(model: Model, config: Config, rounds: int) -> dict[str, Counts]:
    channels = {"labels": frozenset({model.labels})} if model.labels else {}
    for role, width in model.widths.items():
        channels[role] = frozenset({width}) if _width_stays(config) else _channel_counts(width, config, rounds, role)
    if FAMILIES[model.family].uses_multihead_attention and not _width_stays(config):
        # The layer takes its heads' channels to be those of the width: what is left of them decides.
        attention = zip(_heads(model, config, rounds), _head_dims(model, config, rounds), strict=True)
        channels["width"] = frozenset(h * d for heads, dims in attention for h in heads for d in dims)
    if config.documented and not FAMILIES[model.family].uses_multihead_attention:
        # "root_module_types (list): types of prunable modules": the convolution that begins the width is of none.
        channels["width"] |= {model.width}
    if not model.labels:
        # A bare backbone's output is its width: whether a model's own outputs may go, no sentence says.
        last = model.width_of(model.layers - 1)
        channels[last] |= {model.widths[last]}
    # The model's own code takes what is read through a layer to be as wide as what the layer reads: any count will do
    # with which it runs.
    channels |= {role: frozenset(range(1, width + 1)) for role, width in model.reduced.items()}
    for index in range(model.layers):
        channels[f"mlp.{index}"] = _channel_counts(model.mlp_of(index), config, rounds, f"mlp.{index}")
    return channels


def _channel_counts(size: int, config: Config, rounds: int, role: str, *, loose: bool = False) -> Counts:
    """Allowed counts of one role on its own; what is ranked together has a `Total` besides.

    Args:
        loose: head dims. A cap or a rounding may count a head's channels or its layer's, so any
            count up to the target is accepted and the multiple is checked where heads are known.
    """
    if _ranked_together(config, role):
        smallest = size - math.ceil(size * min(Fraction(1), config.max_pruning_ratio))
        return frozenset(range(max(smallest, 1), size + 1))
    ratio = min(_channel_ratio(config, role), config.max_pruning_ratio)
    allowed = kept_from({size}, ratio, rounds=rounds)
    if loose and (config.max_pruning_ratio < 1 or config.round_to):
        return frozenset(range(1, size + 1)) if config.round_to else frozenset(range(min(allowed), size + 1))
    return _rounded(allowed, size, config.round_to)


def _rounded(allowed: Counts, size: int, multiple: int | None) -> Counts:
    """Up or down: "round channels to the nearest multiple of round_to". A layer left alone may stay.

    So may one that no multiple fits into.
    """
    if multiple is None:
        return allowed
    near = {n for n in range(multiple, size + 1, multiple) for target in allowed if abs(n - target) < multiple}
    return frozenset(near | ({size} if size in allowed or not near else set()))


def _channel_ratio(config: Config, role: str) -> Fraction:
    own = _channel_scope(config, role)
    return config.pruning_ratio if own is None else own[1]


def _channel_scope(config: Config, role: str) -> tuple[Scope, Fraction] | None:
    """A role's own ratio: "layer-specific pruning ratio. Will cover pruning_ratio if specified"."""
    return next((item for item in config.pruning_ratio_dict if role in item[0]), None)


def _ranked_together(config: Config, role: str) -> bool:
    own = _channel_scope(config, role)
    if own is not None:
        return len(own[0]) > 1
    # "isomorphic (bool): enable isomorphic pruning": whether that needs global_pruning=True is said
    # in one place and not in another, so without it both rankings are accepted.
    return config.global_pruning or config.isomorphic


def _channel_totals(model: Model, config: Config, rounds: int) -> tuple[Total, ...]:
    sizes = _ranked_sizes(model, config)
    totals = [
        _total(" and ".join(scope), {role: sizes[role] for role in scope}, ratio, config, rounds)
        for scope, ratio in config.pruning_ratio_dict
        if len(scope) > 1
    ]
    default = {
        role: size
        for role, size in sizes.items()
        if _ranked_together(config, role) and _channel_scope(config, role) is None
    }
    if config.isomorphic and default:
        # Same structure, same scope: the width by itself, all MLPs, all attentions.
        kinds = sorted({role.partition(".")[0] for role in default})
        scopes = [{role: size for role, size in default.items() if role.partition(".")[0] == kind} for kind in kinds]
    else:
        scopes = [default] if default else []
    # Whether what has to be as wide as another counts among all channels, or what is of no root type, no sentence says.
    if FAMILIES[model.family].uses_multihead_attention and default:
        mlps = frozenset(role for role in default if not role.startswith("mlp."))
        return (*totals, _total("all channels", default, config.pruning_ratio, config, rounds, stays=mlps))
    if model.reduced or config.documented:
        return tuple(totals)
    totals += [_default_total(model, scope, config, rounds) for scope in scopes]
    return tuple(total for total in totals if total.roles)


def _default_total(model: Model, sizes: dict[str, int], config: Config, rounds: int) -> Total:
    """The total of what has no ratio of its own; a bare backbone's width may be in it, or stay as it is."""
    total = _total("all channels", sizes, config.pruning_ratio, config, rounds)
    last = model.width_of(model.layers - 1)
    if model.labels or last not in sizes:
        return total
    others = _total("all channels", sizes, config.pruning_ratio, config, rounds, stays=frozenset({last}))
    return replace(total, kept=total.kept | {left + sizes[last] for left in others.kept})


def _ranked_sizes(model: Model, config: Config) -> dict[str, int]:
    """Everything that can lose channels: role -> entries in a ranking; a head dim goes in all heads at once."""
    sizes = {} if _width_stays(config) else dict(model.widths)
    for index in range(model.layers):
        sizes[f"mlp.{index}"] = model.mlp_of(index)
        if f"qkv.{index}" not in config.ignored_layers:
            sizes[f"dims.{index}"] = model.head_dim
    return sizes


def _total(  # noqa: PLR0913 - what is ranked, and how
    name: str,
    sizes: dict[str, int],
    ratio: Fraction,
    config: Config,
    rounds: int,
    *,
    stays: frozenset[str] = frozenset(),
) -> Total:
    """What may be left of channels that are ranked together, but for roles that stay whole.

    With `prune_head_dims=False` the head dims may be in the ranking without ever going, or not be
    in it: "global channel sparsity" does not say. Rounding moves each role by less than a multiple.
    """
    bystanders = stays | {role for role in sizes if role.startswith("dims.") and not config.prune_head_dims}
    prunable = {role: size for role, size in sizes.items() if role not in bystanders}
    count, idle = sum(prunable.values()), sum(sizes[role] for role in bystanders)
    at_least = len(prunable)
    alone = kept_from({count}, ratio, at_least, rounds)
    among = kept_from({count + idle}, ratio, at_least, rounds)
    # Among bystanders: of those that go, up to `idle` may fall on them and stay after all.
    allowed = alone | {left for both in among for left in range(both - idle, both + 1)}
    if config.isomorphic and not config.global_pruning:
        each = [kept_from({size}, ratio, 1, rounds) for size in prunable.values()]
        allowed |= {sum(map(min, each)), sum(map(max, each))}
    slack = (config.round_to - 1) * len(prunable) if config.round_to else 0
    low, high = max(min(allowed) - slack, at_least), max(allowed) + slack
    if config.max_pruning_ratio < 1:
        # Each role is bounded by itself, so their sum may fall short of the ratio, down to the maximum.
        high = sum(size - math.floor(size * min(ratio, config.max_pruning_ratio)) for size in prunable.values())
    if config.num_heads != "qkv":
        high = max(high, max(allowed) + sum(size for role, size in prunable.items() if role.startswith("dims.")))
    return Total(name, tuple(prunable), frozenset(range(low, min(high, count) + 1)))


def _channel_importance(model: Model) -> dict[str, tuple[float, ...]]:
    widths = {} if FAMILIES[model.family].uses_multihead_attention else model.widths  # there they go as head dims, or with heads
    importance = {role: synthetic_channels(width, 0) for role, width in widths.items()}
    for index in range(model.layers):
        importance[f"dims.{index}"] = synthetic_channels(model.head_dim, 1)
        importance[f"mlp.{index}"] = synthetic_channels(model.mlp_of(index), 2 + index)
    return importance
