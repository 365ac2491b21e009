# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""Local pruning leaves the width whole, silently, where attention's output is the first layer to write it.

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


class Attention(torch.nn.Module):
    """The heads come from one projection; what they give is added to the tokens."""

    def __init__(self):
        super().__init__()
        self.heads, self.qkv, self.output = 6, torch.nn.Linear(48, 3 * 48), torch.nn.Linear(48, 48)

    def forward(self, tokens):
        """(1, 4, width), twice."""
        q, k, v = self.qkv(tokens).reshape(1, 4, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        read = ((q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.output(read) + tokens  # in this order


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Attention(), torch.nn.Linear(48, 10)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"pruning_ratio": 0.5, "num_heads": {model[1].qkv: 6}, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()

width = model[1].output.out_features
assert width == 24, f"the width is {width}, expected 24"
