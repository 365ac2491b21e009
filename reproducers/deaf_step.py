# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.3.1"]
# ///
"""step(interactive=True) of GroupNormPruner, BNScalePruner and GrowingRegPruner returns no groups.

Shows in 1.3.0 to 1.3.2, fixed in 1.3.3; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is TypeError and "NoneType' object is not iterable" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=4, num_attention_heads=2, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 0.5, "num_heads": {q: 2, k: 2, v: 2}}
call |= {"ignored_layers": [model.classifier]}
pruner = tp.pruner.GroupNormPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
for parameter in model.parameters():
    parameter.grad = parameter.detach().clone()
if hasattr(pruner, "update_regularizer"):
    pruner.update_regularizer()
pruner.regularize(model)
for group in pruner.step(interactive=True):
    group.prune()
