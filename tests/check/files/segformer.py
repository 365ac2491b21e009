import torch
from transformers import SegformerConfig, SegformerForImageClassification


def check():
    config = SegformerConfig(num_encoder_blocks=1, depths=[2], sr_ratios=[2], hidden_sizes=[48], patch_sizes=[7], strides=[4], num_attention_heads=[6], mlp_ratios=[2], decoder_hidden_size=48)
    net = SegformerForImageClassification(config).eval()
    attention = [block.attention.self for block in net.segformer.encoder.block[0]]
    heads = {layer: 6 for a in attention for layer in (a.query, a.key, a.value)}
    call = dict(pruning_ratio=0.5, ignored_layers=[net.classifier], num_heads=heads, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
    return net, torch.randn(1, 3, 32, 32), call


def update(net, pruner):
    for block in net.segformer.encoder.block[0]:
        a = block.attention.self
        a.num_attention_heads, a.all_head_size = pruner.num_heads[a.query], a.query.out_features
    net.config.hidden_sizes = [net.classifier.in_features]
