"""BEiT without relative positions: the key has no bias, each branch a scale per channel."""

from transformers import BeitConfig, BeitForImageClassification, BeitModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(BeitConfig, BeitForImageClassification, BeitModel)
