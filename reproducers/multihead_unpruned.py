# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""nn.MultiheadAttention named in num_heads keeps the width from being pruned, silently.

Shows in 1.4.1 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp

torch.manual_seed(0)


class Block(torch.nn.ModuleList):
    """PyTorch's own attention, then an MLP, each beside the residual stream."""

    def forward(self, x):
        """(1, 4, width), twice."""
        attention, fc1, fc2 = self
        x = x + attention(x, x, x, need_weights=False)[0]
        return x + fc2(fc1(x))


attention = torch.nn.MultiheadAttention(48, 6, batch_first=True)
block = Block([attention, torch.nn.Linear(48, 96), torch.nn.Linear(96, 48)])
model = torch.nn.Sequential(torch.nn.Linear(48, 48), block, torch.nn.Linear(48, 10)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": False, "num_heads": {attention: 6}, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()

dims = attention.embed_dim // 6
assert dims in {4, 8}, f"heads have {dims} channels"
assert dims == 4, f"heads have {dims} channels, expected 4, half of 8"
