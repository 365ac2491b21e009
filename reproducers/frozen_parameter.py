# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A frozen parameter is left as wide as it was: positions that are not trained no longer fit.

Symptom: with 1.6.1, positions of 48 channels stay beside tokens of 24.
Cause: the graph is made of gradients, and what needs none is not in it.
Affected: 1.3.6 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
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
from transformers import ViTMAEConfig, ViTMAEModel

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 6, 8
WIDTH = HEADS * HEAD_DIM
torch.manual_seed(0)
sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": 1, "image_size": 8, "patch_size": 4}
model = ViTMAEModel(ViTMAEConfig(**sizes, intermediate_size=96, mask_ratio=0.0)).eval()
ignored = []
images = torch.randn(1, 3, 8, 8)
names = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "qkv")
projections = [m for n, m in model.named_modules() if n.rpartition(".")[2] in names]
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

pruner = tp.pruner.MetaPruner(
    model,
    images,
    importance=Norm(p=2),
    prune_num_heads=True,
    prune_head_dims=False,
    head_pruning_ratio=1 / 3,
    ignored_layers=ignored,
    num_heads=dict.fromkeys(projections, HEADS),
)
pruner.step()

width, frozen = model.layernorm.weight.numel(), model.embeddings.position_embeddings.shape[-1]
print(f"expected: the frozen positions have as many channels as the tokens: {width}")
print("happened:", "as expected" if frozen == width else f"they have {frozen}")
status = 0 if frozen == width else 1
