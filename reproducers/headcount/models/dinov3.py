"""DINOv3: positions are rotations of the heads' channels. It comes without a classifier."""

from transformers import DINOv3ViTConfig, DINOv3ViTModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(DINOv3ViTConfig, None, DINOv3ViTModel, num_register_tokens=2)
