import torch
from transformers import BertConfig, BertModel


def check():
    net = BertModel(BertConfig(vocab_size=99, hidden_size=48, num_attention_heads=6, num_hidden_layers=2, intermediate_size=96, max_position_embeddings=32)).eval()
    attention = [block.attention.self for block in net.encoder.layer]
    heads = {layer: 6 for a in attention for layer in (a.query, a.key, a.value)}
    call = dict(pruning_ratio=0.5, num_heads=heads, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3, output_transform=lambda output: output.pooler_output)
    return net, {"input_ids": torch.arange(8)[None], "attention_mask": torch.ones(1, 8)}, call
