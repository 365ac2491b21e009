# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A classifier that reads two tokens side by side loses the channels of one of them only.

Shows in 1.3.6 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import Dinov2Config, Dinov2ForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "mlp_ratio": 2, "image_size": 8, "patch_size": 4}
model = Dinov2ForImageClassification(Dinov2Config(hidden_size=48, num_attention_heads=6, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {q: 6, k: 6, v: 6}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

width, read = model.dinov2.layernorm.weight.numel(), model.classifier.in_features
assert read == 2 * width, f"the classifier reads {read} channels, expected {2 * width}: two tokens of {width}"
