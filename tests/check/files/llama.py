import torch
from transformers import LlamaConfig, LlamaForCausalLM


def check():
    net = LlamaForCausalLM(LlamaConfig(vocab_size=99, hidden_size=48, num_attention_heads=6, num_key_value_heads=2, num_hidden_layers=2, intermediate_size=96, use_cache=False)).eval()
    attention = [layer.self_attn for layer in net.model.layers]
    heads = {layer: count for a in attention for layer, count in ((a.q_proj, 6), (a.k_proj, 2), (a.v_proj, 2))}
    call = dict(pruning_ratio=0.5, ignored_layers=[net.lm_head], num_heads=heads, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
    return net, torch.arange(8)[None], dict(call, output_transform=lambda output: output.logits)
