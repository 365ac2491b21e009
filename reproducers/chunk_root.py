# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""An MLP whose gates are a chunk of its first layer loses far more channels than asked.

Shows in 1.5.0 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Mlp(torch.nn.Module):
    """Gates and values come from one layer."""

    def __init__(self):
        super().__init__()
        self.both, self.output = torch.nn.Linear(48, 2 * 96), torch.nn.Linear(96, 48)

    def forward(self, tokens):
        """(1, 4, 48), twice."""
        gates, values = self.both(tokens).chunk(2, dim=-1)
        return self.output(torch.nn.functional.silu(gates) * values)


torch.manual_seed(0)
model = Mlp().eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"pruning_ratio": 0.5, "ignored_layers": [model.output]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()

channels = model.output.in_features
assert channels >= 48, f"{channels} of 96 channels are left, expected 48"
