# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Global pruning takes every head and channel that ties with the last one to go, in all layers.

Shows in 1.3.0 to 1.6.1, the newest release; not reported upstream.
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
sizes = {"num_hidden_layers": 2, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=48, num_attention_heads=6, **sizes)).eval()
linears = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]  # six in a block, q, k, v first
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells which heads are left
dense = {q: q.bias.tolist() for q in (linears[0], linears[6])}

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": dict.fromkeys(linears[:3] + linears[6:9], 6), "ignored_layers": [model.classifier]}
call |= {"importance": lambda group, **_: torch.ones(len(group[0][1]))}  # all heads tie
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), **call)
pruner.step()

for q, values in dense.items():
    heads = len({values.index(value) // 8 for value in q.bias.tolist()})
    assert pruner.num_heads[q] == heads, f"the pruner reports {pruner.num_heads[q]} heads, expected {heads}"
