"""A ViT of our own whose three projections are one layer, as timm's are; `fused_*` take them apart in their ways."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from headcount.models import Model
from headcount.models.isotropic import Block, Isotropic, evaluating

#: (batch, tokens, three times all heads' channels), heads -> q, k and v, each (batch, heads, tokens, head dim).
Apart = Callable[[Tensor, int], tuple[Tensor, ...]]


class Attention(nn.Module):
    """Multi-head attention on one projection."""

    def __init__(self, width: int, heads: int, apart: Apart) -> None:
        """As wide as the residual stream."""
        super().__init__()
        self.num_heads, self.head_dim, self.apart = heads, width // heads, apart
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width), twice."""
        q, k, v = self.apart(self.qkv(tokens), self.num_heads)
        weights = (q @ k.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
        read: Tensor = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return read


class Layer(nn.Module):
    """A block: attention, then an MLP, each on a norm and beside the residual stream."""

    def __init__(self, model: Model, apart: Apart) -> None:
        """One of a model's."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(model.width), nn.LayerNorm(model.width)
        self.attn = Attention(model.width, model.heads, apart)
        self.fc1, self.fc2 = nn.Linear(model.width, model.mlp), nn.Linear(model.mlp, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width), twice."""
        tokens = tokens + self.attn(self.norm1(tokens))
        read: Tensor = tokens + self.fc2(nn.functional.gelu(self.fc1(self.norm2(tokens))))
        return read


class Net(nn.Module):
    """The network: patches, blocks, and a classifier of the tokens' mean unless it is bare."""

    def __init__(self, model: Model, apart: Apart) -> None:
        """Of a model's numbers."""
        super().__init__()
        tokens = (model.image // model.patch) ** 2
        self.patches = nn.Conv2d(3, model.width, model.patch, model.patch)
        self.positions = nn.Parameter(torch.randn(1, tokens, model.width))
        self.layers = nn.ModuleList(Layer(model, apart) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.width)
        self.classifier = nn.Linear(model.width, model.labels) if model.labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, labels); of a bare one (batch, tokens, width)."""
        tokens = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        said: Tensor = self.norm(tokens)
        return said if self.classifier is None else self.classifier(said.mean(1))


class Fused(Isotropic):
    """How to build a network of our own, call it, and find what pruning is about."""

    def __init__(self, apart: Apart) -> None:
        """Of a way to take the fused projection's output apart."""
        super().__init__(None, None, None)
        self._apart = apart

    def build(self, model: Model) -> nn.Module:
        """The network, in evaluation mode."""
        return evaluating(Net(model, self._apart))

    def output(self, answer: Any) -> Tensor:
        """What the network says is a tensor already."""
        found: Tensor = answer
        return found

    def blocks(self, net: nn.Module) -> list[Block]:
        """The blocks in order; each of the three projections is the one layer."""
        return [
            Block(layer, layer.attn, qkv, qkv, qkv, layer.attn.proj, layer.fc1, layer.fc2)
            for layer in net.modules()
            if isinstance(layer, Layer)
            for qkv in [layer.attn.qkv]
        ]
