# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""Frozen weights that no gradient reaches are left as wide as they were: they no longer fit.

Shows in 1.3.0 to 1.6.1, the newest release, in this call from 1.3.6 on; not reported upstream.
"""

import sys
import traceback


def status(kind, error, _):  # for `git bisect run`: 1 is this failure, 125 is any other
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)


sys.excepthook = status
import torch
import torch_pruning as tp
from transformers import ViTMAEConfig, ViTMAEModel

torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4, "mask_ratio": 0.0}
model = ViTMAEModel(ViTMAEConfig(hidden_size=48, num_attention_heads=6, **sizes)).eval()
q, k, v, *_ = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
importance = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance

call = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 1 / 3}
call |= {"num_heads": {q: 6, k: 6, v: 6}, "ignored_layers": []}
pruner = tp.pruner.MetaPruner(model, torch.randn(1, 3, 8, 8), importance=importance(p=2), **call)
pruner.step()

width, frozen = model.layernorm.weight.numel(), model.embeddings.position_embeddings.shape[-1]
assert frozen == width, f"the frozen positions have {frozen} channels, expected {width}"
