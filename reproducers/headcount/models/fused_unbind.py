"""A fused projection taken apart as timm does: one reshape, then unbind."""

from torch import Tensor

from headcount.models.fused import Fused


def apart(fused: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Q, k and v of the one projection's output."""
    batch, tokens, channels = fused.shape
    return fused.reshape(batch, tokens, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4).unbind(0)


ADAPTER = Fused(apart)
