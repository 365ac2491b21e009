"""PVT: stages, each on patches of the one before. All but the last read keys and values through a convolution."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from headcount.models import isotropic
from headcount.models.isotropic import Block
from headcount.models.model import Model


class Adapter(isotropic.Adapter):
    """A family with stages, each on patches of the one before."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return a model's numbers under the config's names."""
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
        """Return the blocks in order, with what reduces the sequence that keys and values are read from."""
        return [replace(block, reduction=_reduction(block.attention)) for block in super().blocks(net)]

    def set_sizes(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Set the number of channels with which each stage's patches compare their input."""
        for name, module in net.named_modules():
            if hasattr(module, "num_channels") and hasattr(module, "projection"):
                module.num_channels = parameters[f"{name}.projection.weight"].shape[1]


def _reduction(attention: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(module for module in attention.children() if isinstance(module, nn.Conv2d | nn.LayerNorm))
