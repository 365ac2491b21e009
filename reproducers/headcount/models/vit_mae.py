"""ViT-MAE's encoder, which is told which patches to leave out: none, in their order."""

from typing import Any

import torch
from transformers import ViTMAEConfig, ViTMAEModel

from headcount.models import Model
from headcount.models.isotropic import Isotropic


class _Masked(Isotropic):
    def inputs(self, model: Model) -> dict[str, Any]:
        patches = (model.image // model.patch) ** 2
        return {"pixel_values": super().inputs(model), "noise": torch.arange(patches).reshape(1, -1) / patches}


ADAPTER = _Masked(ViTMAEConfig, None, ViTMAEModel, mask_ratio=0.0)
