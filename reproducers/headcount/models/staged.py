"""Families with stages. Each stage reads several tokens of the one before as one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn

from headcount.models import Model, isotropic


class Pvt(isotropic.Adapter):
    """PVT: all stages but the last read keys and values through a convolution."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return a model's numbers under the config's names."""
        stages = range(model.stages)
        patches = [2 if stage else model.patch for stage in stages]
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

    def blocks(self, net: nn.Module) -> list[isotropic.Block]:
        """Return the blocks in order, with what reduces the sequence that keys and values are read from."""
        return [
            replace(
                block, reduction=tuple(m for m in block.attention.modules() if isinstance(m, nn.Conv2d | nn.LayerNorm))
            )
            for block in super().blocks(net)
        ]

    def set_sizes(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Set the number of channels with which each stage's patches compare their input."""
        for name, module in net.named_modules():
            if hasattr(module, "num_channels") and hasattr(module, "projection"):
                module.num_channels = parameters[f"{name}.projection.weight"].shape[1]


class Segformer(Pvt):
    """SegFormer: as PVT, with patches that overlap, and a depthwise convolution in each MLP."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return a model's numbers under the config's names."""
        numbers = super().numbers(model)
        return numbers | {
            "sr_ratios": numbers.pop("sequence_reduction_ratios"),
            "patch_sizes": [2 * stride - 1 for stride in numbers["strides"]],
        }

    def set_sizes(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Set the width that the classifier's input is given, as the config has it."""
        head, config = parameters.get("classifier.weight"), cast("Any", net.config)
        if head is not None:
            config.hidden_sizes = [*config.hidden_sizes[:-1], head.shape[1]]


class Swin(isotropic.Adapter):
    """Swin and Swin v2: attention in windows of two tokens by two, with numbers for each head."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return a model's numbers under the config's names."""
        return {
            "image_size": model.image,
            "patch_size": model.patch // 2,
            "embed_dim": model.width,
            "depths": [model.layers // model.stages] * model.stages,
            "num_heads": [model.heads << stage for stage in range(model.stages)],
            "window_size": 2,
            "mlp_ratio": model.mlp / model.width,
        }

    def ignored(self, net: nn.Module) -> list[nn.Module]:
        """Return the MLPs of Swin v2's biases, too: their outputs are a number for each head, and follow no channel."""
        return super().ignored(net) + [
            module
            for block in self.blocks(net)
            for inner in block.attention.modules()
            if isinstance(inner, nn.Sequential)
            for module in inner.children()
            if isinstance(module, nn.Linear)
        ]

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:
        """Return a pruner for what merges tokens, as in upstream's examples/transformers/prune_hf_swin.py."""
        merging = next(type(module) for module in net.modules() if hasattr(module, "reduction"))
        return {
            "customized_pruners": {merging: _merging(pruning.pruner.function)},
            "root_module_types": (nn.Linear, nn.LayerNorm, merging),
        }


def _merging(function: Any) -> Any:
    class Merging(function.BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: Any, idxs: list[int]) -> Any:
            function.prune_linear_out_channels(layer.reduction, idxs)
            return layer

        def prune_in_channels(self, layer: Any, idxs: list[int]) -> Any:
            everywhere = [part * self.get_in_channels(layer) + index for part in range(4) for index in idxs]
            function.prune_linear_in_channels(layer.reduction, everywhere)
            function.prune_layernorm_out_channels(layer.norm, everywhere)
            return layer

        def get_out_channels(self, layer: Any) -> Any:
            return layer.reduction.out_features

        def get_in_channels(self, layer: Any) -> Any:
            return layer.reduction.in_features // 4  # upstream's reads `dim`, which is not there in transformers 5

    return Merging()
