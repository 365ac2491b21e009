"""The networks of `networks`, each with its call."""

import torch
from networks import CALL, HEADS, Functional, Fused, Gated, Net, Pooled, Projected, Restorer


def fused():
    net = Net(Fused()).eval()
    return net, torch.randn(1, 3, 32, 32), CALL | {"ignored_layers": [net.out], "num_heads": {net.attention.qkv: HEADS}}


def functional():
    net = Net(Functional()).eval()
    return net, torch.randn(1, 3, 32, 32), CALL | {"ignored_layers": [net.out], "num_heads": {net.attention.qkv: HEADS}}


def pooled():
    net = Net(Pooled()).eval()
    return net, torch.randn(1, 3, 32, 32), CALL | {"ignored_layers": [net.out], "num_heads": {net.attention.qkv: HEADS}}


def gated():
    net, given = Gated().eval(), (torch.randn(1, 3, 32, 32), torch.randn(1, 16))
    return net, given, CALL | {"ignored_layers": [net.out], "num_heads": {net.attention.qkv: HEADS}}


def projected():
    net = Projected().eval()
    return net, torch.randn(1, 3, 32, 32), CALL | {"num_heads": {net.attn: HEADS}}


def restorer():
    net = Restorer().eval()
    heads = {attention.qkv: HEADS for attention in net.attention}
    return net, torch.randn(1, 3, 8, 8), CALL | {"ignored_layers": [net.last], "num_heads": heads}
