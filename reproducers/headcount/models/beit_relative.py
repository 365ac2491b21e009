"""BEiT with relative positions: a table of biases for each head."""

from transformers import BeitConfig, BeitForImageClassification, BeitModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(BeitConfig, BeitForImageClassification, BeitModel, use_relative_position_bias=True)
