# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.4.0"]
# ///
"""pruning_ratio_dict is ignored for attention in local pruning.

Shows in 1.3.1 to 1.4.0, fixed in 1.4.1; not reported upstream.
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
model = ViTForImageClassification(ViTConfig(hidden_size=8, num_attention_heads=2, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value tells where it was
dense = q.bias.tolist()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"num_heads": {q: 2, k: 2, v: 2}, "ignored_layers": [model.classifier], "pruning_ratio_dict": {q: 0.25}}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

heads = len({dense.index(value) // 4 for value in q.bias.tolist()})
dims = len(q.bias) // heads
assert dims <= 3, f"{dims} channels of each head are left"
assert dims == 3, f"{dims} channels of each head are left, expected 3"
