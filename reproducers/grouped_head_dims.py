# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "torch-pruning==1.6.1"]
# ///
"""With grouped queries, head dims of keys count once per reader: none go, or features are wrong.

Symptom: with 1.6.1, heads of 8 channels each, 4 should be.
Cause: a channel of keys is counted once for each head of queries that reads it: where that makes all of them,
the group is refused.
Affected: 1.4.3 to 1.6.1; not fixed up to 1.6.1. Not reported upstream.
It breaks: "prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True."
(MetaPruner's docstring)
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

HEADS, READ, HEAD_DIM = 6, 2, 8  # of queries, of keys and values; three of the former read one of the latter
WIDTH = HEADS * HEAD_DIM
torch.manual_seed(0)


def repeat(states, times):
    """As transformers does it for grouped queries."""
    batch, heads, length, dim = states.shape
    return states[:, :, None].expand(batch, heads, times, length, dim).reshape(batch, heads * times, length, dim)


class Attention(torch.nn.Module):
    """With fewer heads of keys and values than of queries."""

    def __init__(self):
        super().__init__()
        self.q_proj, self.o_proj = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.k_proj, self.v_proj = (torch.nn.Linear(WIDTH, READ * HEAD_DIM) for _ in "kv")

    def forward(self, tokens):
        """(1, 4, width), twice."""
        layers = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (layer(tokens).view(1, 4, -1, HEAD_DIM).transpose(1, 2) for layer in layers)
        k, v = (repeat(states, HEADS // READ) for states in (k, v))
        weights = (q @ k.transpose(-2, -1) * HEAD_DIM**-0.5).softmax(-1)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))


model = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), Attention(), torch.nn.Linear(WIDTH, 10)).eval()
attention = model[1]
num_heads = {attention.q_proj: HEADS, attention.k_proj: READ, attention.v_proj: READ}
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

dims = attention.q_proj.out_features // HEADS
print("expected: heads of 4 channels each, half of 8")
print(f"happened: heads of {dims} channels each")
status = 0 if dims == 4 else 1 if dims == HEAD_DIM else 125
