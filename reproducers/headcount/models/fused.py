"""Attention whose three projections are one layer, as in timm. Each family takes it apart in another way."""

from collections.abc import Callable

from torch import Tensor, nn

from headcount.models import own
from headcount.models.isotropic import Block
from headcount.models.model import Model

#: (batch, tokens, three times all heads' channels), heads -> q, k and v, each (batch, heads, tokens, head dim).
Apart = Callable[[Tensor, int], tuple[Tensor, ...]]


class Attention(nn.Module):
    """Multi-head attention on one projection."""

    def __init__(self, model: Model, apart: Apart) -> None:
        """Build attention as wide as the residual stream."""
        super().__init__()
        self.num_heads, self.head_dim, self.apart = model.heads, model.head_dim, apart
        self.qkv = nn.Linear(model.width, 3 * model.width)
        self.proj = nn.Linear(model.width, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        q, k, v = self.apart(self.qkv(tokens), self.num_heads)
        weights = (q @ k.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
        read: Tensor = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return read


def _heads(fused: Tensor, heads: int) -> Tensor:
    """Return it as (3, batch, heads, tokens, head dim)."""
    batch, tokens, channels = fused.shape
    return fused.reshape(batch, tokens, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4)


def _unbind(fused: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Take it apart as timm does: one reshape, then unbind."""
    return _heads(fused, heads).unbind(0)


def _index(fused: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Take it apart as older timm does: one reshape, then qkv[0], qkv[1], qkv[2]."""
    qkv = _heads(fused, heads)
    return qkv[0], qkv[1], qkv[2]


def _chunk(fused: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Take it apart in three chunks, then into heads."""
    batch, tokens, channels = fused.shape
    sizes = (batch, tokens, heads, channels // (3 * heads))
    return tuple(part.reshape(sizes).transpose(1, 2) for part in fused.chunk(3, dim=-1))


_WAYS: dict[str, Apart] = {"unbind": _unbind, "index": _index, "chunk": _chunk}


class Adapter(own.Adapter):
    """Builds the network with this attention: each of the three projections is the one layer."""

    def attend(self, model: Model) -> nn.Module:
        """Return the attention of one block."""
        return Attention(model, _WAYS[self.fixed["apart"]])

    def blocks(self, net: nn.Module) -> list[Block]:
        """Return the blocks in order."""
        return [
            Block(layer, layer.attn, *(layer.attn.qkv,) * 3, layer.attn.proj, layer.fc1, layer.fc2)
            for layer in net.modules()
            if isinstance(layer, own.Layer) and isinstance(layer.attn, Attention)
        ]
