# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.4.3"]
# ///
"""A layer that is taken apart by chunk(n, dim=-1), as qkv or SwiGLU, crashes: its parts are not seen.

Shows in 1.3.0 to 1.4.3, fixed in 1.5.0; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is IndexError and "is out of bounds for dimension" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Attention(torch.nn.Module):
    """The heads come from one projection."""

    def __init__(self):
        super().__init__()
        self.qkv, self.output = torch.nn.Linear(48, 3 * 48), torch.nn.Linear(48, 48)

    def forward(self, tokens):
        """(1, 4, 48), twice."""
        parts = self.qkv(tokens).chunk(3, dim=-1)
        q, k, v = (part.reshape(1, 4, 6, -1).transpose(1, 2) for part in parts)
        return self.output(((q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Attention(), torch.nn.Linear(48, 10)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {model[1].qkv: 6}, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()
