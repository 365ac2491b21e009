# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A table with numbers for each head is taken for channels: attention stays, and the head count drops.

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
sizes = {"depths": [1], "mlp_ratio": 2, "image_size": 8, "patch_size": 2, "window_size": 2}
model = SwinForImageClassification(SwinConfig(embed_dim=48, num_heads=[6], **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {q: 6, k: 6, v: 6}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

heads = q.out_features // 8
assert pruner.num_heads[q] == heads, f"the pruner reports {pruner.num_heads[q]} heads, expected {heads}"
