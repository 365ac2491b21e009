# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""Global head pruning crashes on nn.MultiheadAttention named in num_heads.

Shows in 1.4.3 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AttributeError and "has no attribute 'out_features'" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Block(torch.nn.Module):
    """Attention of six heads and an MLP."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(48, 6, batch_first=True)
        self.fc1, self.fc2 = torch.nn.Linear(48, 96), torch.nn.Linear(96, 48)

    def forward(self, tokens):
        """Add the output of each to the tokens."""
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens + self.fc2(self.fc1(tokens))


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Block(), torch.nn.Linear(48, 10)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {model[1].attention: 6}, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()
