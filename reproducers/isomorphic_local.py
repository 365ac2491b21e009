# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""isomorphic=True without global_pruning fails an internal assertion, or leaves layers unpruned.

Symptom: with 1.6.1, all channels: 48 are left, 24 should be: too many.
Cause: scopes are made by structure whatever global_pruning says, and then treated as if each held one layer.
Affected: 1.4.1 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
This call fails so in 1.5.2 to 1.6.1.
It breaks: "isomorphic (bool): enable isomorphic pruning. Default: False." (MetaPruner's docstring)
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
from transformers import ViTConfig, ViTForImageClassification

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 6, 8
torch.manual_seed(0)
sizes = {"num_hidden_layers": 2, "intermediate_size": 24, "image_size": 8, "patch_size": 4}
config = ViTConfig(hidden_size=HEADS * HEAD_DIM, num_attention_heads=HEADS, **sizes)
model = ViTForImageClassification(config).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value says where it was
linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
blocks = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]  # q, k, v, output, the MLP's two
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

pruner = tp.pruner.MetaPruner(
    model,
    torch.randn(1, 3, 8, 8),
    importance=Norm(p=2),
    prune_head_dims=False,
    isomorphic=True,
    ignored_layers=[model.classifier],
    num_heads={layer: HEADS for block in blocks for layer in block[:3]},
)
pruner.step()

n = blocks[0][4].out_features + blocks[1][4].out_features
message = f"all channels: {n} are left, 24 should be: too {'few' if n < 24 else 'many'}"
wrong = [message] if n != 24 else []
print("expected: 24 channels of mlp.0, mlp.1 in all")
print("happened:", wrong[0] if wrong else "as expected")
status = 0 if not wrong else 1 if "too many" in wrong[0] else 125
