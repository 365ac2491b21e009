# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""tp.load_state_dict crashes on every model of transformers: it sets properties that cannot be set.

Shows in 1.3.0 to 1.6.1, the newest release: https://github.com/VainF/Torch-Pruning/issues/216
"""

import copy
import sys
import traceback


def status(kind, error, trace):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    names = [frame.name for frame in traceback.extract_tb(trace)]
    sys.exit(1 if kind is AttributeError and "has no setter" in str(error) and "load_state_dict" in names else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=8, num_attention_heads=2, **sizes)).eval()
fresh = copy.deepcopy(model)
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"num_heads": {q: 2, k: 2, v: 2}, "ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

tp.load_state_dict(fresh, state_dict=tp.state_dict(model))
