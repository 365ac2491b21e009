"""Swin v2, of two stages: the second reads four tokens of the first as one, by a projection and then a norm."""

from transformers import Swinv2Config, Swinv2ForImageClassification, Swinv2Model

from headcount.models.swinv2 import Biased

ADAPTER = Biased(Swinv2Config, Swinv2ForImageClassification, Swinv2Model)
