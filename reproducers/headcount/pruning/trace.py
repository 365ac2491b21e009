"""What is left of a pruned network: each weight is traced to its place in the dense network by its value."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from torch import Tensor, float32, nn

from headcount.matrix import Precision
from headcount.models import Model, adapter
from headcount.observation import Problem, UnexpectedWeight
from headcount.pruning import fingerprint, halves, network

Kept = Mapping[str, tuple[int, ...]]


@cache
def read_axes(model: Model) -> dict[str, tuple[network.Axis, ...]]:
    """Return the axes of the parameters that the dense network's output depends on."""
    known = network.axes(network.dense(model), model)
    if model.full_size and model.family == Model.family:  # a ViT: its output depends on all
        return known
    net = network.copied(model)
    net.requires_grad_(requires_grad=True)
    read = _leaves(adapter(model.family).call(net, network.inputs(model)))
    return {name: known[name] for name, parameter in net.named_parameters() if parameter in read}


def _leaves(output: Tensor) -> set[Tensor]:
    """Return what a tensor was computed from, by the graph that autograd has kept."""
    seen, ahead = set(), [output.grad_fn]
    while ahead:
        step = ahead.pop()
        if step is not None and step not in seen:
            seen.add(step)
            ahead += [before for before, _ in step.next_functions]
    return {step.variable for step in seen if hasattr(step, "variable")}


@cache
def dense_sizes(model: Model) -> dict[str, int]:
    """Return the channels of the dense network, by dimension."""
    return {
        dimension: size // len(axis)
        for name, named in read_axes(model).items()
        for axis, size in zip(named, network.originals(model)[name].shape, strict=True)
        for dimension in axis
    }


def trace(
    net: nn.Module, model: Model, precision: Precision = Precision.FLOAT32
) -> tuple[dict[str, tuple[int, ...]], list[UnexpectedWeight]]:
    """Return the surviving indices of each dimension, and the weights that do not fit together."""
    whole, known, survivors = network.originals(model, precision), read_axes(model), dict(net.named_parameters())
    unexpected = [
        UnexpectedWeight(name, Problem.GONE if name in whole else Problem.NEW)
        for name in whole.keys() ^ survivors.keys()
    ]
    kept: dict[str, tuple[int, ...]] = {}
    lefts = {name: survivors[name].detach().cpu() for name in known if name in survivors}
    read = {name: _places(left, whole[name]) for name, left in lefts.items()}
    # What may come from several places comes last: then it is known what others of its dimensions have left.
    for name, (places, problem) in sorted(read.items(), key=lambda item: len(item[1][0]) > 1):
        left, original = lefts[name], whole[name]
        if problem:
            unexpected.append(UnexpectedWeight(name, problem, "", tuple(left.shape), tuple(original.shape)))
            continue
        indices = min(places, key=lambda place: _strangeness(place, known[name], original, kept))
        for axis, size, index in zip(known[name], original.shape, indices, strict=True):
            if not axis and len(index) != size:
                unexpected.append(UnexpectedWeight(name, Problem.FORBIDDEN_CUT, found=(size - len(index),)))
            for dimension, part in zip(axis, _parts(index, size, len(axis)), strict=False):
                if kept.setdefault(dimension, part) != part:
                    unexpected.append(UnexpectedWeight(name, Problem.OTHER_INDICES, dimension))
    return kept, sorted(
        [*unexpected, *_other_heads(kept, model), *other_attributes(net)],
        key=lambda w: (f"{w.parameter}:", w.problem, w.dimension, str(w.found)),
    )


def _places(left: Tensor, original: Tensor) -> tuple[list[halves.Place], Problem | None]:
    """Return the indices of each dimension that are left; of 16-bit values there may be several answers."""
    if original.dtype is not float32:
        return halves.decode(left, original)
    indices, problem = fingerprint.decode(left, original)
    return [indices], problem


def _strangeness(place: halves.Place, axes: tuple[network.Axis, ...], original: Tensor, kept: Kept) -> tuple[int, int]:
    """Return in how many ways a place is unlike what others have left, and in how many dimensions out of order."""
    unlike = sum(
        kept.get(dimension, part) != part
        for axis, size, index in zip(axes, original.shape, place, strict=True)
        for dimension, part in zip(axis, _parts(index, size, len(axis)), strict=False)
    )
    return unlike, sum(list(index) != sorted(index) for index in place)


def _parts(indices: tuple[int, ...], size: int, parts: int) -> list[tuple[int, ...]]:
    """Return indices into `size` channels, dealt out to equal parts of them, each counted from its own start."""
    if parts <= 1:
        return [indices] * parts
    each = size // parts
    return [tuple(i - start for i in indices if start <= i < start + each) for start in range(0, size, each)]


def _other_heads(kept: Kept, model: Model) -> Iterator[UnexpectedWeight]:
    """Yield the blocks in which other heads have a row in a table than have channels."""
    for block in range(model.layers):
        heads = tuple(sorted({row // model.head_dim for row in kept.get(f"q.{block}", ())}))
        table = kept.get(f"heads.{block}", heads)
        if table != heads:
            yield UnexpectedWeight(f"block {block}", Problem.OTHER_HEADS, f"heads.{block}", table, heads)


def other_attributes(net: nn.Module) -> Iterator[UnexpectedWeight]:
    """Yield the layers whose own numbers are not their weight's."""
    for name, layer in net.named_modules():
        for kind, sizes in _OWN_SIZES.items():
            if isinstance(layer, kind) and (weight := _weight(layer)) is not None and sizes(layer) != weight.shape:
                yield UnexpectedWeight(name, Problem.ATTRIBUTE, "", sizes(layer), tuple(weight.shape))


def _weight(layer: nn.Module) -> Tensor | None:
    """Return a layer's weight; None of one that has none."""
    found = getattr(layer, "in_proj_weight" if isinstance(layer, nn.MultiheadAttention) else "weight", None)
    return found if isinstance(found, Tensor) else None


#: Kind of layer -> its weight's shape, by its own numbers.
_OWN_SIZES: Mapping[type[nn.Module], Callable[[Any], tuple[int, ...]]] = {
    nn.Linear: lambda m: (m.out_features, m.in_features),
    nn.Conv2d: lambda m: (m.out_channels, m.in_channels // m.groups, *m.kernel_size),
    nn.Embedding: lambda m: (m.num_embeddings, m.embedding_dim),
    nn.LayerNorm: lambda m: tuple(m.normalized_shape),
    nn.BatchNorm2d: lambda m: (m.num_features,),
    nn.MultiheadAttention: lambda m: (3 * m.embed_dim, m.embed_dim),
}
