"""Weights that say where they come from: each value carries its index in its low mantissa bits.

In a tensor of n float32 values the lowest `ceil(log2 n)` bits of the mantissa hold a permutation of
`range(n)`, so every value is unique by construction, whatever its sign and scale. Pruning copies
values; the index can be read back from any survivor, without trusting anyone's bookkeeping.
"""

import torch
from torch import Tensor

#: Odd, hence invertible modulo any power of two: spreads neighbours apart, so that the code averages
#: out over any row or column and does not disturb its importance.
_MULTIPLIER = 0x9E3779B1


def encode(values: Tensor) -> Tensor:
    """`values` with each one's flat index written into its low mantissa bits.

    Args:
        values: float32, non-zero and contiguous, at most 2**23 of them.
    """
    mask = _mask(values.numel())
    codes = (torch.arange(values.numel()) * _MULTIPLIER) & mask
    bits = values.flatten().view(torch.int32)
    return ((bits & ~mask) | codes.to(torch.int32)).view(torch.float32).view(values.shape)


def decode(survivor: Tensor, dense: Tensor) -> tuple[tuple[tuple[int, ...], ...], str]:
    """For each dimension, the indices of `dense` that `survivor` kept, in its own order.

    Returns:
        The indices, and "" or the reason why `survivor` is no sub-tensor of `dense`.
    """
    if survivor.dim() != dense.dim() or survivor.dtype != dense.dtype:
        return (), f"a {survivor.dtype} of shape {tuple(survivor.shape)} in place of {dense.dtype} {tuple(dense.shape)}"
    if survivor.shape == dense.shape and torch.equal(survivor, dense):
        return tuple(tuple(range(size)) for size in dense.shape), ""
    if survivor.numel() == 0:
        return (), f"nothing is left: shape {tuple(survivor.shape)}"
    flat = _indices(survivor.flatten(), dense.numel())
    known = flat < dense.numel()
    altered = int((~known).sum() + (dense.flatten()[flat[known]] != survivor.flatten()[known]).sum())
    if altered:
        return (), f"{altered} of {survivor.numel()} values are not the dense model's"
    return _coordinates(flat.view(survivor.shape), dense)


def _coordinates(flat: Tensor, dense: Tensor) -> tuple[tuple[tuple[int, ...], ...], str]:
    kept = []
    remainder = flat
    for dim, stride in enumerate(torch.empty(dense.shape, device="meta").stride()):
        coordinate = remainder // stride
        remainder = remainder % stride
        lines = coordinate.movedim(dim, 0).reshape(flat.shape[dim], -1)
        if not bool((lines == lines[:, :1]).all()):
            return (), f"dimension {dim} mixes values of several dense indices"
        kept.append(tuple(lines[:, 0].tolist()))
    return tuple(kept), ""


def _indices(values: Tensor, count: int) -> Tensor:
    mask = _mask(count)
    codes = values.contiguous().view(torch.int32).to(torch.int64) & mask
    return (codes * pow(_MULTIPLIER, -1, mask + 1)) & mask


def _mask(count: int) -> int:
    return (1 << max(count - 1, 1).bit_length()) - 1
