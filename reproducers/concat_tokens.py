# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.5.2"]
# ///
"""Tokens put one after another are taken for channels side by side: pruning the width crashes.

Symptom: with 1.5.2, IndexError: index 48 is out of bounds for dimension 0 with size 48.
Cause: a concatenation along dimension 1 is one of channels, unless a parameter of three dimensions comes into
it; CLIP's class token has one.
Affected: 1.3.0 to 1.5.2; fixed in 1.5.3. Not reported upstream.
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
from transformers import CLIPConfig, CLIPForImageClassification

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 6, 8
WIDTH = HEADS * HEAD_DIM
torch.manual_seed(0)
sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": 1, "image_size": 8, "patch_size": 4}
text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}
config = CLIPConfig(vision_config={**sizes, "intermediate_size": 96}, text_config=text, num_labels=10)
model = CLIPForImageClassification(config).eval()
ignored = [model.classifier]
images = torch.randn(1, 3, 8, 8)
names = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "qkv")
projections = [m for n, m in model.named_modules() if n.rpartition(".")[2] in names]
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

try:
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
    status = 0
    print("no exception, as expected")
except Exception as error:
    traceback.print_exc()
    status = 1 if isinstance(error, IndexError) and "is out of bounds for dimension" in str(error) else 125
    print("expected: no exception")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
