# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""With pruning_ratio=0 no head is pruned, silently, nor in a step without head dims to prune.

Shows in 1.3.0 and in 1.4.1 (global pruning only) to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=4, num_attention_heads=2, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
torch.nn.init.normal_(q.bias)  # no two are equal: what is left tells which heads are left
dense = q.bias.tolist()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "head_pruning_ratio": 0.5, "pruning_ratio": 0.0}
call |= {"num_heads": {q: 2, k: 2, v: 2}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

heads = len({dense.index(value) // 2 for value in q.bias.tolist()})
assert pruner.num_heads[q] == heads, f"the pruner reports {pruner.num_heads[q]} heads, {heads} are left"
assert heads >= 1, f"{heads} heads are left"
assert heads == 1, f"{heads} of 2 heads are left, expected 1"
