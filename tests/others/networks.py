"""Small networks of timm and torchvision, each with the calls of `CALLS`, as a user would write them.

`headcount check tests/others/networks.py:plain_both` checks one.
"""

from dataclasses import replace
from functools import partial

import torch
from timm.layers import SwiGLUPacked
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torchvision.models import swin_transformer, vision_transformer

from headcount.models import adapter, small

HEADS = {"pruning_ratio": 0.5, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
DIMS = {"pruning_ratio": 0.5, "prune_num_heads": False, "prune_head_dims": True}

CALLS = {
    "local": HEADS,
    "global": HEADS | {"global_pruning": True},
    "heads": HEADS | {"pruning_ratio": 0.0, "head_pruning_ratio": 0.5},
    "steps": HEADS | {"iterative_steps": 2},
    "dims": DIMS,
    "both": HEADS | {"prune_head_dims": True},
}

SIZES = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 6,
    "num_classes": 10,
    "mlp_ratio": 2,
}


def fused(call, net, *ignored):
    heads = {module.qkv: 6 for module in net.modules() if hasattr(module, "qkv")}
    return net.eval(), torch.randn(1, 3, 32, 32), call | {"ignored_layers": [*ignored], "num_heads": heads}


def plain(call):
    net = VisionTransformer(**SIZES)
    return fused(call, net, net.head)


def registers(call):
    net = VisionTransformer(**SIZES, reg_tokens=4, init_values=1e-5)
    return fused(call, net, net.head)


def qk_norm(call):
    net = VisionTransformer(**SIZES, qk_norm=True)
    return fused(call, net, net.head)


def qk_norm_ignored(call):
    net = VisionTransformer(**SIZES, qk_norm=True)
    norms = [norm for block in net.blocks for norm in (block.attn.q_norm, block.attn.k_norm)]
    return fused(call, net, net.head, *norms)


def map_pool(call):
    net = VisionTransformer(**SIZES, global_pool="map", class_token=False)
    return fused(call, net, net.head)


def deit(call):
    net = VisionTransformerDistilled(**SIZES)
    return fused(call, net, net.head, net.head_dist)


def beit(call):
    net = Beit(**SIZES, use_abs_pos_emb=True)
    return fused(call, net, net.head)


def dinov2(call):
    """As in DINOv2's giant."""
    net = VisionTransformer(**SIZES, reg_tokens=4, init_values=1e-5, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU)
    return fused(call, net, net.head)


def eva(call):
    net = Eva(**SIZES, swiglu_mlp=True, use_rot_pos_emb=True)
    return fused(call, net, net.head)


def swin_v2(call):
    sizes = {"img_size": 32, "patch_size": 4, "embed_dim": 48, "depths": (2,), "num_heads": (6,), "num_classes": 10}
    net = SwinTransformerV2(**sizes, window_size=4)
    return fused(call, net, net.head.fc)


def torchvision_vit(call):
    net = vision_transformer.VisionTransformer(32, 8, 2, 6, 48, 96, num_classes=10).eval()
    heads = {module: 6 for module in net.modules() if isinstance(module, torch.nn.MultiheadAttention)}
    return net, torch.randn(1, 3, 32, 32), call | {"ignored_layers": [net.heads.head], "num_heads": heads}


def torchvision_swin(call):
    net = swin_transformer.SwinTransformer([4, 4], 48, [2], [6], [4, 4], num_classes=10)
    return fused(call, net, net.head)


def look_alike(call):
    """Headcount's own: what the matrix has in place of timm's plain ViT."""
    made = adapter("fused_unbind")
    net = made.build(replace(small("fused_unbind"), image=32, patch=8))
    return fused(call, net, *made.ignored(net))


NETWORKS = (
    plain,
    registers,
    qk_norm,
    qk_norm_ignored,
    map_pool,
    deit,
    beit,
    dinov2,
    eva,
    swin_v2,
    torchvision_vit,
    torchvision_swin,
    look_alike,
)

for network in NETWORKS:
    globals().update({f"{network.__name__}_{name}": partial(network, call) for name, call in CALLS.items()})
