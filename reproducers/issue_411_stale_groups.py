# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.4.0"]
# ///
"""Iterative head pruning works with the head count of before: it crashes, or cuts across heads where sizes divide.

Symptom: with 1.4.0, RuntimeError at step in pruner.algorithms.metapruner.prune_local: shape '[6, -1]' is
invalid for input of size 40.
Cause: heads are scored in as many parts as there were heads at first, though an earlier step took some.
Affected: 1.3.0 to 1.4.1; fixed in 1.4.2. Upstream: https://github.com/VainF/Torch-Pruning/issues/411
This call fails so in 1.3.0 to 1.4.0. It is fine in 1.4.2 to 1.6.1.
It breaks: "iterative_steps (int): number of steps for iterative pruning." (MetaPruner's docstring)
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

HEADS, HEAD_DIM = 6, 8
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
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=0.5,
        iterative_steps=5,
        ignored_layers=[model.classifier],
        num_heads={layer: HEADS for block in blocks for layer in block[:3]},
    )
    for _ in range(5):
        pruner.step()
    status = 0
    print("no exception, as expected")
except Exception as error:
    traceback.print_exc()
    status = 1 if isinstance(error, RuntimeError) and "is invalid for input of size" in str(error) else 125
    print("expected: no exception")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
