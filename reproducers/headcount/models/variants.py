"""Families of equal blocks that are built or called in another way than ViT."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headcount.models import Model, isotropic

#: Words that a network knows, unless it tells one from another as its labels.
_WORDS = 16


def _sentence(model: Model, words: int) -> Tensor:
    """Return as many words as there are patches, (1, tokens)."""
    return torch.arange((model.image // model.patch) ** 2).reshape(1, -1) % words


#: CLIP's encoder of texts, which no classifier of images uses, as small as it can be.
_TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}


class Bert(isotropic.Adapter):
    """BERT: words in the place of patches, and a layer between the first word and the classifier."""

    classifies = "ForSequenceClassification"

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return the numbers, with those of words and places in the place of the image's."""
        numbers = super().numbers(model)
        tokens = (numbers.pop("image_size") // numbers.pop("patch_size")) ** 2
        return numbers | {"vocab_size": _WORDS, "max_position_embeddings": tokens}

    def inputs(self, model: Model) -> dict[str, Any]:
        """Return a sentence as a tokenizer gives it."""
        words = _sentence(model, _WORDS)
        return {
            "input_ids": words,
            "token_type_ids": torch.zeros_like(words),
            "attention_mask": torch.ones_like(words),
        }


class Clip(isotropic.Adapter):
    """The image encoders of CLIP and SigLIP, with a classifier or bare."""

    def named(self, suffix: str) -> Any:
        """Return a class of transformers; the bare encoder's are `VisionConfig` and `VisionModel`."""
        return super().named(suffix if suffix == "ForImageClassification" else f"Vision{suffix}")

    def arguments(self, model: Model) -> dict[str, Any]:
        """Return what the config is made with. A classifier's holds those of both encoders."""
        if not model.labels:
            return super().arguments(model)
        return {"vision_config": self.numbers(model) | self.fixed, "text_config": _TEXT, "num_labels": model.labels}

    def config(self, model: Model) -> Any:
        """Return the config: a classifier's is that of both encoders."""
        return super().named("Config")(**self.arguments(model)) if model.labels else super().config(model)


class Dinov2(isotropic.Adapter):
    """DINOv2: a scale per channel on each branch; the classifier reads the class token and the mean of the others."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return the numbers, with the MLP's size as a multiple of the width."""
        numbers = super().numbers(model)
        return numbers | {"mlp_ratio": numbers.pop("intermediate_size") // model.width}


class Llama(isotropic.Adapter):
    """Llama: rotary positions, grouped queries, a gated MLP; its classifier tells the next word after each."""

    classifies = "ForCausalLM"

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return the numbers, with those of words and of keys in the place of the image's."""
        numbers = super().numbers(model)
        words, keys = model.labels or _WORDS, model.heads // model.traits.queries_per_kv
        del numbers["image_size"], numbers["patch_size"]
        return numbers | {"vocab_size": words, "num_key_value_heads": keys}

    def inputs(self, model: Model) -> dict[str, Any]:
        """Return a sentence."""
        return {"input_ids": _sentence(model, model.labels or _WORDS)}

    def set_sizes(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Set how many heads of queries read each one of keys, as upstream's examples/LLMs/prune_llm.py does."""
        for name, module in net.named_modules():
            if hasattr(module, "num_key_value_groups"):
                queries, keys = (len(parameters[f"{name}.{kind}_proj.weight"]) for kind in "qk")
                module.num_key_value_groups = queries // max(keys, 1)


class VitMae(isotropic.Adapter):
    """ViT-MAE's encoder. It gets the order of the patches and leaves none out."""

    def inputs(self, model: Model) -> dict[str, Any]:
        """Return the image, and numbers in the patches' order."""
        patches = (model.image // model.patch) ** 2
        return {"pixel_values": super().inputs(model), "noise": torch.arange(patches).reshape(1, -1) / patches}


class Yolos(isotropic.Adapter):
    """YOLOS: ViT with detection tokens. Its heads are MLPs for boxes and classes, so it is taken as a backbone."""

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return the numbers, with the image's height and width."""
        return super().numbers(model) | {"image_size": [model.image, model.image]}
