"""Swin, of two stages: the second reads four tokens of the first as one, merged by a norm and a projection."""

from transformers import SwinConfig, SwinForImageClassification, SwinModel

from headcount.models.swin import Windowed

ADAPTER = Windowed(SwinConfig, SwinForImageClassification, SwinModel)
