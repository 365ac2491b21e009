"""ViT-MAE's encoder. It gets the order of the patches and leaves none out."""

from typing import Any

import torch

from headcount.models import isotropic
from headcount.models.model import Model


class Adapter(isotropic.Adapter):
    """Gives the order of the patches with the image."""

    def inputs(self, model: Model) -> dict[str, Any]:
        """Return the image, and numbers in the patches' order."""
        patches = (model.image // model.patch) ** 2
        return {"pixel_values": super().inputs(model), "noise": torch.arange(patches).reshape(1, -1) / patches}
