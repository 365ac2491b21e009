# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.3.5"]
# ///
"""LAMPImportance gives its scores back in sorted order, not in the channels'.

Shows in 1.3.0 to 1.3.5, fixed in 1.3.6; not reported upstream.
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
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=6, num_attention_heads=3, **sizes)).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells which heads are left
q, k, v, out, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
dense = q.bias.tolist()
scales = [0.57, 0.2, 1.62]  # one for each head: larger weights are more important
for weight in (q.weight, k.weight, v.weight, out.weight.T):
    weight.data *= torch.tensor(scales).repeat_interleave(2)[:, None]

call = {"prune_num_heads": True, "head_pruning_ratio": 0.5}
call |= {"num_heads": {q: 3, k: 3, v: 3}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=tp.importance.LAMPImportance(), **call)
pruner.step()

left = {scales[dense.index(value) // 2] for value in q.bias.tolist()}
gone = set(scales) - left
assert max(gone, default=0) < min(left), f"heads of scales {gone} are gone, expected those of the smallest scales"
