"""A fused projection taken apart as older timm does: one reshape, then qkv[0], qkv[1], qkv[2]."""

from torch import Tensor

from headcount.models.fused import Fused


def apart(fused: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Q, k and v of the one projection's output."""
    batch, tokens, channels = fused.shape
    qkv = fused.reshape(batch, tokens, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4)
    return qkv[0], qkv[1], qkv[2]


ADAPTER = Fused(apart)
