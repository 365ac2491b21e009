"""Known defects: weights that end up in another place."""

from headcount.defects.conditions import PRUNES_WIDTH
from headcount.defects.defect import Breaks, Defect, Reproducer, Severity
from headcount.oracle import Problem

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="layernorm-order",
        title="LayerNorm's surviving gains and biases are shuffled: its indices are left in the order of a set",
        severity=Severity.SILENT_WEIGHTS,
        hits="everyone who prunes more than about 3/5 of the width: accuracy is lost, and nothing says so",
        cause="`keep_idxs.sort()` gives a sorted copy, which is dropped; a set's order decides which gain goes where.",
        breaks=(
            "In Torch-Pruning, we provide a series of low-level pruning functions that only prune a single layer "
            "or module."
        ),
        source=(
            "README, low-level pruning functions: prune_layernorm_out_channels is one, and this one does more "
            "than prune"
        ),
        signature=(Breaks(Problem.OTHER_INDICES, "width", where="norm"),),
        may_show=PRUNES_WIDTH,
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan3of4-steps1",
            "vit-global-prunenum-keepdims-heads1of2-chan3of4-steps1",
        ),
        reproducer=Reproducer("layernorm_order.py", "1.6.1"),
    ),
)
