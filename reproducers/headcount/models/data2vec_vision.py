"""Data2Vec-Vision: BEiT's blocks; the key has no bias, each branch a scale per channel."""

from transformers import Data2VecVisionConfig, Data2VecVisionForImageClassification, Data2VecVisionModel

from headcount.models.isotropic import Isotropic

ADAPTER = Isotropic(Data2VecVisionConfig, Data2VecVisionForImageClassification, Data2VecVisionModel)
