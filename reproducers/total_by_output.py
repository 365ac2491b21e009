# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.4.0"]
# ///
"""Global pruning of a pruned model takes the width for the channels of its attention.

Shows in 1.3.1 to 1.4.0, fixed in 1.4.1; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 24, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=16, num_attention_heads=4, **sizes)).eval()
q, k, v, out, fc1, fc2, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
images = torch.randn(1, 3, 8, 8)
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 0.5}
call |= {"num_heads": {q: 4, k: 4, v: 4}, "ignored_layers": [model.classifier, out, fc2]}
pruner = tp.pruner.MetaPruner(model, images, importance=importance(p=2), **call)
pruner.step()
for module in model.modules():  # as examples/transformers/prune_hf_vit.py does
    if hasattr(module, "num_attention_heads"):
        layer = getattr(module, "query", None) or module.q_proj
        module.num_attention_heads = pruner.num_heads[layer]
        module.attention_head_size = module.head_dim = layer.out_features // pruner.num_heads[layer]
        module.all_head_size = layer.out_features
call["num_heads"] = {layer: pruner.num_heads[layer] for layer in call["num_heads"]}
pruner = tp.pruner.MetaPruner(model, images, importance=importance(p=2), **call)
pruner.step()

total = fc1.out_features
assert total >= 3, f"{total} channels in all are left"
assert 3 <= total <= 7, f"{total} channels in all are left, expected 3 to 7"
