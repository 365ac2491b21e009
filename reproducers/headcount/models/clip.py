"""The image encoders of CLIP and SigLIP: the classifier's config holds those of both encoders."""

from typing import Any

from torch import nn

from headcount.models import isotropic
from headcount.models.model import Model

#: The encoder of texts, which no classifier of images uses, as small as it can be.
_TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}


class Adapter(isotropic.Adapter):
    """Builds the image encoder with a classifier, or bare."""

    def named(self, suffix: str) -> Any:
        """Return a class of transformers; the bare encoder's are `VisionConfig` and `VisionModel`."""
        return super().named(suffix if suffix == "ForImageClassification" else f"Vision{suffix}")

    def build(self, model: Model) -> nn.Module:
        """Return the network, in evaluation mode, with the weights that transformers draws."""
        if not model.labels:
            return super().build(model)
        classifier, both = self.named("ForImageClassification"), super().named("Config")
        numbers = self.numbers(model) | self.fixed
        config = both(vision_config=numbers, text_config=_TEXT, num_labels=model.labels)
        return isotropic.evaluating(classifier(config))
