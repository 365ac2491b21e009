"""ViT-MSN: ViT, trained with masked siamese networks."""

from transformers import ViTMSNConfig, ViTMSNForImageClassification, ViTMSNModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(ViTMSNConfig, ViTMSNForImageClassification, ViTMSNModel)
