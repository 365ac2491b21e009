"""A ViT of our own, for attention as other libraries have it: a family's file says which."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from headcount.models import Model
from headcount.models.isotropic import Isotropic, evaluating

#: A model -> its attention, (batch, tokens, width) twice.
Attend = Callable[[Model], nn.Module]


class Layer(nn.Module):
    """A block: attention, then an MLP, each on a norm and beside the residual stream."""

    def __init__(self, model: Model, attend: Attend) -> None:
        """One of a model's."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(model.width), nn.LayerNorm(model.width)
        self.attn = attend(model)
        self.fc1, self.fc2 = nn.Linear(model.width, model.mlp), nn.Linear(model.mlp, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width), twice."""
        tokens = tokens + self.attn(self.norm1(tokens))
        read: Tensor = tokens + self.fc2(nn.functional.gelu(self.fc1(self.norm2(tokens))))
        return read


class Net(nn.Module):
    """The network: patches, blocks, and a classifier of the tokens' mean unless it is bare."""

    def __init__(self, model: Model, attend: Attend) -> None:
        """Of a model's numbers."""
        super().__init__()
        tokens = (model.image // model.patch) ** 2
        self.patches = nn.Conv2d(3, model.width, model.patch, model.patch)
        self.positions = nn.Parameter(torch.randn(1, tokens, model.width))
        self.layers = nn.ModuleList(Layer(model, attend) for _ in range(model.layers))
        self.norm = nn.LayerNorm(model.width)
        self.classifier = nn.Linear(model.width, model.labels) if model.labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, labels); of a bare one (batch, tokens, width)."""
        tokens = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        said: Tensor = self.norm(tokens)
        return said if self.classifier is None else self.classifier(said.mean(1))


class Own(Isotropic):
    """How to build such a network and call it. Its blocks are found like all others, where q, k and v are layers."""

    def __init__(self, attend: Attend) -> None:
        """Of a kind of attention."""
        super().__init__(None, None, None)
        self._attend = attend

    def build(self, model: Model) -> nn.Module:
        """The network, in evaluation mode."""
        return evaluating(Net(model, self._attend))

    def output(self, answer: Any) -> Tensor:
        """What the network says is a tensor already."""
        found: Tensor = answer
        return found
