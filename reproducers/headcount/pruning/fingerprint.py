"""Weights that say where they come from: each value carries its index in its low mantissa bits.

In a tensor of n float32 values the lowest `ceil(log2 n)` bits of the mantissa hold a permutation of
`range(n)`, so every value is unique by construction, whatever its sign and scale. Pruning copies
values; the index can be read back from any survivor, without trusting anyone's bookkeeping.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bits = NDArray[np.int32]

#: Odd, hence invertible modulo any power of two: spreads neighbours apart, so that the code averages
#: out over any row or column and does not disturb its importance.
_MULTIPLIER = 0x9E3779B1
_SIGN_MULTIPLIER = 0x85EBCA77


def encode(values: Tensor, *, signed: bool = True) -> Tensor:
    """`values` with each one's flat index written into its low mantissa bits.

    Args:
        values: float32, positive and contiguous, at most 2**23 of them.
        signed: give half of them, spread evenly, a minus.
    """
    mask = _mask(values.numel())
    # 32-bit products wrap, and their low bits are all that is asked for.
    codes = torch.arange(values.numel(), dtype=torch.int32).mul_(_wrapped(_MULTIPLIER))
    # A full-size model has 86 million: each further copy of them is felt.
    bits = (values.flatten().view(torch.int32) & ~mask).bitwise_or_(codes & mask)
    if signed:
        bits |= codes.mul_(_wrapped(_SIGN_MULTIPLIER)).bitwise_and_(_wrapped(1 << 31))
    return bits.view(torch.float32).view(values.shape)


def decode(survivor: Tensor, dense: Tensor) -> tuple[tuple[tuple[int, ...], ...], str]:
    """For each dimension, the indices of `dense` that `survivor` kept, in its own order.

    The indices are read from one line along each dimension, then every value is compared with the
    dense one at its place: bit by bit, so a changed sign of zero counts too.

    Returns:
        The indices, and "" or the reason why `survivor` is no sub-tensor of `dense`.
    """
    if survivor.dim() != dense.dim() or survivor.dtype != dense.dtype:
        return (), f"a {survivor.dtype} of shape {tuple(survivor.shape)} in place of {dense.dtype} {tuple(dense.shape)}"
    if survivor.numel() == 0:
        return (), f"nothing is left: shape {tuple(survivor.shape)}"
    left, there = survivor.numpy().view(np.int32), dense.numpy().view(np.int32)
    if left.shape == there.shape and (left == there).all():
        return tuple(tuple(range(size)) for size in there.shape), ""
    layout = _layout(there.shape)
    kept = [_line(left, layout, dim) for dim in range(left.ndim)]
    if any(line is None for line in kept):
        return (), "it has values that are not the dense model's"
    for dim, line in enumerate(kept):
        there = there.take(line, dim)
    same = there == left
    if not same.all():
        wrong = left.size - int(same.sum())
        return (), f"{wrong} of {left.size} values are not the dense model's, or not in their place"
    return tuple(tuple(line.tolist()) for line in kept), ""


@dataclass(frozen=True)
class _Layout:
    """What of a dense tensor's shape is needed to read an index: `lines` picks one line along each dimension."""

    shape: tuple[int, ...]
    count: int
    mask: int
    inverse: int
    strides: tuple[int, ...]
    lines: tuple[tuple[slice | int, ...], ...]


@cache
def _layout(shape: tuple[int, ...]) -> _Layout:
    count, dims = math.prod(shape), range(len(shape))
    mask = _mask(count)
    strides = tuple(math.prod(shape[dim + 1 :]) for dim in dims)
    lines = tuple(tuple(slice(None) if other == dim else 0 for other in dims) for dim in dims)
    return _Layout(shape, count, mask, pow(_MULTIPLIER, -1, mask + 1), strides, lines)


def _line(bits: Bits, layout: _Layout, dim: int) -> Any:
    """Dense indices along one dimension, at the first position of all others, an array; None if there is none."""
    flat = bits[layout.lines[dim]] & layout.mask
    flat *= layout.inverse  # 32-bit products wrap, and their low bits are all that is asked for
    flat &= layout.mask
    if flat.max() >= layout.count:
        return None
    if dim < len(layout.shape) - 1:
        flat //= layout.strides[dim]
    if dim:
        flat %= layout.shape[dim]
    return flat


def _wrapped(value: int) -> int:
    """A 32-bit pattern as the signed integer that has it."""
    return value - (1 << 32) if value >= 1 << 31 else value


def _mask(count: int) -> int:
    return (1 << max(count - 1, 1).bit_length()) - 1
