"""A Segformer, with what its own code needs before it is called again."""

from transformers_models import segformer as check

__all__ = ["check", "update"]


def update(net, pruner):
    for attention in net.modules():
        query = getattr(attention, "query", None) or getattr(attention, "q_proj", None)
        if query is not None:
            attention.num_attention_heads = attention.num_heads = pruner.num_heads[query]
            attention.all_head_size = query.out_features
    net.config.hidden_sizes = [net.classifier.in_features]
