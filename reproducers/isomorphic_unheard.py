# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.4.3"]
# ///
"""GroupNormPruner, BNScalePruner and GrowingRegPruner rank all channels alike, whatever isomorphic says.

Shows in 1.4.1 to 1.4.3; not reported upstream.
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
sizes = {"num_hidden_layers": 2, "intermediate_size": 24, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=48, num_attention_heads=6, **sizes)).eval()
q, k, v, _, fc, _, q1, k1, v1, _, fc1, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

with torch.no_grad():
    fc.weight *= 9  # ranked with attention, the MLPs would lose less than their share
    fc1.weight *= 9

call = {"isomorphic": True, "global_pruning": True, "pruning_ratio": 0.25}
call |= {"num_heads": dict.fromkeys([q, k, v, q1, k1, v1], 6), "ignored_layers": [model.classifier]}
image = torch.randn(1, 3, 8, 8)
pruner = tp.pruner.GroupNormPruner(model, image, importance=importance(p=2, normalizer=None), **call)
pruner.step()

channels = fc.out_features + fc1.out_features
assert channels <= 48, f"the MLPs have {channels} channels"
assert channels == 36, f"the MLPs have {channels} channels, expected 36, three quarters of 48"
