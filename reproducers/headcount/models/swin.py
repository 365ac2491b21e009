"""Swin and Swin v2: attention in windows, with numbers for each head. A second stage reads four tokens as one."""

from typing import Any

from torch import nn

from headcount.models import isotropic
from headcount.models.model import Model


class Adapter(isotropic.Adapter):
    """A family with stages, of windows of two tokens by two."""

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
        biases = [
            module
            for block in self.blocks(net)
            for module in block.attention.modules()
            if isinstance(module, nn.Linear) and module.in_features != block.query.in_features
        ]
        return [*super().ignored(net), *biases]

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:
        """Return a pruner for what merges tokens, as in upstream's examples/transformers/prune_hf_swin.py."""
        merging = next(type(module) for module in net.modules() if hasattr(module, "reduction"))
        types = (nn.Linear, nn.LayerNorm, merging)
        return {"customized_pruners": {merging: _merging(pruning.pruner.function)}, "root_module_types": types}


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
