# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Where a step refused attention that has a table for each head, the next crashes.

Symptom: with 1.6.1, RuntimeError, shape '[5, -1]' is invalid for input of size 48.
Cause: the count was lowered, though all channels are still there; their scores are dealt out to as many heads as it
says.
Affected: 1.4.2 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
It breaks: "iterative_steps (int): number of steps for iterative pruning." (MetaPruner's docstring)
Exit status: 0 good, 1 the defect is there, 125 cannot be tested; from a clone of Torch-Pruning:
PYTHONPATH=. git bisect run python THIS_FILE
"""

import atexit
import os
import sys

status = 125  # cannot be tested, unless it comes to an answer


@atexit.register
def leave():
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)


import torch
import torch_pruning as tp
from transformers import SwinConfig, SwinForImageClassification

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 6, 8
WIDTH = HEADS * HEAD_DIM
torch.manual_seed(0)
sizes = {"embed_dim": WIDTH, "num_heads": [HEADS], "depths": [2], "image_size": 8, "patch_size": 2, "window_size": 2}
model = SwinForImageClassification(SwinConfig(**sizes, mlp_ratio=2.0)).eval()
ignored = [model.classifier]
images = torch.randn(1, 3, 8, 8)
names = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "qkv")
projections = [m for n, m in model.named_modules() if n.rpartition(".")[2] in names]
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

pruner = tp.pruner.MetaPruner(
    model,
    images,
    importance=Norm(p=2),
    iterative_steps=2,
    prune_num_heads=True,
    prune_head_dims=False,
    head_pruning_ratio=1 / 3,
    ignored_layers=ignored,
    num_heads=dict.fromkeys(projections, HEADS),
)
print("expected: both steps come to their end")
pruner.step()
try:
    pruner.step()
except RuntimeError as error:
    if "is invalid for input of size" not in str(error):
        raise
    print(f"happened: RuntimeError: {error}")
    status = 1
else:
    print("happened: as expected")
    status = 0
