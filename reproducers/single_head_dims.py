# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.4.2"]
# ///
"""Attention that is down to one head loses head dims in the next step, whatever prune_head_dims says.

Shows in 1.4.2, fixed in 1.4.3; not reported upstream.
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
model = ViTForImageClassification(ViTConfig(hidden_size=48, num_attention_heads=6, **sizes)).eval()
linears = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]  # q, k, v, output and two more
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells which heads are left
for weight in (*(layer.weight for layer in linears[:3]), linears[3].weight.T):
    weight.data[:8] *= 8  # the first layer keeps this head, and loses the others early
dense = {q: q.bias.tolist() for q in (linears[0], linears[6])}
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 0.8}
call |= {"num_heads": dict.fromkeys(linears[:3] + linears[6:9], 6), "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance(p=2), iterative_steps=5, **call)
for _ in range(5):
    pruner.step()

for q, values in dense.items():
    dims = q.out_features // len({values.index(value) // 8 for value in q.bias.tolist()})
    assert dims <= 8, f"a head has {dims} dims"
    assert dims == 8, f"a head has {dims} dims, expected 8"
