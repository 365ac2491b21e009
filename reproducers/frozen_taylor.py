# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""TaylorImportance crashes on a frozen layer: it reads a gradient that is not there.

Shows in 1.3.0 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AttributeError and "NoneType' object has no attribute 'transpose" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=4, num_attention_heads=2, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
for layer in (q, k, v):
    layer.requires_grad_(False)
call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3, "num_heads": {q: 2, k: 2, v: 2}}
call |= {"ignored_layers": [model.classifier]}
importance = tp.importance.GroupTaylorImportance()
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance, **call)
for parameter in model.parameters():
    parameter.grad = parameter.detach().clone() if parameter.requires_grad else None
pruner.step()
