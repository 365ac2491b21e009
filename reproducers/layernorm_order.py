# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""LayerNorm's surviving gains and biases are shuffled: its indices are left in the order of a set.

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
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=48, num_attention_heads=6, **sizes)).eval()
q, k, v, _, _, output, _ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: what is left tells where it was
norms = {name: value.tolist() for name, value in model.named_parameters() if "norm" in name}
dense = output.bias.tolist()
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"pruning_ratio": 0.75}
call |= {"num_heads": {q: 6, k: 6, v: 6}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

width = [dense.index(value) for value in output.bias.tolist()]
for name, values in norms.items():
    left = [values.index(value) for value in model.get_parameter(name).tolist()]
    assert sorted(left) == width, f"{name} keeps channels {left}, its neighbour {width}"
    assert left == width, f"{name} keeps channels in the order {left}, expected {width}"
