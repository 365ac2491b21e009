"""PVT, of one stage, which reduces no sequence; `pvt_stages` has two, and reduces the first one's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from transformers import PvtConfig, PvtForImageClassification, PvtModel

from headcount.models import Model
from headcount.models.isotropic import Block, Isotropic


class Pyramid(Isotropic):
    """A family with stages, each on patches of the one before."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """A model's numbers under the names that the config has for them."""
        stages = range(model.stages)
        patches = [model.patch if stage == 0 else 2 for stage in stages]
        return {
            "image_size": model.image,
            "num_encoder_blocks": model.stages,
            "depths": [model.layers // model.stages] * model.stages,
            "sequence_reduction_ratios": [1 << stage for stage in reversed(stages)],
            "hidden_sizes": [*model.widths.values()],
            "patch_sizes": patches,
            "strides": patches,
            "num_attention_heads": [model.heads << stage for stage in stages],
            "mlp_ratios": [model.mlp // model.width] * model.stages,
        }

    def blocks(self, net: nn.Module) -> list[Block]:
        """The blocks in order, with what reduces the sequence that keys and values are read from."""
        return [replace(block, reduction=_reduction(block.attention)) for block in super().blocks(net)]

    def settle(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Each stage's patches compare their input with a number of channels."""
        for name, module in net.named_modules():
            if hasattr(module, "num_channels") and hasattr(module, "projection"):
                module.num_channels = parameters[f"{name}.projection.weight"].shape[1]


def _reduction(attention: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(module for module in attention.children() if isinstance(module, nn.Conv2d | nn.LayerNorm))


ADAPTER = Pyramid(PvtConfig, PvtForImageClassification, PvtModel)
