# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""With grouped queries, global head pruning wants too many heads, and is refused with the count lowered.

Shows in 1.4.3, the first release that knows grouped queries, to 1.6.1, the newest; not reported upstream.
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


class Attention(torch.nn.ModuleList):
    """6 heads of queries, 2 of keys and of values; each of these is read by 3 heads of queries."""

    def forward(self, x):
        """As transformers does it for grouped queries."""
        q, k, v = (layer(x).view(1, 4, -1, 8).transpose(1, 2) for layer in self[:3])
        k, v = (states[:, :, None].expand(1, 2, 3, 4, 8).reshape(1, 6, 4, 8) for states in (k, v))
        return self[3](((q @ k.mT * 8**-0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


first, q, out, k, v, last = (torch.nn.Linear(48, width) for width in (48, 48, 48, 16, 16, 10))
model = torch.nn.Sequential(first, Attention([q, k, v, out]), last).eval()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {q: 6, k: 2, v: 2}, "ignored_layers": [last]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 4, 48), importance=importance(p=2), **call)
pruner.step()

heads = q.out_features // 8
assert pruner.num_heads[q] == heads, f"the pruner reports {pruner.num_heads[q]} heads of queries, expected {heads}"
assert heads == 4, f"{heads} heads of queries are left"
