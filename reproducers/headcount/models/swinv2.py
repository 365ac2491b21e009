"""Swin v2, of one stage: a small MLP makes each head's biases, and each has a temperature."""

from torch import nn
from transformers import Swinv2Config, Swinv2ForImageClassification, Swinv2Model

from headcount.models.swin import Windowed


class _Biased(Windowed):
    def ignored(self, net: nn.Module) -> list[nn.Module]:
        """The MLPs too, whose outputs are a number for each head: they follow no channel."""
        biases = [
            module
            for block in self.blocks(net)
            for module in block.attention.modules()
            if isinstance(module, nn.Linear) and module.in_features != block.query.in_features
        ]
        return [*super().ignored(net), *biases]


ADAPTER = _Biased(Swinv2Config, Swinv2ForImageClassification, Swinv2Model)
