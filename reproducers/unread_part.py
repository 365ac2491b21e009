# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""Of a layer that is taken apart in chunks, a part that nothing reads keeps its channels: forward fails.

Shows in 1.3.0 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is RuntimeError and "must match the size of tensor b" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Block(torch.nn.Module):
    """A scale and a shift of the tokens are made of a condition, and a gate that is not read."""

    def __init__(self):
        super().__init__()
        self.tokens, self.modulation = torch.nn.Linear(48, 48), torch.nn.Linear(16, 3 * 48)
        self.classifier = torch.nn.Linear(48, 10)

    def forward(self, tokens, condition):
        """(1, 4, 48) and (1, 16) to (1, 4, 10)."""
        scale, shift, _gate = (part.unsqueeze(1) for part in self.modulation(condition).chunk(3, dim=1))
        return self.classifier(shift + (1 + scale) * self.tokens(tokens))


torch.manual_seed(0)
model, inputs = Block().eval(), (torch.randn(1, 4, 48), torch.randn(1, 16))
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

pruner = tp.pruner.MetaPruner(model, inputs, importance=importance(p=2), ignored_layers=[model.classifier])
pruner.step()
model(*inputs)
