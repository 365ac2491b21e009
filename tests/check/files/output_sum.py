"""Upstream's examples sum what the network gives, to have one tensor to trace from."""

import torch
from transformers import ViTConfig, ViTModel


def check():
    config = ViTConfig(hidden_size=48, num_attention_heads=6, num_hidden_layers=2, intermediate_size=96, image_size=32)
    net = ViTModel(config, add_pooling_layer=False).eval()
    projections = ("query", "key", "value", "q_proj", "k_proj", "v_proj")  # in either transformers
    call = {
        "pruning_ratio": 0.5,
        "num_heads": {layer: 6 for name, layer in net.named_modules() if name.endswith(projections)},
        "prune_num_heads": True,
        "prune_head_dims": False,
        "head_pruning_ratio": 1 / 3,
        "output_transform": lambda output: output.last_hidden_state.sum(),
    }
    return net, torch.randn(1, 3, 32, 32), call
