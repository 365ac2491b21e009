# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""Grouped keys that torch's attention is given as they are, not repeated, crash the pruning of attention.

Shows in 1.4.3 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is RuntimeError and "is invalid for input of size" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Attention(torch.nn.Module):
    """Three heads of queries read each head of keys, as `enable_gqa=True` has it."""

    def __init__(self):
        super().__init__()
        self.q, self.output = torch.nn.Linear(48, 48), torch.nn.Linear(48, 48)
        self.k, self.v = torch.nn.Linear(48, 16), torch.nn.Linear(48, 16)

    def forward(self, tokens):
        """(1, 4, 48), twice."""
        q, k, v = (layer(tokens).view(1, 4, -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
        read = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.output(read.transpose(1, 2).flatten(2))


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Attention(), torch.nn.Linear(48, 10)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {model[1].q: 6, model[1].k: 2, model[1].v: 2}, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()
