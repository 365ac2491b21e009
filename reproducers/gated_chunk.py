# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""A gated MLP in one layer, whose halves are taken apart in chunks, crashes: the halves are not seen.

Shows in 1.3.6 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is IndexError and "is out of bounds for dimension" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Gated(torch.nn.Module):
    """Positions are added to the tokens; one half of the first layer's output is multiplied by the other."""

    def __init__(self):
        super().__init__()
        self.positions = torch.nn.Parameter(torch.randn(1, 4, 48))
        self.first, self.last = torch.nn.Linear(48, 2 * 64), torch.nn.Linear(64, 48)

    def forward(self, tokens):
        """(1, 4, 48), twice."""
        gate, value = self.first(tokens + self.positions).chunk(2, dim=-1)
        return self.last(torch.nn.functional.silu(gate) * value)


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Gated(), torch.nn.Linear(48, 10)).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"pruning_ratio": 0.5, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()
