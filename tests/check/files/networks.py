"""Small networks of kinds that people prune, for the files beside this one."""

import torch
from torch import Tensor, nn

HEADS, WIDTH = 6, 48


class Fused(nn.Module):
    """Attention with queries, keys and values in one layer, as timm has it."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = HEADS, nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def fused(self, x: Tensor) -> Tensor:
        return self.qkv(x)

    def pooled(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.fused(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        k, v = self.pooled(k), self.pooled(v)
        return self.proj((q @ k.transpose(-2, -1)).softmax(-1).matmul(v).transpose(1, 2).reshape(*x.shape[:2], -1))


class Functional(Fused):
    """The layer's weight is read, and the layer is never called: BEiT, EVA and Swin v2 of timm."""

    def fused(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.qkv.weight, self.qkv.bias)


class Pooled(Fused):
    """Keys and values are pooled by a convolution in each head: MViT."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.Conv2d(8, 8, 2, 2, groups=8)

    def pooled(self, x: Tensor) -> Tensor:
        batch, heads, count, dims = x.shape
        image = x.reshape(batch * heads, 4, count // 4, dims).permute(0, 3, 1, 2)
        return self.pool(image).flatten(2).transpose(1, 2).reshape(batch, heads, -1, dims)


class Net(nn.Module):
    """Patches, one attention beside the residual stream, and a classifier of each token."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.patches, self.norm, self.attention = nn.Conv2d(3, WIDTH, 8, 8), nn.LayerNorm(WIDTH), attention
        self.out = nn.Linear(WIDTH, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        return self.out(x + self.attention(self.norm(x)))


class Gated(Net):
    """Attention's branch is scaled by one part of a projection of a condition: DiT's adaptive norms."""

    def __init__(self) -> None:
        super().__init__(Fused())
        self.condition, self.gate = nn.Linear(16, WIDTH), nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        gate = self.gate(self.condition(condition)).chunk(2, 1)[1]
        return self.out(x + gate.unsqueeze(1) * self.attention(self.norm(x)))


class Projected(nn.Module):
    """nn.MultiheadAttention, and a projection that is a bare parameter: OpenAI's CLIP."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.ln = nn.Conv2d(3, WIDTH, 8, 8), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.proj = nn.Parameter(torch.randn(WIDTH, 20))

    def forward(self, image: Tensor) -> Tensor:
        x = self.ln(self.conv1(image).flatten(2).transpose(1, 2))
        return (x + self.attn(x, x, x, need_weights=False)[0]).mean(1) @ self.proj


class Transposed(nn.Module):
    """Attention over channels by convolutions, a depthwise one among them, and a temperature per head: Restormer."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.temperature = HEADS, nn.Parameter(torch.ones(HEADS, 1, 1))
        self.qkv, self.proj = nn.Conv2d(WIDTH, 3 * WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.deep = nn.Conv2d(3 * WIDTH, 3 * WIDTH, 3, 1, 1, groups=3 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        parts = self.deep(self.qkv(x)).chunk(3, 1)
        q, k, v = (t.reshape(batch, self.heads, -1, height * width) for t in parts)
        return self.proj(
            ((q @ k.transpose(-2, -1) * self.temperature).softmax(-1) @ v).reshape(batch, -1, height, width)
        )


class Restorer(nn.Module):
    """Two such attentions between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, WIDTH, 3, 1, 1), nn.Conv2d(WIDTH, 3, 3, 1, 1)
        self.attention = nn.ModuleList(Transposed() for _ in "12")

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        for attention in self.attention:
            x = x + attention(x)
        return self.last(x)


CALL = {"pruning_ratio": 0.5, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
