"""A ViT of our own, for attention as other libraries have it. A family's file gives the attention."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from headcount.models import isotropic
from headcount.models.model import Model

#: A model -> its attention, (batch, tokens, width) twice.
Attend = Callable[[Model], nn.Module]


class Layer(nn.Module):
    """A block: attention, then an MLP, each on a norm and beside the residual stream."""

    def __init__(self, model: Model, attend: Attend) -> None:
        """Build a block with a model's sizes."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(model.width), nn.LayerNorm(model.width)
        self.attn = attend(model)
        self.fc1, self.fc2 = nn.Linear(model.width, model.mlp), nn.Linear(model.mlp, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        read: Tensor = tokens + self.fc2(nn.functional.gelu(self.fc1(self.norm2(tokens))))
        return read


class Net(nn.Module):
    """The network: patches, blocks, and a classifier of the tokens' mean unless it is bare."""

    def __init__(self, model: Model, attend: Attend) -> None:
        """Build the network with a model's sizes."""
        super().__init__()
        tokens = (model.image // model.patch) ** 2
        self.patches = nn.Conv2d(3, model.width, model.patch, model.patch)
        self.positions = nn.Parameter(torch.randn(1, tokens, model.width))
        self.layers = nn.ModuleList(Layer(model, attend) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.width)
        self.classifier = nn.Linear(model.width, model.labels) if model.labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (batch, labels); a bare one returns (batch, tokens, width)."""
        tokens = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        said: Tensor = self.norm(tokens)
        return said if self.classifier is None else self.classifier(said.mean(1))


class Adapter(isotropic.Adapter):
    """Builds such a network and calls it. Its blocks are found like all others, where q, k and v are layers."""

    def attend(self, model: Model) -> nn.Module:
        """Return the attention of one block, (batch, tokens, width) to the same shape."""
        raise NotImplementedError(self.family.title)

    def build(self, model: Model) -> nn.Module:
        """Return the network, in evaluation mode."""
        return isotropic.evaluating(Net(model, self.attend))

    def output(self, answer: Any) -> Tensor:
        """Return the output, which is a tensor already."""
        found: Tensor = answer
        return found
