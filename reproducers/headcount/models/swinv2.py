"""Swin v2, of one stage: a small MLP makes each head's biases, each has a temperature; `swinv2_stages` has two."""

from torch import nn
from transformers import Swinv2Config, Swinv2ForImageClassification, Swinv2Model

from headcount.models.swin import Windowed


class Biased(Windowed):
    """A family whose attention has layers besides the projections."""

    def ignored(self, net: nn.Module) -> list[nn.Module]:
        """The MLPs too, whose outputs are a number for each head: they follow no channel."""
        biases = [
            module
            for block in self.blocks(net)
            for module in block.attention.modules()
            if isinstance(module, nn.Linear) and module.in_features != block.query.in_features
        ]
        return [*super().ignored(net), *biases]


ADAPTER = Biased(Swinv2Config, Swinv2ForImageClassification, Swinv2Model)
