"""What is left of a pruned network: each weight is traced to its place in the dense network by its value."""

from collections.abc import Iterator, Mapping
from functools import cache

from torch import Tensor, nn

from headcount.models import Model, adapter
from headcount.observation import Mismatch, UnexpectedWeight
from headcount.pruning.axes import Axis, axes
from headcount.pruning.fingerprint import decode
from headcount.pruning.network import dense, inputs, originals, template

Kept = Mapping[str, tuple[int, ...]]


@cache
def every_axis(model: Model) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of the dense network's parameters."""
    return axes(dense(model), model)


@cache
def read_axes(model: Model) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of the parameters that the dense network's output depends on."""
    if model.full_size:  # a ViT: its output depends on all
        return every_axis(model)
    net = template(model).copy()
    net.requires_grad_(requires_grad=True)
    read = _leaves(adapter(model.family).call(net, inputs(model)))
    return {name: every_axis(model)[name] for name, parameter in net.named_parameters() if parameter in read}


def _leaves(output: Tensor) -> set[Tensor]:
    """Return what a tensor was computed from, by the graph that autograd has kept."""
    found, seen, ahead = set(), set(), [output.grad_fn]
    while ahead:
        step = ahead.pop()
        if step is not None and step not in seen:
            seen.add(step)
            found |= {step.variable} if hasattr(step, "variable") else set()
            ahead += [before for before, _ in step.next_functions]
    return found


@cache
def dense_sizes(model: Model) -> dict[str, int]:
    """Return the channels of the dense network, by dimension."""
    return {
        dimension: size // len(axis)
        for name, named in read_axes(model).items()
        for axis, size in zip(named, originals(model)[name].shape, strict=True)
        for dimension in axis
    }


def trace(net: nn.Module, model: Model) -> tuple[dict[str, tuple[int, ...]], dict[str, int], list[UnexpectedWeight]]:
    """Return the surviving indices and the dense size of each dimension, and the weights that do not fit together."""
    whole, known, survivors = originals(model), read_axes(model), dict(net.named_parameters())
    unexpected = [UnexpectedWeight(name, Mismatch.GONE) for name in whole.keys() - survivors.keys()]
    unexpected += [UnexpectedWeight(name, Mismatch.NEW) for name in survivors.keys() - whole.keys()]
    kept: dict[str, tuple[int, ...]] = {}
    sizes: dict[str, int] = {}
    for name, original in whole.items():
        if name not in survivors or name not in known:
            continue
        indices, mismatch = decode(survivors[name].detach().cpu(), original)
        if mismatch:
            shapes = tuple(survivors[name].shape), tuple(original.shape)
            unexpected.append(UnexpectedWeight(name, mismatch, "", *shapes))
            continue
        for axis, size, index in zip(known[name], original.shape, indices, strict=True):
            if not axis and len(index) != size:
                unexpected.append(UnexpectedWeight(name, Mismatch.FORBIDDEN_CUT, found=(size - len(index),)))
            for dimension, part in zip(axis, _parts(index, size, len(axis)), strict=False):
                sizes[dimension] = size // len(axis)
                if kept.setdefault(dimension, part) != part:
                    unexpected.append(UnexpectedWeight(name, Mismatch.OTHER_INDICES, dimension))
    unexpected += [*_other_heads(kept, model), *_other_attributes(net)]
    return kept, sizes, sorted(unexpected, key=lambda w: (f"{w.parameter}:", w.mismatch, w.dimension, str(w.found)))


def _parts(indices: tuple[int, ...], size: int, parts: int) -> list[tuple[int, ...]]:
    """Return indices into `size` channels, dealt out to equal parts of them, each counted from its own start."""
    if parts <= 1:
        return [indices] * parts
    each = size // parts
    return [tuple(i - start for i in indices if start <= i < start + each) for start in range(0, size, each)]


def _other_heads(kept: Kept, model: Model) -> Iterator[UnexpectedWeight]:
    """Yield the blocks in which other heads have a row in a table than have channels."""
    for dimension in kept:
        kind, _, block = dimension.partition(".")
        heads = tuple(sorted({row // model.head_dim for row in kept.get(f"q.{block}", ())}))
        if kind == "heads" and kept[dimension] != heads:
            yield UnexpectedWeight(f"block {block}", Mismatch.OTHER_HEADS, dimension, kept[dimension], heads)


def _other_attributes(net: nn.Module) -> Iterator[UnexpectedWeight]:
    """Yield the layers whose own numbers are not their weight's."""
    for name, m in net.named_modules():
        if isinstance(m, nn.Linear) and m.weight.shape != (m.out_features, m.in_features):
            stated = (m.out_features, m.in_features)
            yield UnexpectedWeight(name, Mismatch.ATTRIBUTE, "", stated, tuple(m.weight.shape))
        elif isinstance(m, nn.MultiheadAttention) and m.in_proj_weight.shape != (3 * m.embed_dim, m.embed_dim):
            yield UnexpectedWeight(name, Mismatch.ATTRIBUTE, "", (m.embed_dim,), tuple(m.in_proj_weight.shape))
