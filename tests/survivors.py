"""What pruning may leave of a tensor, for laws of provenance."""

import torch
from hypothesis import strategies as st
from torch import Tensor


@st.composite
def survivors(draw: st.DrawFn, dense: Tensor) -> tuple[Tensor, tuple[tuple[int, ...], ...]]:
    """Some of a tensor along each dimension, in any order, and the indices that were kept."""
    kept = tuple(
        tuple(draw(st.lists(st.sampled_from(range(size)), min_size=1, max_size=size, unique=True)))
        for size in dense.shape
    )
    left = dense
    for dim, indices in enumerate(kept):
        left = left.index_select(dim, torch.tensor(indices))
    return left, kept
