"""A fused projection taken apart in three chunks, then into heads."""

from torch import Tensor

from headcount.models.fused import Fused


def apart(fused: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Q, k and v of the one projection's output."""
    batch, tokens, channels = fused.shape
    sizes = (batch, tokens, heads, channels // (3 * heads))
    return tuple(part.reshape(sizes).transpose(1, 2) for part in fused.chunk(3, dim=-1))


ADAPTER = Fused(apart)
