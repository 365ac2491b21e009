"""OpenAI's CLIP: nn.MultiheadAttention, and a projection that is a bare parameter."""
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.attn, self.ln, self.proj = nn.Conv2d(3, 48, 8, 8), nn.MultiheadAttention(48, 6, batch_first=True), nn.LayerNorm(48), nn.Parameter(torch.randn(48, 20))

    def forward(self, image):
        x = self.ln(self.conv1(image).flatten(2).transpose(1, 2))
        return (x + self.attn(x, x, x, need_weights=False)[0]).mean(1) @ self.proj


def check():
    net = Net().eval()
    return net, torch.randn(1, 3, 32, 32), dict(pruning_ratio=0.5, num_heads={net.attn: 6}, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
