# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A table with numbers for each head is taken for channels: attention stays, and the head count drops.

Symptom: with 1.6.1, the pruner says 3 heads, the query has 48 channels: 6 heads.
Cause: a table's last dimension is coupled to the channels of attention, of which it has too few; the group is
refused after the head count was lowered, or is no group for the layer that is ignored in it. Where more rows would be
left than none, the channels go and the table stays.
Affected: 1.3.0 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
It breaks: "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to
automatically identify dependencies and collect groups for pruning." (README, Why Torch-Pruning?)
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
    global_pruning=True,
    prune_num_heads=True,
    prune_head_dims=False,
    head_pruning_ratio=1 / 3,
    ignored_layers=ignored,
    num_heads=dict.fromkeys(projections, HEADS),
)
pruner.step()

query = projections[0]
said, left = pruner.num_heads[query], query.out_features // HEAD_DIM
print(f"expected: the pruner says as many heads as the query's channels are of: {left}")
print("happened:", "as expected" if said == left else f"it says {said}")
status = 0 if said == left else 1
