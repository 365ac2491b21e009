"""A ViT of our own, with attention as other libraries have it: fused as in timm, grouped, or PyTorch's own.

One kind has no positions and few biases, and an MLP that sees where tokens stand, as in SegFormer; one has an MLP with
gates and no positions.
"""

from typing import Any

from torch import Tensor, cat, nn, randn, zeros_like

from headcount.models import Model, isotropic

#: The family without biases of norms and of linear layers in its blocks.
_MIXED = "mix_ffn"

#: The families without positions.
_UNPLACED = (_MIXED, "swiglu", "mapped")


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
        fused = self.projected(tokens)
        batch, count, channels = fused.shape
        sizes = (self.num_heads, channels // (3 * self.num_heads))
        if self.family in ("fused_chunk", _MIXED):
            q, k, v = (part.reshape(batch, count, *sizes).transpose(1, 2) for part in fused.chunk(3, dim=-1))
        else:
            qkv = fused.reshape(batch, count, 3, *sizes).permute(2, 0, 3, 1, 4)
            # Older releases of timm index.
            q, k, v = (qkv[0], qkv[1], qkv[2]) if self.family == "fused_index" else qkv.unbind(0)
        return attend(q, k, v, self.head_dim, self.proj)

    def projected(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to queries, keys and values side by side."""
        read: Tensor = self.qkv(tokens)
        return read


class Mapped(Fused):
    """Tokens stay a map of rows and columns, as in SAM."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, rows, columns, width) to the same shape."""
        batch, rows, columns, _ = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, rows * columns, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        read = attended(q, k, v, self.head_dim).transpose(1, 2).reshape(batch, rows, columns, -1)
        mapped: Tensor = self.proj(read)
        return mapped


class Functional(Fused):
    """The layer is never called, its weight is read, as in timm's BEiT and Swin v2; keys have no bias."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.qkv = nn.Linear(model.width, 3 * model.width, bias=False)
        self.q_bias, self.v_bias = (nn.Parameter(randn(model.width)) for _ in "qv")

    def projected(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to queries, keys and values side by side."""
        none = zeros_like(self.v_bias, requires_grad=False)
        return nn.functional.linear(tokens, self.qkv.weight, cat((self.q_bias, none, self.v_bias)))


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
        return attend(q, k, v, self.head_dim, self.o_proj)


def repeat_kv(states: Tensor, times: int) -> Tensor:
    """Return each head of (batch, heads, tokens, head dim) as often as this, side by side, as transformers does it."""
    batch, heads, count, dims = states.shape
    return states[:, :, None].expand(batch, heads, times, count, dims).reshape(batch, heads * times, count, dims)


def attend(q: Tensor, k: Tensor, v: Tensor, head_dim: int, out: nn.Linear) -> Tensor:
    """Return (batch, tokens, width) of q, k and v, each (batch, heads, tokens, head dim)."""
    read: Tensor = out(attended(q, k, v, head_dim).transpose(1, 2).flatten(2))
    return read


def attended(q: Tensor, k: Tensor, v: Tensor, head_dim: int) -> Tensor:
    """Return what each head reads, (batch, heads, tokens, head dim), of q, k and v of that shape."""
    read: Tensor = (q @ k.transpose(-2, -1) * head_dim**-0.5).softmax(-1) @ v
    return read


class SelfAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` on one input, as in torchvision: its channels are those of the residual stream."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.width, model.heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Map (batch, tokens, width) to the same shape."""
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


#: Family -> its attention. All others' is fused.
_ATTENTION = {"grouped": Grouped, "multihead": SelfAttention, "functional_qkv": Functional, "mapped": Mapped}


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
        self.gated = model.traits.gated
        self.fc1 = nn.Linear(model.width, model.mlp * (2 if self.gated else 1), bias=biased)
        self.mix = None if biased else Mix(model)
        self.fc2 = nn.Linear(model.mlp, model.width, bias=biased)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        read: Tensor = tokens + self.fc2(self.active(self.fc1(self.norm2(tokens))))
        return read

    def active(self, inner: Tensor) -> Tensor:
        """Map what the MLP's first layer writes to (batch, tokens, mlp)."""
        if self.gated:
            gate, value = inner.chunk(2, dim=-1)
            return nn.functional.silu(gate) * value
        return nn.functional.gelu(inner if self.mix is None else self.mix(inner))


class Parallel(Layer):
    """A block whose attention and MLP read the same norm, and are added at once, as in ViT-22B."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        del self.norm2

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        normed = self.norm1(tokens)
        read: Tensor = tokens + self.fc2(self.active(self.fc1(normed))) + self.attn(normed)
        return read


class Net(nn.Module):
    """The network: patches, blocks, and a classifier of the tokens' mean unless it is bare."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, model.width, model.patch, model.patch)
        placed = model.family not in _UNPLACED
        self.mapped = model.family == "mapped"
        self.positions = nn.Parameter(randn(1, (model.image // model.patch) ** 2, model.width)) if placed else None
        self.layers = nn.ModuleList(self.block(model)(model) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.width, bias=model.family != _MIXED)
        self.classifier = nn.Linear(model.width, model.labels) if model.labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (batch, labels); a bare one returns (batch, tokens, width)."""
        tokens = self.embedded(pixels)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.read(tokens)

    def block(self, model: Model) -> type[Layer]:
        """Return the class of a model's blocks."""
        return Parallel if model.family == "parallel" else Layer

    def embedded(self, pixels: Tensor) -> Tensor:
        """Map an image to (batch, tokens, width), or to (batch, rows, columns, width)."""
        if self.mapped:
            rows: Tensor = self.patches(pixels).permute(0, 2, 3, 1)
            return rows
        tokens: Tensor = self.patches(pixels).flatten(2).transpose(1, 2)
        return tokens if self.positions is None else tokens + self.positions

    def read(self, tokens: Tensor) -> Tensor:
        """Map the last block's tokens to what the network returns."""
        tokens = self.norm(tokens)
        return tokens if self.classifier is None else self.classifier(tokens.mean((1, 2) if self.mapped else 1))


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
