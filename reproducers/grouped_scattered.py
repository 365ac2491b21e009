# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.4.2"]
# ///
"""With grouped queries, heads go wherever they are least, and the count of keys drops with them.

Shows in 1.4.0 to 1.4.2 (in 1.4.1 with global_pruning=True), fixed in 1.4.3; not reported upstream.
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
    """6 heads of queries, 2 of keys and values."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.output = (torch.nn.Linear(48, width) for width in (48, 16, 16, 48))

    def forward(self, tokens):
        """(1, 4, 48), twice."""
        q, k, v = (layer(tokens).view(1, 4, -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
        k, v = (heads[:, :, None].expand(-1, -1, 3, -1, -1).flatten(1, 2) for heads in (k, v))
        return self.output(((q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(48, 48), Attention(), torch.nn.Linear(48, 10)).eval()
q, k, v = model[1].q, model[1].k, model[1].v
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 2}
call |= {"num_heads": {q: 6, k: 2, v: 2}, "ignored_layers": [model[2]]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()

counts = (q.out_features // 8, pruner.num_heads[q])
assert counts == (4, 4), "{} heads of queries are left, the pruner reports {}, expected 4".format(*counts)
