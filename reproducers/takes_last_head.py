# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""The head count drops to 0 while the weights stay: the group that would take a layer's last head is refused; another step divides by it.

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
layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
(q1, k1, v1), (q2, k2, v2) = layers[:3], layers[6:9]
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells which heads are left
dense = {q: q.bias.tolist() for q in (q1, q2)}
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 0.9}
call |= {"num_heads": dict.fromkeys((q1, k1, v1, q2, k2, v2), 6), "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

for q in (q1, q2):
    heads = len({dense[q].index(value) // 8 for value in q.bias.tolist()})
    assert pruner.num_heads[q] == heads, f"the pruner reports {pruner.num_heads[q]} heads, expected {heads}"
