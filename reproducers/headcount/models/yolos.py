"""YOLOS: ViT with detection tokens. Its heads are MLPs for boxes and classes, so it is taken as a backbone."""

from typing import Any

from transformers import YolosConfig, YolosModel

from headcount.models import Model
from headcount.models.isotropic import Isotropic


class _OfTwoSides(Isotropic):
    def numbers(self, model: Model) -> dict[str, Any]:
        return super().numbers(model) | {"image_size": [model.image, model.image]}


ADAPTER = _OfTwoSides(YolosConfig, None, YolosModel, num_detection_tokens=3)
