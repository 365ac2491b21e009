# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Where a step refused attention that has a table for each head, the next crashes.

Shows in 1.4.2 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is RuntimeError and "shape '[5, -1]' is invalid" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import SwinConfig, SwinForImageClassification

torch.manual_seed(0)
sizes = {"depths": [1], "mlp_ratio": 2.0, "image_size": 8, "patch_size": 2, "window_size": 2}
model = SwinForImageClassification(SwinConfig(embed_dim=48, num_heads=[6], **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3, "iterative_steps": 2}
call |= {"num_heads": {q: 6, k: 6, v: 6}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()
pruner.step()  # counts 5 heads where 6 are left
