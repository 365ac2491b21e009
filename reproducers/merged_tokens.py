# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Patch merging: of four tokens read side by side only some follow the width, or the width stays.

Symptom: with 1.6.1, the width is halved to 24 channels, and the norm that reads four tokens is left with 144, not 96.
Cause: the indices of a concatenation along the last dimension, of slices of one tensor, are not those of its four
parts: one part is cut, or two, or what was found is refused.
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
stages = {"embed_dim": WIDTH, "num_heads": [HEADS, 2 * HEADS], "depths": [1, 1]}
config = SwinConfig(**stages, image_size=16, patch_size=2, window_size=2, mlp_ratio=2.0)
model = SwinForImageClassification(config).eval()
ignored = [model.classifier]
images = torch.randn(1, 3, 16, 16)
projections = [m for n, m in model.named_modules() if n.rpartition(".")[2] in ("query", "key", "value")]
num_heads = {m: HEADS if m.in_features == WIDTH else 2 * HEADS for m in projections}
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

pruner = tp.pruner.MetaPruner(
    model,
    images,
    importance=Norm(p=2),
    prune_head_dims=False,
    pruning_ratio=0.5,
    ignored_layers=ignored,
    num_heads=num_heads,
)
pruner.step()

width = projections[0].in_features
merging = next(m for m in model.modules() if hasattr(m, "reduction"))
read = merging.reduction.in_features
print(f"expected: a width of {WIDTH // 2}, and a norm and a projection that read {4 * (WIDTH // 2)} channels")
print(f"happened: a width of {width}, and {merging.norm.normalized_shape[0]} and {read} channels")
status = 0 if (width, read, merging.norm.normalized_shape[0]) == (WIDTH // 2, 2 * WIDTH, 2 * WIDTH) else 1
