"""A script: heads are pruned, and the history is loaded into a pruner of a fresh network."""

import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification


def made():
    config = ViTConfig(hidden_size=48, num_attention_heads=6, num_hidden_layers=2, intermediate_size=96, image_size=32)
    net = ViTForImageClassification(config).eval()
    projections = ("query", "key", "value", "q_proj", "k_proj", "v_proj")  # in either transformers
    return tp.pruner.MetaPruner(
        net,
        torch.randn(1, 3, 32, 32),
        tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[net.classifier],
        num_heads={layer: 6 for name, layer in net.named_modules() if name.endswith(projections)},
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=1 / 3,
    )


first, second = made(), made()
first.step()
second.load_pruning_history(first.pruning_history())
