"""Known defects: tables with numbers for each head, and merged tokens."""

from headcount.defects.conditions import PRUNES_HEADS, PRUNES_WIDTH, SEVERAL_STEPS, STAGES, TABLES
from headcount.defects.defect import Breaks, Defect, Raises, Reproducer, Severity
from headcount.oracle import Problem, Side

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="per-head-table",
        title="a table with numbers for each head is taken for channels: attention stays, and the head count drops",
        severity=Severity.SILENT_COUNTS,
        hits="everyone who prunes attention with relative positions, as Swin's and BEiT's",
        cause=(
            "a table's last dimension is coupled to the channels of attention, of which it has too few; the group"
            " is refused after the head count was lowered, or is no group for the layer that is ignored in it. "
            "Where more rows would be left than none, the channels go and the table stays."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(
            Breaks(Problem.REPORTED),
            Breaks(Problem.COUNT, "dims", untouched=True),
            Breaks(Problem.TOTAL, side=Side.TOO_MANY),
            Breaks(Problem.OTHER_HEADS),
        ),
        may_show=TABLES,
        examples=(
            "swin-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "swin-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("per_head_table.py", "1.6.1"),
        over=(
            "411-stale-groups",
            "float-heads",
            "merged-tokens",
        ),
    ),
    Defect(
        id="per-head-table-steps",
        title="where a step refused attention that has a table for each head, the next crashes",
        severity=Severity.CRASH,
        hits="who prunes heads with relative positions in several steps",
        cause=(
            "the count was lowered, though all channels are still there; their scores are dealt out to as many "
            "heads as it says."
        ),
        breaks="iterative_steps (int): number of steps for iterative pruning.",
        source="MetaPruner's docstring",
        signature=(Raises("RuntimeError", "is invalid for input of size"),),
        may_show=TABLES & PRUNES_HEADS & SEVERAL_STEPS,
        examples=(
            "swin-local-prunenum-keepdims-heads1of3-chan1of2-steps2",
            "swin-local-prunenum-prunedims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("per_head_table_steps.py", "1.6.1", "1.4.0"),
        over=("411-stale-groups",),
    ),
    Defect(
        id="merged-tokens",
        title="patch merging: of four tokens read side by side only some follow the width, or the width stays",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes the width of Swin without a pruner for what merges tokens",
        cause=(
            "the indices of a concatenation along the last dimension, of slices of one tensor, are not those of "
            "its four parts: one part is cut, or two, or what was found is refused."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(
            Breaks(Problem.OTHER_INDICES, "width", where="downsample"),
            Breaks(Problem.COUNT, "width", side=Side.TOO_MANY),
            Breaks(Problem.TOTAL, side=Side.TOO_MANY),
        ),
        may_show=TABLES & STAGES & PRUNES_WIDTH,
        examples=(
            "swin_stages-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "swin_stages-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("merged_tokens.py", "1.6.1"),
        over=("layernorm-order",),
    ),
)
