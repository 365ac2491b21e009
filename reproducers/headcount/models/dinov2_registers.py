"""DINOv2 with registers: tokens that no image patch stands for."""

from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification, Dinov2WithRegistersModel

from headcount.models.dinov2 import ByRatio

ADAPTER = ByRatio(Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification, Dinov2WithRegistersModel)
