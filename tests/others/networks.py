"""Small networks of timm and torchvision, each with a call, as a user would write them."""

import torch
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torchvision.models import swin_transformer, vision_transformer

CALL = {"pruning_ratio": 0.5, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 6, "num_classes": 10}


def fused(net, *ignored):
    heads = {module.qkv: 6 for module in net.modules() if hasattr(module, "qkv")}
    return net.eval(), torch.randn(1, 3, 32, 32), CALL | {"ignored_layers": [*ignored], "num_heads": heads}


def plain():
    net = VisionTransformer(**SIZES, mlp_ratio=2)
    return fused(net, net.head)


def registers():
    net = VisionTransformer(**SIZES, mlp_ratio=2, reg_tokens=4, init_values=1e-5)
    return fused(net, net.head)


def qk_norm():
    net = VisionTransformer(**SIZES, mlp_ratio=2, qk_norm=True)
    return fused(net, net.head)


def qk_norm_ignored():
    net = VisionTransformer(**SIZES, mlp_ratio=2, qk_norm=True)
    norms = [norm for block in net.blocks for norm in (block.attn.q_norm, block.attn.k_norm)]
    return fused(net, net.head, *norms)


def map_pool():
    net = VisionTransformer(**SIZES, mlp_ratio=2, global_pool="map", class_token=False)
    return fused(net, net.head)


def beit():
    net = Beit(**SIZES, mlp_ratio=2, use_abs_pos_emb=True)
    return fused(net, net.head)


def deit():
    net = VisionTransformerDistilled(**SIZES, mlp_ratio=2)
    return fused(net, net.head, net.head_dist)


def eva():
    net = Eva(**SIZES, mlp_ratio=2, swiglu_mlp=True, use_rot_pos_emb=True)
    return fused(net, net.head)


def swin_v2():
    sizes = {"img_size": 32, "patch_size": 4, "embed_dim": 48, "depths": (2,), "num_heads": (6,), "num_classes": 10}
    net = SwinTransformerV2(**sizes, window_size=4)
    return fused(net, net.head.fc)


def torchvision_vit():
    net = vision_transformer.VisionTransformer(32, 8, 2, 6, 48, 96, num_classes=10).eval()
    heads = {module: 6 for module in net.modules() if isinstance(module, torch.nn.MultiheadAttention)}
    return net, torch.randn(1, 3, 32, 32), CALL | {"ignored_layers": [net.heads.head], "num_heads": heads}


def torchvision_swin():
    net = swin_transformer.SwinTransformer([4, 4], 48, [2], [6], [4, 4], num_classes=10)
    return fused(net, net.head)
