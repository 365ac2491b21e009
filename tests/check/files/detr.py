import torch
from transformers import DetrConfig
from transformers.models.detr.modeling_detr import DetrDecoderLayer


def check():
    net = DetrDecoderLayer(DetrConfig(d_model=48, decoder_attention_heads=6, decoder_ffn_dim=96)).eval()
    heads = {layer: 6 for a in (net.self_attn, net.encoder_attn) for layer in (a.q_proj, a.k_proj, a.v_proj)}
    call = dict(pruning_ratio=0.5, num_heads=heads, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
    places = {"object_queries": torch.randn(1, 9, 48), "query_position_embeddings": torch.randn(1, 5, 48)}
    return net, {"hidden_states": torch.randn(1, 5, 48), "encoder_hidden_states": torch.randn(1, 9, 48), **places}, call
