"""Weights that say where they come from: each value carries its index in its low mantissa bits.

In a tensor of n float32 values the lowest `ceil(log2 n)` bits of the mantissa hold a permutation of
`range(n)`, so every value is unique by construction, whatever its sign and scale. Pruning copies
values; the index can be read back from any survivor, without trusting anyone's bookkeeping.
"""

import numpy as np
import torch

from headcount.observation import Problem

#: Odd, hence invertible modulo any power of two: spreads neighbours apart, so that the code averages
#: out over any row or column and does not disturb its importance. Signed, as all 32-bit integers of torch are.
_MULTIPLIER = 0x9E3779B1 - (1 << 32)
_SIGN_MULTIPLIER = 0x85EBCA77 - (1 << 32)


def encode(values: torch.Tensor, *, signed: bool = True) -> torch.Tensor:
    """Return `values` with each one's flat index written into its low mantissa bits.

    Args:
        values: float32, positive and contiguous, at most 2**23 of them.
        signed: give half of them, spread evenly, a minus.
    """
    mask = _mask(values.numel())
    # 32-bit products wrap, and only their low bits are used.
    codes = torch.arange(values.numel(), dtype=torch.int32).mul_(_MULTIPLIER)
    # A full-size model has 86 million: each further copy of them is felt.
    bits = (values.flatten().view(torch.int32) & ~mask).bitwise_or_(codes & mask)
    if signed:
        bits |= codes.mul_(_SIGN_MULTIPLIER).bitwise_and_(-(1 << 31))
    return bits.view(torch.float32).view(values.shape)


def decode(survivor: torch.Tensor, dense: torch.Tensor) -> tuple[tuple[tuple[int, ...], ...], Problem | None]:
    """Return, for each dimension, the indices of `dense` that `survivor` kept, in its own order.

    The indices are read from one line along each dimension. Then every value is compared with the
    dense one at its place, bit by bit: a changed sign of zero counts too.

    Returns:
        The indices and None; or no indices, and why `survivor` is no sub-tensor of `dense`.
    """
    if survivor.dim() != dense.dim() or survivor.dtype != dense.dtype:
        return (), Problem.ANOTHER_TENSOR
    if survivor.numel() == 0:
        return (), Problem.EMPTY
    left, there = survivor.numpy().view(np.int32), dense.numpy().view(np.int32)
    if left.shape == there.shape and (left == there).all():
        return tuple(tuple(range(size)) for size in there.shape), None
    mask, kept = _mask(dense.numel()), []
    inverse = pow(_MULTIPLIER, -1, mask + 1)
    for dim in range(left.ndim):
        line = left[(0,) * dim + (...,) + (0,) * (left.ndim - dim - 1)]
        flat = (line & mask) * inverse & mask  # 32-bit products wrap, as in `encode`
        if flat.max() >= dense.numel():
            return (), Problem.UNKNOWN_VALUES
        kept.append(np.unravel_index(flat, dense.shape)[dim])
        there = there.take(kept[dim], dim)
    return (tuple(tuple(line.tolist()) for line in kept), None) if (there == left).all() else ((), Problem.MOVED_VALUES)


def _mask(count: int) -> int:
    return (1 << max(count - 1, 1).bit_length()) - 1
