# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""Pruning a model whose tokens stay a map, as SAM's, has no end: reshapes of it are taken for flattening.

Shows in 1.3.0 to 1.6.1, the newest release; not reported upstream.
"""

import signal
import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Patches(torch.nn.Conv2d):
    """Four patches of an image."""

    def forward(self, pixels):
        """Map an image to (1, 2, 2, channels)."""
        return super().forward(pixels).permute(0, 2, 3, 1)


class Attention(torch.nn.Module):
    """Two heads, whose queries, keys and values are one layer."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(8, 24), torch.nn.Linear(8, 8)

    def forward(self, tokens):
        """Map (1, 2, 2, channels) to the same shape: two rows of two tokens."""
        q, k, v = self.qkv(tokens).reshape(1, 4, 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(1, 2, 2, -1))


model = torch.nn.Sequential(Patches(3, 8, 4, 4), Attention(), torch.nn.Linear(8, 8)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance
signal.signal(signal.SIGALRM, lambda *_: sys.exit("no end within 10 s"))
signal.alarm(10)

call = {"num_heads": {model[1].qkv: 2}, "ignored_layers": [model[2]], "prune_num_heads": True}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance(p=2), head_pruning_ratio=0.5, **call)
pruner.step()
