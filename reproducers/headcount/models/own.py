"""A ViT of our own, with attention as other libraries have it: fused as in timm, grouped, or PyTorch's own.

One kind has no positions and few biases, and an MLP that sees where tokens stand, as in SegFormer.
"""

from typing import Any

from torch import Tensor, nn, randn
from transformers.integrations.sdpa_attention import repeat_kv

from headcount.models import Model, isotropic

#: The family without positions, and without biases of norms and of linear layers in its blocks.
_MIXED = "mix_ffn"


class Fused(nn.Module):
    """Attention whose three projections are one layer, as in timm. It is taken apart in one of three ways.

    It is as wide as the residual stream, as all attention here is.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.family = model.heads, model.head_dim, model.family
        biased = self.family != _MIXED
        self.qkv = nn.Linear(model.width, 3 * model.width, bias=biased)
        self.proj = nn.Linear(model.width, model.width, bias=biased)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        fused = self.qkv(tokens)
        batch, count, channels = fused.shape
        sizes = (self.num_heads, channels // (3 * self.num_heads))
        if self.family in ("fused_chunk", _MIXED):
            q, k, v = (part.reshape(batch, count, *sizes).transpose(1, 2) for part in fused.chunk(3, dim=-1))
        else:
            qkv = fused.reshape(batch, count, 3, *sizes).permute(2, 0, 3, 1, 4)
            # Older releases of timm index.
            q, k, v = qkv.unbind(0) if self.family == "fused_unbind" else (qkv[0], qkv[1], qkv[2])
        return _attend(q, k, v, self.head_dim, self.proj)


class Grouped(nn.Module):
    """Grouped-query attention: several heads of queries read one of keys and values, repeated for them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.num_heads, self.head_dim = model.heads, model.head_dim
        self.q_proj = nn.Linear(model.width, model.width)
        self.k_proj, self.v_proj = (nn.Linear(model.width, model.width // model.traits.queries_per_kv) for _ in "kv")
        self.o_proj = nn.Linear(model.width, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        batch, count, _ = tokens.shape
        q, k, v = (
            projection(tokens).view(batch, count, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = (repeat_kv(states, self.num_heads // states.shape[1]) for states in (k, v))
        return _attend(q, k, v, self.head_dim, self.o_proj)


def _attend(q: Tensor, k: Tensor, v: Tensor, head_dim: int, out: nn.Linear) -> Tensor:
    """Return (batch, tokens, width) of q, k and v, each (batch, heads, tokens, head dim)."""
    read: Tensor = out(((q @ k.transpose(-2, -1) * head_dim**-0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))
    return read


class SelfAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` on one input, as in torchvision: its channels are those of the residual stream."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.width, model.heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Map (batch, tokens, width) to the same shape."""
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


#: Family -> its attention. All others' is fused.
_ATTENTION = {"grouped": Grouped, "multihead": SelfAttention}


class Mix(nn.Module):
    """A depthwise convolution: each channel of the MLP reads the tokens around, as in SegFormer and PVT v2."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.side = model.image // model.patch
        self.conv = nn.Conv2d(model.mlp, model.mlp, kernel_size=3, padding=1, groups=model.mlp)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, channels) to the same shape."""
        read: Tensor = self.conv(tokens.transpose(1, 2).view(len(tokens), -1, self.side, self.side))
        return read.flatten(2).transpose(1, 2)


class Layer(nn.Module):
    """A block: attention, then an MLP, each on a norm and beside the residual stream."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        biased = model.family != _MIXED
        self.norm1, self.norm2 = (nn.LayerNorm(model.width, bias=biased) for _ in "12")
        self.attn = _ATTENTION.get(model.family, Fused)(model)
        self.fc1 = nn.Linear(model.width, model.mlp, bias=biased)
        self.mix = None if biased else Mix(model)
        self.fc2 = nn.Linear(model.mlp, model.width, bias=biased)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        inner = self.fc1(self.norm2(tokens))
        read: Tensor = tokens + self.fc2(nn.functional.gelu(inner if self.mix is None else self.mix(inner)))
        return read


class Net(nn.Module):
    """The network: patches, blocks, and a classifier of the tokens' mean unless it is bare."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, model.width, model.patch, model.patch)
        plain = model.family != _MIXED
        self.positions = nn.Parameter(randn(1, (model.image // model.patch) ** 2, model.width)) if plain else None
        self.layers = nn.ModuleList(Layer(model) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.width, bias=plain)
        self.classifier = nn.Linear(model.width, model.labels) if model.labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (batch, labels); a bare one returns (batch, tokens, width)."""
        tokens: Tensor = self.patches(pixels).flatten(2).transpose(1, 2)
        if self.positions is not None:
            tokens = tokens + self.positions
        for layer in (*self.layers, self.norm):
            tokens = layer(tokens)
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
        return {
            "num_heads": {},
            "out_channel_groups": {block.attention: block.attention.num_heads for block in self.blocks(net)},
        }
