"""SigLIP's image encoder, without the attention that pools its tokens."""

from transformers import SiglipConfig, SiglipForImageClassification, SiglipVisionConfig, SiglipVisionModel

from headcount.models.clip import OfTwo

ADAPTER = OfTwo(
    SiglipConfig, SiglipForImageClassification, SiglipVisionConfig, SiglipVisionModel, vision_use_head=False
)
