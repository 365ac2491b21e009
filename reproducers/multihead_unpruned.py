# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""Nn.MultiheadAttention named in num_heads keeps the width from being pruned, silently.

Symptom: with 1.6.1, heads of 8 channels each, 4 should be.
Cause: a group with attention is looked at from a layer that reads it, where it is not found to be attention
again: local pruning leaves it.
Affected: 1.4.1 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
It breaks: "num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention." (MetaPruner's
docstring; MultiheadAttention is one of the layers that the README says are supported)
Exit status: 0 good, 1 the defect is there, 125 cannot be tested; from a clone of Torch-Pruning:
PYTHONPATH=. git bisect run python THIS_FILE
"""

import atexit
import os
import sys

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


class Block(torch.nn.Module):
    """PyTorch's own attention, then an MLP, each beside the residual stream."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.fc1, self.fc2 = torch.nn.Linear(WIDTH, 96), torch.nn.Linear(96, WIDTH)

    def forward(self, tokens):
        """(1, 4, width), twice."""
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens + self.fc2(self.fc1(tokens))


model = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), Block(), torch.nn.Linear(WIDTH, 10)).eval()
attention = model[1].attention
num_heads = {attention: HEADS}
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2

pruner = tp.pruner.MetaPruner(
    model,
    torch.randn(1, 4, WIDTH),
    importance=Norm(p=2),
    prune_num_heads=False,
    ignored_layers=[model[2]],
    num_heads=num_heads,
)
pruner.step()

dims = attention.embed_dim // HEADS
print("expected: heads of 4 channels each, half of 8")
print(f"happened: heads of {dims} channels each")
status = 0 if dims == 4 else 1 if dims == HEAD_DIM else 125
