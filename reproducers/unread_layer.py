# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A layer whose output is not read is left as wide as it was, and the forward pass runs into it.

Symptom: with 1.6.1, CLIP's last norm has 48 channels, the tokens that it is given have fewer.
Cause: the graph is made from the output backwards: CLIP's last norm is on no way to the logits, though it is
run.
Affected: 1.5.3 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
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

pruner = tp.pruner.MetaPruner(
    model,
    images,
    importance=Norm(p=2),
    global_pruning=True,
    prune_head_dims=False,
    ignored_layers=ignored,
    num_heads=dict.fromkeys(projections, HEADS),
)
pruner.step()

width = model.vision_model.encoder.layers[0].layer_norm1.weight.numel()
last = model.vision_model.post_layernorm.weight.numel()
print(f"expected: every norm of the image encoder has {width} channels")
print("happened:", "as expected" if last == width else f"the last one has {last}")
status = 0 if last == width else 1
