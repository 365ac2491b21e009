# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.3.0"]
# ///
"""Global pruning with round_to removes the first channels, not the least important ones.

Shows in 1.3.0, fixed in 1.3.1; not reported upstream.
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
sizes = {"num_hidden_layers": 1, "intermediate_size": 20, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=8, num_attention_heads=2, **sizes)).eval()
q, k, v, out, fc1, fc2, _ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance
for weight in (fc1.weight, fc2.weight.T):
    weight.data[:] = torch.arange(20.0, 0, -1)[:, None]  # the later a channel, the less important
fc1.bias.data = torch.arange(20.0)  # tells which channels are left

others = [q, k, v, out, fc2, model.classifier]
call = {"global_pruning": True, "round_to": 8, "num_heads": {q: 2, k: 2, v: 2}, "ignored_layers": others}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

left = [int(channel) for channel in fc1.bias.tolist()]
assert len(left) < 20, "no channel is gone"
assert left == [*range(len(left))], f"channels {left} of 20 are left, expected the most important ones, the first"
