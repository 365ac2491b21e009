# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.4.1"]
# ///
"""Local head pruning crashes: initial_total_heads is set for global pruning only.

Shows in 1.4.1, fixed in 1.4.2: https://github.com/VainF/Torch-Pruning/issues/410
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AttributeError and "initial_total_heads" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=48, num_attention_heads=12, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {q: 12, k: 12, v: 12}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()
