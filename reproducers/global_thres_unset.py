# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.3.0"]
# ///
"""Global pruning with no channel to remove, as with pruning_ratio=0, crashes on a threshold never set.

Symptom: with 1.3.0, UnboundLocalError at step in pruner.algorithms.metapruner.prune_global: cannot access
local variable 'thres' where it is not associated with a value.
Cause: `thres` is set only where there are channels to remove, and read in any case.
Affected: 1.3.0; fixed in 1.3.1. Not reported upstream.
This call fails so in 1.3.0. It is fine in 1.3.1 to 1.6.1.
It breaks: "pruning_ratio (float): global channel sparisty." (MetaPruner's docstring)
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
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

try:
    pruner = tp.pruner.MetaPruner(
        model,
        torch.randn(1, 3, 8, 8),
        importance=Norm(p=2),
        global_pruning=True,
        pruning_ratio=0.0,
        ignored_layers=[model.classifier],
        num_heads={layer: HEADS for block in blocks for layer in block[:3]},
    )
    pruner.step()
    status = 0
    print("no exception, as expected")
except Exception as error:
    traceback.print_exc()
    status = (
        1
        if isinstance(error, UnboundLocalError)
        and "cannot access local variable 'thres' where it is not associated with a value" in str(error)
        else 125
    )
    print("expected: no exception")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
