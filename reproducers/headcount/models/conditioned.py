"""A ViT of our own whose blocks follow a condition.

As in DiT, one layer makes scales, shifts and gates of it; or keys and values are read from it, as in a decoder.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from headcount.models import Model, isotropic, own

#: Numbers of the condition; tokens of one that is read by attention.
_CONDITION, _TOKENS = 16, 5

#: A shift, a scale and a gate for attention, and as many for the MLP.
_PARTS = 6

#: The family in which one part more is made than is read.
_SPARE = "adaln_spare"

#: The family whose attention reads the condition.
_CROSS = "cross"


class Layer(own.Layer):
    """A block whose norms and branches are scaled and shifted by parts of one layer."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.parts = _PARTS + (model.family == _SPARE)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(_CONDITION, self.parts * model.width))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """Map (batch, tokens, width) and (batch, condition) to the shape of the tokens."""
        parts = self.modulation(condition).chunk(self.parts, dim=1)
        shift, scale, gate, inner_shift, inner_scale, inner_gate = (part.unsqueeze(1) for part in parts[:_PARTS])
        tokens = tokens + gate * self.attn(self.norm1(tokens) * (1 + scale) + shift)
        inner = self.active(self.fc1(self.norm2(tokens) * (1 + inner_scale) + inner_shift))
        read: Tensor = tokens + inner_gate * self.fc2(inner)
        return read


class Cross(nn.Module):
    """Attention whose queries come from the tokens, and keys and values from the condition."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.num_heads, self.head_dim = model.heads, model.head_dim
        self.q_proj, self.o_proj = nn.Linear(model.width, model.width), nn.Linear(model.width, model.width)
        self.k_proj, self.v_proj = nn.Linear(_CONDITION, model.width), nn.Linear(_CONDITION, model.width)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Map (batch, tokens, width) and (batch, tokens of the condition, 16) to the shape of the tokens."""
        q, k, v = (
            states.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for states in (self.q_proj(tokens), self.k_proj(condition), self.v_proj(condition))
        )
        return own.attend(q, k, v, self.head_dim, self.o_proj)


class Decoder(own.Layer):
    """A block with such attention."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.attn = Cross(model)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """Map (batch, tokens, width) and the condition to the shape of the tokens."""
        tokens = tokens + self.attn(self.norm1(tokens), condition)
        read: Tensor = tokens + self.fc2(self.active(self.fc1(self.norm2(tokens))))
        return read


class Net(own.Net):
    """The network. It is called with an image and a condition."""

    def block(self, model: Model) -> type[own.Layer]:
        """Return the class of a model's blocks."""
        return Decoder if model.family == _CROSS else Layer

    def forward(self, pixels: Tensor, condition: Tensor) -> Tensor:  # type: ignore[override]
        """Return (batch, labels); a bare one returns (batch, tokens, width)."""
        tokens = self.embedded(pixels)
        for layer in self.layers:
            tokens = layer(tokens, condition)
        return self.read(tokens)


class Adapter(isotropic.Adapter):
    """Builds such a network, and gives it a condition."""

    def build(self, model: Model) -> nn.Module:
        """Return the network, in evaluation mode."""
        return Net(model).eval()

    def inputs(self, model: Model) -> dict[str, Any]:
        """Return an image, (1, 3, image, image), and a condition, (1, 16), or (1, 5, 16) if attention reads it."""
        tokens = (_TOKENS,) if model.family == _CROSS else ()
        condition = torch.randn(1, *tokens, _CONDITION, generator=Generator().manual_seed(2))
        return {"pixels": super().inputs(model), "condition": condition}

    def blocks(self, net: nn.Module) -> list[isotropic.Block]:
        """Return the blocks in order, with what follows the condition in each."""
        return [_with_condition(block) for block in super().blocks(net) if isinstance(block.layer, Layer | Decoder)]


def _with_condition(block: isotropic.Block) -> isotropic.Block:
    if isinstance(block.layer, Layer):  # one layer, once for each of its parts
        return replace(block, modulation=(block.layer.modulation[1],) * block.layer.parts)
    return replace(block, reads_condition=True)
