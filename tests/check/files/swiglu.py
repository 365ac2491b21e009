import torch
from transformers import Dinov2Config, Dinov2Model


def check():
    net = Dinov2Model(Dinov2Config(hidden_size=48, num_attention_heads=6, num_hidden_layers=2, mlp_ratio=2, image_size=32, patch_size=8, use_swiglu_ffn=True)).eval()
    attention = [block.attention.attention for block in net.encoder.layer]
    heads = {layer: 6 for a in attention for layer in (a.query, a.key, a.value)}
    return net, torch.randn(1, 3, 32, 32), dict(pruning_ratio=0.5, num_heads=heads, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
