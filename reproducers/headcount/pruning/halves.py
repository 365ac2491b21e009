"""Weights of 16 bits that say where they come from. Too few for an index of each value: no line has a value twice.

A value's sign, its mantissa and, where a line is long, the last bits of its exponent hold a code. It is the product of
all coordinates, each counted from 1, modulo a prime that is larger than any of them: along one dimension no code comes
twice. What is left of the exponent follows the value's scale, now up and now down. From one value of a survivor there
are few places that it may have come from; the lines through such a place are the survivor's own, or it is none.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headcount.observation import Problem

#: The indices that are left, of each dimension, in the survivor's order.
Place = tuple[tuple[int, ...], ...]

#: The bits of a mantissa, and what an exponent of 0 is written as.
_FORMATS = {torch.bfloat16: (7, 127), torch.float16: (10, 15)}

#: The exponents that a scale may have: products of such values stay finite, and far from 0.
_EXPONENTS = (-8, 1)

#: Spreads neighbours apart.
_MULTIPLIER = 0x9E3779B1


def encode(values: torch.Tensor, dtype: torch.dtype, *, signed: bool = True) -> torch.Tensor:
    """Return values of 16 bits, about as large as `values`, with a code in each that is unlike all others of its lines.

    Args:
        values: positive, of less than 1000 along each dimension.
        dtype: bfloat16 or float16.
        signed: half of them get a minus.
    """
    mantissa, zero = _FORMATS[dtype]
    longest = max(values.shape, default=1)
    bits = max(mantissa + signed, longest.bit_length())
    if longest >= _prime(bits):
        bits += 1
    codes = _codes(tuple(values.shape), _prime(bits))
    high, every = codes >> (mantissa + signed), 1 << (bits - mantissa - signed)
    wanted = np.log2(values.numpy()) + (_dither(values.numel()).reshape(values.shape) if signed else 0)
    exponent = np.floor(wanted).astype(np.int64).clip(*_EXPONENTS)
    exponent -= (exponent - high) % every
    sign = (codes & signed) << 15
    written = sign | (exponent + zero) << mantissa | (codes >> signed) & ((1 << mantissa) - 1)
    return torch.from_numpy(written.astype(np.uint16).view(np.int16)).view(dtype)


def decode(survivor: torch.Tensor, dense: torch.Tensor) -> tuple[list[Place], Problem | None]:
    """Return all places of `dense` that `survivor` may have come from, bit by bit; or why it is no sub-tensor of it.

    There are several only where next to nothing is left.
    """
    if survivor.dim() != dense.dim() or survivor.dtype != dense.dtype:
        return [], Problem.ANOTHER_TENSOR
    if survivor.numel() == 0:
        return [], Problem.EMPTY
    left, there = (tensor.contiguous().view(torch.int16).numpy() for tensor in (survivor, dense))
    if left.shape == there.shape and (left == there).all():
        return [tuple(tuple(range(size)) for size in there.shape)], None
    if not np.isin(left, there).all():
        return [], Problem.UNKNOWN_VALUES
    places = [*_places(left, there)]
    return places, None if places else Problem.MOVED_VALUES


def _places(left: npt.NDArray[np.int16], there: npt.NDArray[np.int16]) -> Iterator[Place]:
    """Yield each place with the first survivor at its corner, and all others where its lines say."""
    for corner in np.argwhere(there == left.flat[0]).tolist():
        kept = []
        for dim in range(there.ndim):
            found = line(there, corner, dim)[:, None] == line(left, [0] * left.ndim, dim)
            if not found.any(0).all():
                break
            kept.append(found.argmax(0))
        else:
            if (there[np.ix_(*kept)] == left).all():
                yield tuple(tuple(line.tolist()) for line in kept)


def line(values: npt.NDArray[Any], corner: Sequence[int], dim: int) -> npt.NDArray[Any]:
    """Return the values along one dimension, through a corner."""
    through: Any = (*corner[:dim], slice(None), *corner[dim + 1 :])
    found: npt.NDArray[Any] = values[through]
    return found


def _codes(shape: tuple[int, ...], prime: int) -> npt.NDArray[np.int64]:
    """Return each place's code, below the prime and not 0."""
    codes = np.full(shape, _MULTIPLIER % prime, np.int64)
    for line in np.ogrid[tuple(slice(1, size + 1) for size in shape)]:
        codes = codes * line % prime
    return codes


def _dither(count: int) -> npt.NDArray[np.float64]:
    """Return numbers from 0 to 1 without an order: with them a scale between two powers of two is either in turn."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_MULTIPLIER) & np.uint64(0xFFFFFFFF)
    mixed = (mixed ^ mixed >> np.uint64(15)) * np.uint64(0x2C1B3C6D) & np.uint64(0xFFFFFFFF)
    return mixed / float(1 << 32)


@cache
def _prime(bits: int) -> int:
    """Return the largest prime with so many bits."""
    return next(n for n in range((1 << bits) - 1, 1, -1) if all(n % d for d in range(2, int(n**0.5) + 1)))
