"""DINOv2: a scale per channel on each branch; the classifier reads the class token and the mean of the others."""

from typing import Any

from transformers import Dinov2Config, Dinov2ForImageClassification, Dinov2Model

from headcount.models import Model
from headcount.models.isotropic import Isotropic


class ByRatio(Isotropic):
    """A family whose MLP is a multiple of its width."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Likewise, with the multiple."""
        numbers = super().numbers(model)
        return numbers | {"mlp_ratio": numbers.pop("intermediate_size") // model.width}


ADAPTER = ByRatio(Dinov2Config, Dinov2ForImageClassification, Dinov2Model)
