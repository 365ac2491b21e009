# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "transformers==4.57.6", "torch-pruning==1.3.4"]
# ///
"""step() of GroupNormPruner, BNScalePruner and GrowingRegPruner prunes nothing, silently.

Symptom: with 1.3.4, block 0: 2 heads are left, 1 should be: too many.
Cause: `yield` makes their `step` a generator: nothing in it is run until someone goes through it.
Affected: 1.3.3 to 1.3.4; fixed in 1.3.5. Not reported upstream.
It breaks: "prune_num_heads (bool): remove entire heads in multi-head attention." (GroupNormPruner's
docstring; in README, pruner.step() prunes)
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
from transformers import ViTConfig, ViTForImageClassification

print("tested:", tp.__file__)

HEADS, HEAD_DIM = 2, 2
torch.manual_seed(0)
sizes = {"num_hidden_layers": 1, "intermediate_size": 8, "image_size": 8, "patch_size": 4}
config = ViTConfig(hidden_size=HEADS * HEAD_DIM, num_attention_heads=HEADS, **sizes)
model = ViTForImageClassification(config).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.1)  # no two are equal: a value says where it was
linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
blocks = [linears[i : i + 6] for i in range(0, len(linears) - 1, 6)]  # q, k, v, output, the MLP's two
Norm = getattr(tp.importance, "GroupNormImportance", None) or tp.importance.GroupMagnitudeImportance  # renamed in 1.5.2
dense = [block[0].bias.tolist() for block in blocks]

pruner = tp.pruner.GroupNormPruner(
    model,
    torch.randn(1, 3, 8, 8),
    importance=Norm(p=2),
    prune_num_heads=True,
    head_pruning_ratio=0.5,
    ignored_layers=[model.classifier],
    num_heads={layer: HEADS for block in blocks for layer in block[:3]},
)
pruner.step()

# which heads the channels that are left were of
heads = [len({d.index(b) // HEAD_DIM for b in q.bias.tolist()}) for d, (q, *_) in zip(dense, blocks)]
said = [pruner.num_heads[block[0]] for block in blocks]
assert said == heads, f"another failure: the pruner says {said} heads, there are {heads}"
wrong = [
    f"block {i}: {n} heads are left, 1 should be: too {'few' if n < 1 else 'many'}"
    for i, n in enumerate(heads)
    if n != 1
]
print("expected: 1 heads in every block")
print("happened:", wrong[0] if wrong else "as expected")
status = 0 if not wrong else 1 if "too many" in wrong[0] else 125
