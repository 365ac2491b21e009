"""PVT, of two stages: a convolution leads from one to the next, another halves the first one's keys and values."""

from transformers import PvtConfig, PvtForImageClassification, PvtModel

from headcount.models.pvt import Pyramid

ADAPTER = Pyramid(PvtConfig, PvtForImageClassification, PvtModel)
