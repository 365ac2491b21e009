"""The weights that a user's network gets: each says where it comes from, and has its channels' importance."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headcount.check.structure import Heads, Node, Structure
from headcount.models import channel_levels, head_levels
from headcount.observation import Problem
from headcount.pruning import fingerprint, halves

#: A float32 has codes for so many values. Those of a larger tensor come again, along no dimension of it.
_CODES = 1 << 23
_PRIME = 8_388_593

#: The lines of a 16-bit tensor may be so long.
LONGEST_HALF = 1_000

#: What `halves.decode` gives: the indices that are left, of each dimension.
Place = halves.Place


def importance(structure: Structure) -> npt.NDArray[np.float64]:
    """Return the importance of each class of channels, as a factor on its squared weights."""
    found = np.ones(structure.classes)
    plain = [group for group in structure.groups if not group.of_heads]
    sizes = [group.size for group in plain]
    attentions = structure.attentions
    dims = [heads[0].size for heads in attentions]
    levels = channel_levels((*sizes, *dims))
    for group, own in zip(plain, levels[: len(plain)], strict=True):
        found[[*group.classes]] = own
    ranks = head_levels(tuple(heads[0].count for heads in attentions))
    for heads, rank, own in zip(attentions, ranks, levels[len(plain) :], strict=True):
        for node, head, dim in _channels(heads):
            found[structure.channels[node[0]][node[1]]] = np.mean([rank[h] for h in head]) * own[dim % len(own)]
    return found


def _channels(attention: tuple[Heads, ...]) -> Iterator[tuple[Node, tuple[int, ...], int]]:
    """Yield each channel of an attention's layers and of what reads them, with its heads and its place in one."""
    queries = attention[0]
    for head, out in enumerate(queries.out):
        for dim, node in enumerate(sorted(out)):
            yield node, (head,), dim
    for heads in attention:
        for part in heads.parts:
            mine = tuple(h for h, out in enumerate(queries.out) if out & heads.out[part.head])
            for dim, row in enumerate(part.rows):
                yield (((heads.parameter, 0), row), mine, dim)


def give(parameter: nn.Parameter, name: str, factors: list[npt.NDArray[np.float64] | None]) -> None:
    """Give a parameter its values, in place.

    Args:
        factors: of each dimension, the importance of its indices; None where it has none.
    """
    gain = parameter.dim() == 1 and not name.endswith("bias")
    # Gains, of norms and of branches, stay near one, to keep what they scale alive.
    values = torch.full(parameter.shape, 1.0 if gain else 0.05)
    for dim, factor in enumerate(factors):
        if factor is not None:
            root = torch.from_numpy(np.sqrt(factor)).float()
            values *= root.reshape(-1, *[1] * (values.dim() - dim - 1))
    with torch.no_grad():
        parameter.copy_(encoded(values, parameter.dtype, signed=not gain))


def encoded(values: Tensor, dtype: torch.dtype, *, signed: bool) -> Tensor:
    """Return positive values with a code in each."""
    if dtype is not torch.float32:
        return halves.encode(values, dtype, signed=signed)
    if values.numel() <= _CODES:
        return fingerprint.encode(values, signed=signed)
    codes = (torch.arange(values.numel()) % _PRIME).int()
    bits = (values.flatten().view(torch.int32) & ~(_CODES - 1)).bitwise_or_(codes)
    if signed:
        bits |= (codes & 1) << 31
    return bits.view(torch.float32).view(values.shape)


def decoded(left: Tensor, whole: Tensor) -> tuple[Place, Problem | None]:
    """Return the indices of each dimension that are left, in their order; or why it is no part of the whole."""
    if whole.dtype is not torch.float32:
        places, problem = halves.decode(left, whole)
        return (places[0] if places else ()), problem
    if whole.numel() <= _CODES:
        return fingerprint.decode(left, whole)
    if left.dim() != whole.dim() or left.dtype != whole.dtype:
        return (), Problem.ANOTHER_TENSOR
    if left.numel() == 0:
        return (), Problem.EMPTY
    if left.shape == whole.shape and torch.equal(left, whole):
        return tuple(tuple(range(size)) for size in whole.shape), None
    return _searched(left.contiguous().numpy().view(np.int32), whole.numpy().view(np.int32))


def _searched(left: npt.NDArray[np.int32], whole: npt.NDArray[np.int32]) -> tuple[Place, Problem | None]:
    """Return the same by looking at each place whose value is the first that is left."""
    for corner in np.argwhere(whole == left.flat[0]).tolist():
        kept = []
        for dim in range(whole.ndim):
            line, own = halves.line(whole, corner, dim), halves.line(left, [0] * left.ndim, dim)
            order = np.argsort(line)
            at = order[np.searchsorted(line, own, sorter=order).clip(max=len(line) - 1)]
            if not (line[at] == own).all():
                break
            kept.append(at)
        else:
            if (whole[np.ix_(*kept)] == left).all():
                return tuple(tuple(line.tolist()) for line in kept), None
    return (), Problem.MOVED_VALUES
