"""Swin, of two stages: the second reads four tokens of the first as one, merged by a norm and a projection."""

from typing import Any

from torch import nn
from transformers import SwinConfig, SwinForImageClassification, SwinModel

from headcount.models.swin import Windowed


class _Staged(Windowed):
    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:
        """A pruner for what merges tokens, as in upstream's examples/transformers/prune_hf_swin.py."""
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


ADAPTER = _Staged(SwinConfig, SwinForImageClassification, SwinModel)
