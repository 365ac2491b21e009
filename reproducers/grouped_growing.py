# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""GrowingRegPruner crashes with grouped queries: which channel a repeated key comes from is lost.

Shows in 1.4.3 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is RuntimeError and "Could not infer dtype of NoneType" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp


class Attention(torch.nn.Module):
    """Six heads of queries, two of keys and of values, 8 channels each."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (torch.nn.Linear(48, width) for width in (48, 16, 16, 48))

    def forward(self, tokens):
        """Repeat each head of keys and of values for three heads of queries."""
        q, k, v = (layer(tokens).view(1, 4, -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
        k, v = (part[:, :, None].expand(1, 2, 3, 4, 8).reshape(1, 6, 4, 8) for part in (k, v))
        weights = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Attention(), torch.nn.Linear(48, 10)).eval()
q, k, v = model[1].q, model[1].k, model[1].v
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "head_pruning_ratio": 1 / 3, "prune_head_dims": False, "ignored_layers": [model[2]]}
call |= {"num_heads": {q: 6, k: 2, v: 2}}
pruner = tp.pruner.GrowingRegPruner(model, torch.randn(1, 4, 48), importance(p=2), **call)
model(torch.randn(1, 4, 48)).sum().backward()
pruner.regularize(model)
pruner.update_reg()
