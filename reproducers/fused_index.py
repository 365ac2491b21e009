# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.6.1"]
# ///
"""A fused qkv projection that is taken apart by qkv[0], qkv[1], qkv[2] crashes, where unbind does not.

Symptom: with 1.6.1, IndexError: index 48 is out of bounds for dimension 0 with size 48.
Cause: an index is an operation on each element to the graph: the channels of a part are not mapped to those
of the whole.
Affected: 1.3.0 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
It breaks: "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to
automatically identify dependencies and collect groups for pruning." (README, Why Torch-Pruning?)
Exit status: 0 good, 1 the defect is there, 125 cannot be tested; from a clone of Torch-Pruning:
PYTHONPATH=. git bisect run python THIS_FILE
"""

import atexit
import os
import sys
import traceback

status = 125  # cannot be tested, unless it comes to an answer


@atexit.register
def leave():
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)


import torch
import torch_pruning as tp

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 6, 8
WIDTH = HEADS * HEAD_DIM
torch.manual_seed(0)


class Attention(torch.nn.Module):
    """Of heads that come from one projection."""

    def __init__(self):
        super().__init__()
        self.positions = torch.nn.Parameter(torch.randn(1, 4, WIDTH))
        self.qkv, self.proj = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens):
        """(1, 4, width), twice."""
        fused = self.qkv(tokens + self.positions)
        parts = fused.reshape(1, 4, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        q, k, v = parts[0], parts[1], parts[2]
        weights = (q @ k.transpose(-2, -1) * HEAD_DIM**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


model = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), Attention(), torch.nn.Linear(WIDTH, 10)).eval()
ignored = [model[2]]
tokens = torch.randn(1, 4, WIDTH)
names = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "qkv")
projections = [m for n, m in model.named_modules() if n.rpartition(".")[2] in names]
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

try:
    pruner = tp.pruner.MetaPruner(
        model,
        tokens,
        importance=Norm(p=2),
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=1 / 3,
        ignored_layers=ignored,
        num_heads=dict.fromkeys(projections, HEADS),
    )
    pruner.step()
    status = 0
    print("no exception, as expected")
except Exception as error:
    traceback.print_exc()
    status = 1 if isinstance(error, IndexError) and "is out of bounds for dimension" in str(error) else 125
    print("expected: no exception")
    print(f"happened: {type(error).__name__}: {str(error)[:500].strip()}")
