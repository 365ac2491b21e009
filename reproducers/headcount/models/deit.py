"""DeiT: ViT with a distillation token."""

from transformers import DeiTConfig, DeiTForImageClassification, DeiTModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(DeiTConfig, DeiTForImageClassification, DeiTModel)
