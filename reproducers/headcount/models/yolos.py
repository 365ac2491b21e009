"""YOLOS: ViT with detection tokens. Its heads are MLPs for boxes and classes, so it is taken as a backbone."""

from typing import Any

from headcount.models import isotropic
from headcount.models.model import Model


class Adapter(isotropic.Adapter):
    """Gives the image's size in both directions."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return the numbers, with the image's height and width."""
        return super().numbers(model) | {"image_size": [model.image, model.image]}
