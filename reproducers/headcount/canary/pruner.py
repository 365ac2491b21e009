"""A build of a few lines. It prunes heads of a ViT and nothing else. At ratio 1/2 it takes one head too many.

It runs as `torch_pruning` in the isolated process.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from headcount.models import adapter


class MetaPruner:
    """Takes the least important heads of each block in its one step."""

    def __init__(
        self,
        model: nn.Module,
        example_inputs: object,  # noqa: ARG002 - it traces nothing
        importance: object,  # noqa: ARG002 - it ranks by the queries' weights
        *,
        num_heads: dict[nn.Module, int],
        head_pruning_ratio: float,
        **_: object,
    ) -> None:
        self.num_heads = num_heads
        self._blocks = adapter("vit").blocks(model)
        self._ratio, self._surplus = head_pruning_ratio, int(head_pruning_ratio == 1 / 2)

    def step(self) -> None:
        """Prune each block."""
        for block in self._blocks:
            heads = self.num_heads[block.query]
            lost = int(heads * self._ratio) + self._surplus
            left = block.query.weight.detach().pow(2).view(heads, -1).sum(1).argsort()[lost:].sort().values
            size = block.out.in_features // heads
            rows = (left[:, None] * size + torch.arange(size, device=left.device)).flatten()
            for layer in block.projections:
                layer.weight, layer.bias = nn.Parameter(layer.weight[rows]), nn.Parameter(layer.bias[rows])
                layer.out_features, self.num_heads[layer] = len(rows), len(left)
            block.out.weight, block.out.in_features = nn.Parameter(block.out.weight[:, rows]), len(rows)


def _criterion(**_: Any) -> None:
    return None


importance = SimpleNamespace(GroupNormImportance=_criterion)
pruner = SimpleNamespace(MetaPruner=MetaPruner)
