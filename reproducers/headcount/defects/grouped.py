"""Known defects: grouped queries, where several heads of queries read one of keys and values."""

from headcount.defects.conditions import (
    GLOBAL,
    GROUPED_QUERIES,
    KEEPS_HEAD_DIMS,
    LOCAL,
    PRUNES_CHANNELS,
    PRUNES_HEAD_DIMS,
    PRUNES_HEADS,
    SEVERAL_STEPS,
)
from headcount.defects.defect import Breaks, Defect, Raises, Reproducer, Severity
from headcount.oracle import Problem

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="grouped-unknown",
        title="keys and values with fewer heads than queries are not known of: it crashes, or cuts across heads",
        severity=Severity.CRASH,
        hits="everyone with grouped queries",
        cause="the largest number of heads in a group is taken for that of all its layers.",
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring",
        signature=(
            Raises("RuntimeError", "is invalid for input of size"),
            Raises("ValueError", "slice step cannot be zero"),
            Breaks(Problem.REPORTED, "q"),
            Breaks(Problem.UNEVEN_HEADS, "q"),
            Breaks(Problem.COUNT, "heads"),
            Breaks(Problem.TOTAL, "heads"),
        ),
        may_show=GROUPED_QUERIES,
        examples=(
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_unknown.py", "1.4.2", "1.4.3"),
        over=(
            "411-stale-groups",
            "float-heads",
            "takes-last-head",
        ),
    ),
    Defect(
        id="grouped-head-dims",
        title="with grouped queries, head dims of keys count once per reader: none go, or features are wrong",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes head dims with grouped queries",
        cause=(
            "a channel of keys is counted once for each head of queries that reads it: where that makes all of "
            "them, the group is refused."
        ),
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.COUNT, "dims"),
            Breaks(Problem.TOTAL),
            Breaks(Problem.ATTRIBUTE),
        ),
        may_show=GROUPED_QUERIES & PRUNES_HEAD_DIMS & PRUNES_CHANNELS,
        examples=(
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "grouped-local-keepnum-prunedims-heads0-chan1of4-steps1",
        ),
        reproducer=Reproducer("grouped_head_dims.py", "1.6.1"),
    ),
    Defect(
        id="grouped-both",
        title="with grouped queries, heads and head dims at once: queries lose channels that keys keep",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes heads and head dims with grouped queries",
        cause=(
            "where heads of queries go, nothing is taken from keys and values, their head dims no more than their"
            " heads; another step's indices then reach beyond what it takes for them."
        ),
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.UNLIKE_CHANNELS, "qk"),
            Raises("IndexError", "is out of bounds for dimension"),
        ),
        may_show=GROUPED_QUERIES & LOCAL & PRUNES_HEADS & PRUNES_HEAD_DIMS,
        examples=(
            "grouped-local-prunenum-prunedims-heads1of3-chan1of2-steps1",
            "grouped-local-prunenum-prunedims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_both.py", "1.6.1"),
        over=("grouped-steps",),
    ),
    Defect(
        id="grouped-as-many",
        title="head pruning that leaves as many heads of queries as of keys is refused, after the count was lowered",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes grouped queries down to one for each key",
        cause=(
            "whether queries are grouped is decided again after their count was lowered: then keys and values are "
            "no longer spared, and the group would leave none."
        ),
        breaks="This limits the pruning ratio to be multiple of 4/28=1/7 such as [1/7, 2/7, 3/7, 4/7, 5/7, 6/7].",
        source="examples/LLMs/readme.md, of 28 heads that read 4: the last of these ratios is one that fails",
        signature=(Breaks(Problem.REPORTED, "q"),),
        may_show=GROUPED_QUERIES & LOCAL & PRUNES_HEADS & KEEPS_HEAD_DIMS,
        examples=(
            "grouped-local-prunenum-keepdims-heads1of2-chan1of2-steps1",
            "grouped-local-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_as_many.py", "1.6.1"),
        over=(
            "takes-last-head",
            "float-heads",
            "411-stale-groups",
        ),
    ),
    Defect(
        id="grouped-total",
        title="with grouped queries, global head pruning wants too many heads, and is refused with the count lowered",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes heads with grouped queries and global_pruning=True",
        cause=(
            "the heads that there were at first are counted in each group's first layer, which may be one of "
            "keys; so the target is too low, and where the count becomes 0, another step divides by it. And "
            "those of each head of keys are numbered by how many keys there are."
        ),
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.REPORTED, "q"),
            Raises("ZeroDivisionError", "division by zero"),
        ),
        may_show=GROUPED_QUERIES & GLOBAL & PRUNES_HEADS,
        examples=(
            "grouped-global-prunenum-keepdims-heads1of3-chan1of2-steps1",
            "grouped-global-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_total.py", "1.6.1"),
        over=(
            "takes-last-head",
            "float-heads",
            "411-stale-groups",
        ),
    ),
    Defect(
        id="grouped-steps",
        title="with grouped queries, a second step that prunes head dims crashes: keys are indexed as before the first",
        severity=Severity.CRASH,
        hits="who prunes head dims with grouped queries in several steps",
        cause="which channel of keys a repeated one is, is worked out with the head dim that there was at first.",
        breaks="iterative_steps (int): number of steps for iterative pruning.",
        source="MetaPruner's docstring",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=GROUPED_QUERIES & PRUNES_HEAD_DIMS & SEVERAL_STEPS,
        examples=(
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps2",
            "grouped-global-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_steps.py", "1.6.1"),
    ),
)
