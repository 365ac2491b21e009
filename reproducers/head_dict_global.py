# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""head_pruning_ratio_dict is ignored in global pruning.

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
sizes = {"num_hidden_layers": 2, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=12, num_attention_heads=6, **sizes)).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells which heads are left
q, k, v, _, _, _, q1, k1, v1, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
dense = q1.bias.tolist()
first = next(module for module in model.modules() if hasattr(module, "num_attention_heads"))
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": dict.fromkeys([q, k, v, q1, k1, v1], 6), "ignored_layers": [model.classifier]}
call |= {"head_pruning_ratio_dict": {first: 2 / 3}}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

heads = len({dense.index(value) // 2 for value in q1.bias.tolist()})
assert pruner.num_heads[q1] == heads, f"the pruner reports {pruner.num_heads[q1]} heads, {heads} are left"
assert heads >= 4, f"{heads} of 6 heads are left in the second block"
assert heads == 4, f"{heads} of 6 heads are left in the second block, expected 4"
