# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""The convolution that PVT reads keys through is cut though the width stays: forward fails.

Symptom: with 1.6.1, RuntimeError: Given normalized_shape=[24], expected input with shape [*, 24].
Cause: the model gives the convolution's output as many channels as its input has, by a number: what the graph is
made from does not show it.
Affected: 1.3.0 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
It breaks: "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to
automatically identify dependencies and collect groups for pruning." (README, Why Torch-Pruning?)
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
from transformers import PvtConfig, PvtForImageClassification

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 6, 8
WIDTH = HEADS * HEAD_DIM
torch.manual_seed(0)
stages = {"num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [WIDTH, 2 * WIDTH], "mlp_ratios": [2, 2]}
patches = {"patch_sizes": [4, 2], "strides": [4, 2], "sequence_reduction_ratios": [2, 1], "image_size": 16}
config = PvtConfig(**stages, **patches, num_attention_heads=[HEADS, 2 * HEADS], num_labels=10)
model = PvtForImageClassification(config).eval()
writers = [m for n, m in model.named_modules() if n.endswith(("output.dense", "mlp.dense2"))]  # what writes the width
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
    ignored_layers=[model.classifier, *writers],
    num_heads=num_heads,
)
pruner.step()

assert projections[0].in_features == WIDTH, "the width was to stay"
try:
    model(images)
    status = 0
    print("the forward pass runs, as expected")
except Exception as error:
    traceback.print_exc()
    status = 1 if isinstance(error, RuntimeError) and "normalized_shape" in str(error) else 125
    print("expected: the forward pass runs")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
