# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""round_to takes dims of a head from channels of a layer: attention stays whole, or is cut down.

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
model = ViTForImageClassification(ViTConfig(hidden_size=16, num_attention_heads=2, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value tells where it was
dense = q.bias.tolist()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"round_to": 8, "num_heads": {q: 2, k: 2, v: 2}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

heads = len({dense.index(value) // 8 for value in q.bias.tolist()})
dims = len(q.bias) // heads
assert dims >= 4, f"{dims} channels of each head are left"
assert dims == 4, f"{dims} channels of each head are left, expected 4"
