"""DINOv2: a scale per channel on each branch; the classifier reads the class token and the mean of the others."""

from typing import Any

from headcount.models import isotropic
from headcount.models.model import Model


class Adapter(isotropic.Adapter):
    """Gives the MLP's size as a multiple of the width."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return the numbers, with the multiple."""
        numbers = super().numbers(model)
        return numbers | {"mlp_ratio": numbers.pop("intermediate_size") // model.width}
