"""CLIP's image encoder."""

from typing import Any

from torch import nn
from transformers import CLIPConfig, CLIPForImageClassification, CLIPVisionConfig, CLIPVisionModel

from headcount.models import Model
from headcount.models.isotropic import Isotropic, evaluating

#: The encoder of texts, which no classifier of images uses, as small as it can be.
_TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}


class OfTwo(Isotropic):
    """A family of images and texts: the classifier's config holds those of both encoders."""

    def __init__(self, both: Any, classifier: Any, config: Any, bare: Any, **fixed: Any) -> None:
        """Likewise, with the config of both."""
        super().__init__(config, classifier, bare, **fixed)
        self._both = both

    def build(self, model: Model) -> nn.Module:
        """The network, in evaluation mode, with whatever weights transformers draws."""
        if not model.labels:
            return super().build(model)
        numbers = self.numbers(model) | self._fixed
        config = self._both(vision_config=numbers, text_config=_TEXT, num_labels=model.labels)
        return evaluating(self._classifier(config))


ADAPTER = OfTwo(CLIPConfig, CLIPForImageClassification, CLIPVisionConfig, CLIPVisionModel)
