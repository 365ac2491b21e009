"""Known defects: nn.MultiheadAttention."""

from headcount.defects.conditions import GLOBAL, LOCAL, MULTIHEAD, PRUNES_HEAD_DIMS, PRUNES_HEADS, PRUNES_WIDTH
from headcount.defects.defect import Breaks, Defect, Raises, Reproducer, Severity
from headcount.oracle import Problem

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="multihead-unpruned",
        title="nn.MultiheadAttention named in num_heads keeps the width from being pruned, silently",
        severity=Severity.SILENT_COUNTS,
        hits="who names nn.MultiheadAttention in num_heads, with global_pruning=False",
        cause=(
            "a group with attention is looked at from a layer that reads it, where it is not found to be "
            "attention again: local pruning leaves it."
        ),
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring; MultiheadAttention is one of the layers that the README says are supported",
        signature=(Breaks(Problem.COUNT, "dims", untouched=True),),
        may_show=MULTIHEAD & LOCAL & PRUNES_HEAD_DIMS & PRUNES_WIDTH,
        examples=(
            "multihead-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "multihead-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("multihead_unpruned.py", "1.6.1", "1.4.0"),
    ),
    Defect(
        id="multihead-global",
        title="global head pruning crashes on nn.MultiheadAttention named in num_heads",
        severity=Severity.CRASH,
        hits="who names nn.MultiheadAttention in num_heads, with global_pruning=True",
        cause="the head dim is worked out from out_features, which this layer does not have.",
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring; MultiheadAttention is one of the layers that the README says are supported",
        signature=(Raises("AttributeError", "has no attribute 'out_features'", "._prune"),),
        may_show=MULTIHEAD & GLOBAL & PRUNES_HEADS,
        examples=(
            "multihead-global-prunenum-keepdims-heads1of3-chan1of2-steps1",
            "multihead-global-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("multihead_global.py", "1.6.1", "1.4.2"),
    ),
)
