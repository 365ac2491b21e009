# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A pruner writes into the default dictionaries of all pruners.

Symptom: with 1.6.1, another pruner's out_channel_groups holds 3 modules of this one's model.
Cause: `out_channel_groups: dict = dict()` is one dictionary for all calls, and num_heads is put into it.
Affected: 1.3.0 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
This call fails so in 1.3.0 to 1.6.1.
It breaks: "out_channel_groups (Dict[nn.Module, int]): The number of channel groups for layer output. Default:
dict()." (MetaPruner's docstring)
Exit status: 0 good, 1 the defect is there, 125 cannot be tested; from a clone of Torch-Pruning:
PYTHONPATH=. git bisect run python THIS_FILE
"""

import atexit
import copy
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

HEADS, HEAD_DIM = 2, 4
torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
config = ViTConfig(hidden_size=HEADS * HEAD_DIM, num_attention_heads=HEADS, **sizes)
model = ViTForImageClassification(config).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value says where it was
linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
blocks = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]  # q, k, v, output, the MLP's two
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2
twin = copy.deepcopy(model)
linears = [m for m in twin.modules() if isinstance(m, torch.nn.Linear)]
twins = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]
images = torch.randn(1, 3, 8, 8)

pruner = tp.pruner.MetaPruner(
    model,
    images,
    importance=Norm(p=2),
    ignored_layers=[model.classifier],
    num_heads={layer: HEADS for block in blocks for layer in block[:3]},
)
pruner.step()

another = tp.pruner.MetaPruner(
    twin,
    images,
    importance=Norm(p=2),
    ignored_layers=[twin.classifier],
    num_heads={layer: HEADS for block in twins for layer in block[:3]},
)
own = set(twin.modules())
n = sum(module not in own for module in another.out_channel_groups)
wrong = [f"another pruner's out_channel_groups holds {n} modules of this one's model"] if n else []
print("expected: a second pruner, of another model, knows nothing of this one's")
print("happened:", wrong[0] if wrong else "as expected")
status = 1 if wrong else 0
