"""ViT."""

from transformers import ViTConfig, ViTForImageClassification, ViTModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(ViTConfig, ViTForImageClassification, ViTModel)
