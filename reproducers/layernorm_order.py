# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""LayerNorm's surviving gains and biases are shuffled: its indices are left in the order of a set.

Symptom: with 1.6.1, weights do not fit together: vit.encoder.layer.0.layernorm_after.bias: keeps other
indices of width than its neighbours and 5 more.
Cause: `keep_idxs.sort()` gives a sorted copy, which is dropped; a set's order decides which gain goes where.
Affected: 1.3.0 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
This call fails so in 1.3.0 to 1.6.1.
It breaks: "In Torch-Pruning, we provide a series of low-level pruning functions that only prune a single
layer or module." (README, low-level pruning functions: prune_layernorm_out_channels is one, and this one does
more than prune)
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
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
config = ViTConfig(hidden_size=HEADS * HEAD_DIM, num_attention_heads=HEADS, **sizes)
model = ViTForImageClassification(config).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value says where it was
linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
blocks = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]  # q, k, v, output, the MLP's two
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2
dense = {name: p.tolist() for name, p in model.named_parameters() if p.dim() == 1}

pruner = tp.pruner.MetaPruner(
    model,
    torch.randn(1, 3, 8, 8),
    importance=Norm(p=2),
    pruning_ratio=0.75,
    ignored_layers=[model.classifier],
    num_heads={layer: HEADS for block in blocks for layer in block[:3]},
)
pruner.step()

left = {n: [dense[n].index(x) for x in model.get_parameter(n).tolist()] for n in dense}
width = next(left[n] for n, p in model.named_parameters() if p is blocks[0][5].bias)
strays = sorted(n for n in left if "norm" in n and left[n] != width)
more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
first = "weights do not fit together: {}: keeps other indices of width than its neighbours{}"
wrong = [first.format(strays[0], more)] if strays else []
print("expected: all layers keep the same channels of the width, in the same order")
print("happened:", wrong[0] if wrong else "as expected")
status = 1 if wrong else 0
