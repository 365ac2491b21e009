"""A Segformer, with what its own code needs before it is called again."""

from transformers_models import segformer as check

__all__ = ["check", "update"]


def update(net, pruner):
    for block in net.segformer.encoder.block[0]:
        attention = block.attention.self
        heads, rows = pruner.num_heads[attention.query], attention.query.out_features
        attention.num_attention_heads, attention.all_head_size = heads, rows
    net.config.hidden_sizes = [net.classifier.in_features]
