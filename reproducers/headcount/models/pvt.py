"""PVT, of one stage, which reduces no sequence."""

from typing import Any

from transformers import PvtConfig, PvtForImageClassification, PvtModel

from headcount.models import Model
from headcount.models.isotropic import Isotropic


class _Pyramid(Isotropic):
    def numbers(self, model: Model) -> dict[str, Any]:
        return {
            "image_size": model.image,
            "num_encoder_blocks": 1,
            "depths": [model.layers],
            "sequence_reduction_ratios": [1],
            "hidden_sizes": [model.width],
            "patch_sizes": [model.patch],
            "strides": [model.patch],
            "num_attention_heads": [model.heads],
            "mlp_ratios": [model.mlp // model.width],
        }


ADAPTER = _Pyramid(PvtConfig, PvtForImageClassification, PvtModel)
