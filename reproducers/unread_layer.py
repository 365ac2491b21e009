# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A layer whose output is not read is left as wide as it was, and the forward pass runs into it.

Shows in 1.5.3 to 1.6.1, the newest release; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import CLIPConfig, CLIPForImageClassification

torch.manual_seed(0)
vision = {"num_hidden_layers": 1, "intermediate_size": 96, "image_size": 8, "patch_size": 4}
vision |= {"hidden_size": 48, "num_attention_heads": 6}
text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}
model = CLIPForImageClassification(CLIPConfig(vision_config=vision, text_config=text, num_labels=10)).eval()
attention = model.vision_model.encoder.layers[0].self_attn
qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_head_dims": False, "pruning_ratio": 0.5}
call |= {"num_heads": dict.fromkeys(qkv, 6), "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

width = model.vision_model.encoder.layers[0].layer_norm1.weight.numel()
last = model.vision_model.post_layernorm.weight.numel()
assert last == width, f"the last norm has {last} channels, expected {width}"
