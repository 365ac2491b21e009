"""I-JEPA: no class token; the classifier reads the mean of all."""

from transformers import IJepaConfig, IJepaForImageClassification, IJepaModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(IJepaConfig, IJepaForImageClassification, IJepaModel)
