"""Attention whose three projections are one layer, as timm's are; `fused_*` take them apart in their ways."""

from collections.abc import Callable

from torch import Tensor, nn

from headcount.models import Model
from headcount.models.isotropic import Block
from headcount.models.own import Layer, Own

#: (batch, tokens, three times all heads' channels), heads -> q, k and v, each (batch, heads, tokens, head dim).
Apart = Callable[[Tensor, int], tuple[Tensor, ...]]


class Attention(nn.Module):
    """Multi-head attention on one projection."""

    def __init__(self, model: Model, apart: Apart) -> None:
        """As wide as the residual stream."""
        super().__init__()
        self.num_heads, self.head_dim, self.apart = model.heads, model.head_dim, apart
        self.qkv = nn.Linear(model.width, 3 * model.width)
        self.proj = nn.Linear(model.width, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width), twice."""
        q, k, v = self.apart(self.qkv(tokens), self.num_heads)
        weights = (q @ k.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
        read: Tensor = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return read


class Fused(Own):
    """A network with such attention: each of the three projections is the one layer."""

    def __init__(self, apart: Apart) -> None:
        """Of a way to take the fused projection's output apart."""
        super().__init__(lambda model: Attention(model, apart))

    def blocks(self, net: nn.Module) -> list[Block]:
        """The blocks in order."""
        return [
            Block(layer, layer.attn, *(layer.attn.qkv,) * 3, layer.attn.proj, layer.fc1, layer.fc2)
            for layer in net.modules()
            if isinstance(layer, Layer) and isinstance(layer.attn, Attention)
        ]
