# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Patch merging: of four tokens read side by side only some follow the width, or the width stays.

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
from transformers import SwinConfig, SwinForImageClassification

torch.manual_seed(0)
sizes = {"image_size": 16, "patch_size": 2, "window_size": 2, "mlp_ratio": 2.0}
config = SwinConfig(embed_dim=48, num_heads=[6, 12], depths=[1, 1], **sizes)
model = SwinForImageClassification(config).eval()
qkv = [layer for name, layer in model.named_modules() if name.endswith((".query", ".key", ".value"))]
merging = next(layer for layer in model.modules() if hasattr(layer, "reduction"))
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_head_dims": False, "pruning_ratio": 0.5, "ignored_layers": [model.classifier]}
call |= {"num_heads": {layer: layer.in_features // 8 for layer in qkv}}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 16, 16), importance=importance(p=2), **call)
pruner.step()

widths = (qkv[0].in_features, merging.norm.normalized_shape[0], merging.reduction.in_features)
assert widths == (24, 96, 96), f"width, norm and projection of four tokens: {widths}, expected (24, 96, 96)"
