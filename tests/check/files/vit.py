import torch, torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification


def check():
    config = ViTConfig(hidden_size=48, num_attention_heads=6, num_hidden_layers=2, intermediate_size=96, image_size=32, patch_size=8)
    net = ViTForImageClassification(config).eval()
    heads = {layer: 6 for block in net.vit.encoder.layer for layer in vars(block.attention.attention)["_modules"].values() if hasattr(layer, "weight")}
    call = dict(pruning_ratio=0.5, ignored_layers=[net.classifier], num_heads=heads, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
    return net, torch.randn(1, 3, 32, 32), call
