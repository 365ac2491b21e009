# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""OBDCImportance cannot score the linear layers of a transformer.

Symptom: with 1.6.1, TypeError at step in pruner.importance._prepare_model: 'NoneType' object is not iterable.
Cause: the gradients of linear layers are worked out for inputs of two dimensions; a transformer's have three.
Affected: 1.4.0 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
This call fails so in 1.4.3 to 1.6.1.
It breaks: "It should accept a group as inputs, and return a 1-D tensor with the same length as the number of
channels." (docstring of Importance)
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
images = torch.randn(1, 3, 8, 8)

try:
    importance = tp.importance.OBDCImportance(num_classes=config.num_labels)
    pruner = tp.pruner.MetaPruner(
        model,
        images,
        importance=importance,
        ignored_layers=[model.classifier],
        num_heads={layer: HEADS for block in blocks for layer in block[:3]},
    )
    importance._prepare_model(model, pruner)
    logits = model(images).logits
    torch.nn.functional.cross_entropy(logits, logits.argmax(1)).backward()
    importance.step()
    importance._rm_hooks(model)
    pruner.step()
    status = 0
    print("no exception, as expected")
except Exception as error:
    traceback.print_exc()
    status = 1 if isinstance(error, TypeError) and "NoneType' object is not iterable" in str(error) else 125
    print("expected: no exception")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
