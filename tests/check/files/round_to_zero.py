"""A tenth of the MLP is left, which is less than one multiple of round_to."""

import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification


def check():
    sizes = {"hidden_size": 48, "num_attention_heads": 6, "num_hidden_layers": 2, "intermediate_size": 192}
    net = ViTForImageClassification(ViTConfig(**sizes, image_size=32)).eval()
    projections = ("query", "key", "value", "q_proj", "k_proj", "v_proj")  # in either transformers
    call = {
        "importance": tp.importance.MagnitudeImportance(p=1),
        "pruning_ratio": 0.9,
        "round_to": 32,
        "ignored_layers": [net.classifier],
        "num_heads": {layer: 6 for name, layer in net.named_modules() if name.endswith(projections)},
        "prune_num_heads": True,
        "prune_head_dims": False,
        "head_pruning_ratio": 1 / 3,
    }
    return net, torch.randn(1, 3, 32, 32), call
