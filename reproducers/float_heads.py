# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Head counts are rounded in floats: 0.28 * 25 takes 8 heads, 10 * (1 - 0.9) leaves none.

Shows in 1.3.0 to 1.6.1, the newest release; not reported upstream.
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
model = ViTForImageClassification(ViTConfig(hidden_size=20, num_attention_heads=10, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells which heads are left
dense = q.bias.tolist()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True}
call |= {"head_pruning_ratio": 0.8}  # 10 * (1 - 0.8) is less than 2 in floats
call |= {"num_heads": {q: 10, k: 10, v: 10}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

heads = len({dense.index(value) // 2 for value in q.bias.tolist()})
assert pruner.num_heads[q] == heads, f"the pruner reports {pruner.num_heads[q]} heads, {heads} are left"
assert heads <= 2, f"{heads} heads are left"
assert heads == 2, f"{heads} of 10 heads are left, expected 2"
