# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""round_to leaves a layer whole that should keep less than one multiple.

Shows in 1.3.1 to 1.6.1, the newest release; not reported upstream.
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
q, k, v, out, fc1, fc2, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_head_dims": False, "pruning_ratio": 0.8, "round_to": 4, "num_heads": {q: 2, k: 2, v: 2}}
call |= {"ignored_layers": [model.classifier, out, fc2]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

channels = fc1.out_features
assert channels >= 4, f"{channels} channels of the MLP are left"
assert channels == 4, f"{channels} channels of the MLP are left, expected 4"
