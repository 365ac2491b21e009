"""Networks of transformers that are no plain ViT, each with its call."""

import torch
from networks import CALL
from transformers import (
    BertConfig,
    BertModel,
    DetrConfig,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    SegformerConfig,
    SegformerForImageClassification,
)
from transformers.models.detr.modeling_detr import DetrDecoderLayer

#: What either transformers calls them.
PROJECTIONS = ("query", "key", "value", "q_proj", "k_proj", "v_proj")
SIZES = {"hidden_size": 48, "num_attention_heads": 6, "num_hidden_layers": 2}


def swiglu():
    net = Dinov2Model(Dinov2Config(**SIZES, mlp_ratio=2, image_size=32, patch_size=8, use_swiglu_ffn=True)).eval()
    heads = {layer: 6 for name, layer in net.named_modules() if name.endswith(PROJECTIONS)}
    return net, torch.randn(1, 3, 32, 32), CALL | {"num_heads": heads}


def bert():
    net = BertModel(BertConfig(**SIZES, vocab_size=99, intermediate_size=96, max_position_embeddings=32)).eval()
    heads = {layer: 6 for name, layer in net.named_modules() if name.endswith(PROJECTIONS)}
    given = {"input_ids": torch.arange(8)[None], "attention_mask": torch.ones(1, 8)}
    return net, given, CALL | {"num_heads": heads, "output_transform": lambda output: output.pooler_output}


def llama():
    config = LlamaConfig(**SIZES, num_key_value_heads=2, vocab_size=99, intermediate_size=96, use_cache=False)
    net = LlamaForCausalLM(config).eval()
    attention = [layer.self_attn for layer in net.model.layers]
    heads = {layer: n for a in attention for layer, n in ((a.q_proj, 6), (a.k_proj, 2), (a.v_proj, 2))}
    more = {"ignored_layers": [net.lm_head], "output_transform": lambda output: output.logits}
    return net, torch.arange(8)[None], CALL | more | {"num_heads": heads}


def detr():
    net = DetrDecoderLayer(DetrConfig(d_model=48, decoder_attention_heads=6, decoder_ffn_dim=96)).eval()
    heads = {layer: 6 for a in (net.self_attn, net.encoder_attn) for layer in (a.q_proj, a.k_proj, a.v_proj)}
    places = {"object_queries": torch.randn(1, 9, 48), "query_position_embeddings": torch.randn(1, 5, 48)}
    given = {"hidden_states": torch.randn(1, 5, 48), "encoder_hidden_states": torch.randn(1, 9, 48)}
    return net, given | places, CALL | {"num_heads": heads}


def segformer():
    sizes = {"depths": [2], "sr_ratios": [2], "hidden_sizes": [48], "patch_sizes": [7], "strides": [4]}
    more = {"num_attention_heads": [6], "mlp_ratios": [2], "decoder_hidden_size": 48, "num_encoder_blocks": 1}
    net = SegformerForImageClassification(SegformerConfig(**sizes, **more)).eval()
    heads = {layer: 6 for name, layer in net.named_modules() if name.endswith(PROJECTIONS)}
    return net, torch.randn(1, 3, 32, 32), CALL | {"ignored_layers": [net.classifier], "num_heads": heads}
