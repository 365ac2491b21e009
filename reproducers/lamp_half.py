# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.5.1"]
# ///
"""LAMPImportance crashes in half precision: it puts scores of 16 bits into a tensor of float32.

Shows in 1.4.0 to 1.5.1, fixed in 1.5.2; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is RuntimeError and "Index put requires the source and" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTConfig, ViTForImageClassification

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
model = ViTForImageClassification(ViTConfig(hidden_size=4, num_attention_heads=2, **sizes)).eval().to(torch.bfloat16)
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = tp.importance.LAMPImportance()

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3, "num_heads": {q: 2, k: 2, v: 2}}
call |= {"ignored_layers": [model.classifier]}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8, dtype=torch.bfloat16), importance=importance, **call)
pruner.step()
