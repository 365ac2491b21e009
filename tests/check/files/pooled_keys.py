"""MViT: keys and values are pooled by a convolution in each head."""
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads, self.patches, self.qkv, self.pool, self.proj, self.out = 6, nn.Conv2d(3, 48, 8, 8), nn.Linear(48, 144), nn.Conv2d(8, 8, 2, 2, groups=8), nn.Linear(48, 48), nn.Linear(48, 10)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(len(x), 16, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        k, v = (self.pool(t.reshape(len(x) * self.heads, 4, 4, -1).permute(0, 3, 1, 2)).flatten(2).transpose(1, 2).reshape(len(x), self.heads, 4, -1) for t in (k, v))
        return self.out(x + self.proj(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(x.shape[0], 16, -1)))


def check():
    net = Net().eval()
    return net, torch.randn(1, 3, 32, 32), dict(pruning_ratio=0.5, ignored_layers=[net.out], num_heads={net.qkv: 6}, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=1 / 3)
