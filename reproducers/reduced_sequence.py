# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""The convolution that PVT reads keys through is cut in another way than the width: forward fails.

Shows in 1.3.0 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is RuntimeError and "normalized_shape" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import PvtConfig, PvtForImageClassification

torch.manual_seed(0)
sizes = {"num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [48, 96], "mlp_ratios": [2, 2], "image_size": 16}
sizes |= {"patch_sizes": [4, 2], "strides": [4, 2], "sequence_reduction_ratios": [2, 1], "num_labels": 10}
model = PvtForImageClassification(PvtConfig(num_attention_heads=[6, 12], **sizes)).eval()
images = torch.randn(1, 3, 16, 16)
qkv = [layer for name, layer in model.named_modules() if name.endswith((".query", ".key", ".value"))]
# What writes the width: it is ignored, so that the width stays.
writers = [layer for name, layer in model.named_modules() if name.endswith(("output.dense", "mlp.dense2"))]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_head_dims": False, "pruning_ratio": 0.5, "ignored_layers": [model.classifier, *writers]}
call |= {"num_heads": {layer: layer.in_features // 8 for layer in qkv}}
pruner = tp.pruner.MetaPruner(model, images, importance=importance(p=2), **call)
pruner.step()

assert qkv[0].in_features == 48, f"{qkv[0].in_features} of 48 channels of the width are left"
model(images)
