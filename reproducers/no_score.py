# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.5.0"]
# ///
"""A group without a score crashes: its length is taken before it is looked at.

Symptom: with 1.5.0, TypeError at step in pruner.algorithms.metapruner._prune: object of type 'NoneType' has
no len().
Cause: the group's size is worked out by `len(imp)` one line before `if imp is None: continue`.
Affected: 1.3.1 to 1.5.0; fixed in 1.5.1. Not reported upstream.
This call fails so in 1.3.1 to 1.5.0. It is fine in 1.3.0, 1.5.1 to 1.6.1.
It breaks: "importance (Callable): importance estimator." (MetaPruner's docstring; every criterion returns
None to "skip groups without parameterized layers")
Exit status: 0 good, 1 the defect is there, 125 cannot be tested; from a clone of Torch-Pruning:
PYTHONPATH=. git bisect run python THIS_FILE
"""

import atexit
import os
import sys
import traceback

status = 125  # cannot be tested, unless it comes to an answer


@atexit.register
def leave():
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)


import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 2, 2
torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
config = ViTConfig(hidden_size=HEADS * HEAD_DIM, num_attention_heads=HEADS, **sizes)
model = ViTForImageClassification(config).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value says where it was
linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
blocks = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]  # q, k, v, output, the MLP's two

try:
    pruner = tp.pruner.MetaPruner(
        model,
        torch.randn(1, 3, 8, 8),
        importance=tp.importance.BNScaleImportance(),
        global_pruning=True,
        ignored_layers=[model.classifier],
        num_heads={layer: HEADS for block in blocks for layer in block[:3]},
    )
    pruner.step()
    status = 0
    print("no exception, as expected")
except Exception as error:
    traceback.print_exc()
    status = 1 if isinstance(error, TypeError) and "object of type 'NoneType' has no len" in str(error) else 125
    print("expected: no exception")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
