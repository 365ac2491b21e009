"""Laws of provenance: where a weight came from can be read from it, and a change cannot hide."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from headcount.observation import Problem
from headcount.pruning.fingerprint import decode, encode
from survivors import survivors

SHAPES = st.lists(st.integers(1, 12), min_size=1, max_size=3)


@st.composite
def pruned(draw: st.DrawFn) -> tuple[Tensor, Tensor, tuple[tuple[int, ...], ...]]:
    """A synthetic tensor, what is left of it, and the indices that were kept."""
    shape = draw(SHAPES)
    scale = draw(st.floats(1e-3, 1e3))
    dense = encode(torch.full(shape, scale), signed=draw(st.booleans()))
    left, kept = draw(survivors(dense))
    return dense, left, kept


@given(SHAPES, st.booleans())
def test_values_are_unique(shape: list[int], signed: bool) -> None:
    """Law: no two values of a synthetic tensor are equal, not even but for the sign."""
    dense = encode(torch.full(shape, 0.05), signed=signed)
    assert len(set(dense.abs().flatten().tolist())) == dense.numel()


@given(pruned())
def test_indices_are_read_back(case: tuple[Tensor, Tensor, tuple[tuple[int, ...], ...]]) -> None:
    """Law: decode returns the kept indices of every dimension, in the survivor's order."""
    dense, left, kept = case
    assert decode(left, dense) == (kept, None)


@given(pruned(), st.data())
def test_no_change_goes_unnoticed(
    case: tuple[Tensor, Tensor, tuple[tuple[int, ...], ...]], data: st.DataObject
) -> None:
    """Law: with any one value replaced by another, decode gives a problem instead of indices, or other indices."""
    dense, left, kept = case
    position = data.draw(st.integers(0, left.numel() - 1))
    changed = left.clone()
    flat = changed.view(-1)
    flat[position] = data.draw(st.sampled_from([-flat[position].item(), flat[position].item() * 1.5, 0.0]))
    indices, problem = decode(changed, dense)
    assert problem or indices != kept


@given(st.integers(2, 12), st.integers(2, 12))
def test_rows_and_columns_may_not_mix(rows: int, columns: int) -> None:
    """Law: a tensor put together from several places is no survivor."""
    dense = encode(torch.full((rows, columns), 0.05))
    mixed = dense.clone()
    mixed[0, 0], mixed[-1, -1] = dense[-1, -1].item(), dense[0, 0].item()
    assert decode(mixed, dense)[1]


def test_another_kind_of_tensor() -> None:
    dense = encode(torch.full((4, 4), 0.05))
    assert decode(dense.double(), dense) == ((), Problem.ANOTHER_TENSOR)
    assert decode(dense[0], dense) == ((), Problem.ANOTHER_TENSOR)
    assert decode(dense[:0], dense) == ((), Problem.EMPTY)
    assert decode(dense[:3] * 2, dense) == ((), Problem.MOVED_VALUES)
    assert decode(encode(torch.full((8, 8), 0.05))[-4:, -4:], dense[:3]) == ((), Problem.UNKNOWN_VALUES)
