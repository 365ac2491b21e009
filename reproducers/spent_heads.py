# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Global head pruning in steps leaves too many heads once a layer is down to its last channel.

Shows in 1.4.2 to 1.6.1, the newest release; not reported upstream.
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
sizes = {"num_hidden_layers": 2, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=8, num_attention_heads=8, **sizes)).eval()
layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
(q1, k1, v1), (q2, k2, v2) = layers[:3], layers[6:9]
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)
for layer in (q1, k1, v1):  # by its layer's mean, each head of this one but the first is less than all of the other
    layer.weight.data[0] *= 100
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 0.875}
call |= {"num_heads": dict.fromkeys((q1, k1, v1, q2, k2, v2), 8), "ignored_layers": [model.classifier]}
call |= {"iterative_steps": 2}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
for _ in range(2):
    pruner.step()

heads = q1.out_features + q2.out_features
assert heads == 2, f"{heads} heads of 16 are left, expected an eighth: 2"
