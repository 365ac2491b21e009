"""Swin, of one stage: attention in windows, with a table of biases for each head; `swin_stages` has two."""

from typing import Any

from transformers import SwinConfig, SwinForImageClassification, SwinModel

from headcount.models import Model
from headcount.models.isotropic import Isotropic


class Windowed(Isotropic):
    """A family with stages, of windows of two tokens by two."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """A model's numbers under the names that the config has for them."""
        return {
            "image_size": model.image,
            "patch_size": model.patch // 2,
            "embed_dim": model.width,
            "depths": [model.layers // model.stages] * model.stages,
            "num_heads": [model.heads << stage for stage in range(model.stages)],
            "window_size": 2,
            "mlp_ratio": model.mlp / model.width,
        }


ADAPTER = Windowed(SwinConfig, SwinForImageClassification, SwinModel)
