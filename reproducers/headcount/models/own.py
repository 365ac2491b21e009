"""A ViT of our own, with attention as other libraries have it: fused as in timm, grouped, or PyTorch's own."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import repeat_kv

from headcount.models import isotropic
from headcount.models.model import Model


class Fused(nn.Module):
    """Attention whose three projections are one layer, as in timm. It is taken apart in one of three ways."""

    def __init__(self, model: Model, apart: str) -> None:
        """Build attention as wide as the residual stream."""
        super().__init__()
        self.num_heads, self.head_dim, self.apart = model.heads, model.head_dim, apart
        self.qkv = nn.Linear(model.width, 3 * model.width)
        self.proj = nn.Linear(model.width, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        q, k, v = self._apart(self.qkv(tokens))
        read: Tensor = self.proj(_attend(q, k, v, self.head_dim))
        return read

    def _apart(self, fused: Tensor) -> tuple[Tensor, ...]:
        batch, tokens, channels = fused.shape
        sizes = (self.num_heads, channels // (3 * self.num_heads))
        if self.apart == "chunk":
            return tuple(part.reshape(batch, tokens, *sizes).transpose(1, 2) for part in fused.chunk(3, dim=-1))
        qkv = fused.reshape(batch, tokens, 3, *sizes).permute(2, 0, 3, 1, 4)
        # Older releases of timm index.
        return qkv.unbind(0) if self.apart == "unbind" else (qkv[0], qkv[1], qkv[2])


class Grouped(nn.Module):
    """Grouped-query attention: several heads of queries read one of keys and values, repeated for them."""

    def __init__(self, model: Model) -> None:
        """Build attention as wide as the residual stream."""
        super().__init__()
        self.num_heads, self.head_dim = model.heads, model.head_dim
        read = model.width // model.traits.queries_per_kv
        self.q_proj = nn.Linear(model.width, model.width)
        self.k_proj, self.v_proj = (nn.Linear(model.width, read) for _ in "kv")
        self.o_proj = nn.Linear(model.width, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        batch, count, _ = tokens.shape
        q, k, v = (
            projection(tokens).view(batch, count, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = (repeat_kv(states, self.num_heads // states.shape[1]) for states in (k, v))
        read: Tensor = self.o_proj(_attend(q, k, v, self.head_dim))
        return read


def _attend(q: Tensor, k: Tensor, v: Tensor, head_dim: int) -> Tensor:
    """Return (batch, tokens, all heads' channels) of q, k and v, each (batch, heads, tokens, head dim)."""
    weights: Tensor = (q @ k.transpose(-2, -1) * head_dim**-0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


class SelfAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` on one input, as in torchvision: its channels are those of the residual stream."""

    def __init__(self, model: Model) -> None:
        """Build attention as wide as the residual stream."""
        super().__init__(model.width, model.heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Map (batch, tokens, width) to the same shape."""
        read: Tensor = super().forward(tokens, tokens, tokens, need_weights=False)[0]
        return read


#: Family -> its attention, (batch, tokens, width) twice.
_ATTENTION = {f"fused_{apart}": partial(Fused, apart=apart) for apart in ("unbind", "index", "chunk")} | {
    "grouped": Grouped,
    "multihead": SelfAttention,
}


class Layer(nn.Module):
    """A block: attention, then an MLP, each on a norm and beside the residual stream."""

    def __init__(self, model: Model) -> None:
        """Build a block with a model's sizes."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(model.width), nn.LayerNorm(model.width)
        self.attn = _ATTENTION[model.family](model)
        self.fc1, self.fc2 = nn.Linear(model.width, model.mlp), nn.Linear(model.mlp, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        read: Tensor = tokens + self.fc2(nn.functional.gelu(self.fc1(self.norm2(tokens))))
        return read


class Net(nn.Module):
    """The network: patches, blocks, and a classifier of the tokens' mean unless it is bare."""

    def __init__(self, model: Model) -> None:
        """Build the network with a model's sizes."""
        super().__init__()
        tokens = (model.image // model.patch) ** 2
        self.patches = nn.Conv2d(3, model.width, model.patch, model.patch)
        self.positions = nn.Parameter(torch.randn(1, tokens, model.width))
        self.layers = nn.ModuleList(Layer(model) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.width)
        self.classifier = nn.Linear(model.width, model.labels) if model.labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (batch, labels); a bare one returns (batch, tokens, width)."""
        tokens: Tensor = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm(tokens)
        if self.classifier is not None:
            tokens = self.classifier(tokens.mean(1))
        return tokens


class Adapter(isotropic.Adapter):
    """Builds such a network. Its blocks are found as all others are, where q, k and v are layers."""

    def build(self, model: Model) -> nn.Module:
        """Return the network, in evaluation mode."""
        return Net(model).eval()


class Multihead(Adapter):
    """Names attention as one layer."""

    def blocks(self, net: nn.Module) -> list[isotropic.Block]:
        """Return the blocks in order; the layer holds all three projections, and is what a user names."""
        return [
            isotropic.Block(layer, layer.attn, *(layer.attn,) * 3, layer.attn.out_proj, layer.fc1, layer.fc2)
            for layer in net.modules()
            if isinstance(layer, Layer) and isinstance(layer.attn, nn.MultiheadAttention)
        ]

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:  # noqa: ARG002 - the same in all builds
        """Return groups of channels in the place of heads, as in upstream's examples/torchvision_models."""
        groups = {block.attention: block.attention.num_heads for block in self.blocks(net)}
        return {"num_heads": {}, "out_channel_groups": groups}
