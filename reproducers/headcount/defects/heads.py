"""Known defects: how many heads go, and when."""

from math import ceil, floor

from headcount import matrix, oracle
from headcount.defects.defect import (
    GLOBAL,
    HEAD_RATIO_DICT,
    KEEPS_HEAD_DIMS,
    LOCAL,
    PRUNES_HEADS,
    SEVERAL_STEPS,
    Breaks,
    Condition,
    Defect,
    Raises,
    Reproducer,
    Severity,
    criterion,
)


def _floats_miss(cell: matrix.Cell) -> bool:
    """Return whether a count of heads times the ratio is rounded to another whole number in floats."""
    ratio, counts = cell.config.head_pruning_ratio, (*cell.model.block_heads, sum(cell.model.block_heads))
    shares = ((ratio, float(ratio)), (1 - ratio, float(1 - ratio)), (1 - ratio, 1 - float(ratio)))
    products = ((count * exact, count * close) for count in counts for exact, close in shares)
    return any(rounding(exact) != rounding(close) for exact, close in products for rounding in (floor, ceil))


DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="410-total-heads",
        title="local head pruning crashes: initial_total_heads is set for global pruning only",
        severity=Severity.CRASH,
        hits="everyone who prunes heads with global_pruning=False",
        cause="`initial_total_heads` is set in `if self.global_pruning:`, but every pruning of heads reads it.",
        breaks="prune_num_heads (bool): remove entire heads in multi-head attention.",
        source="MetaPruner's docstring",
        signature=(Raises("AttributeError", "no attribute 'initial_total_heads'", "._prune"),),
        may_show=LOCAL & PRUNES_HEADS,
        examples=(
            "vit-local-prunenum-keepdims-heads1-chan1of2-steps1",
            "vit-local-prunenum-keepdims-heads1of2-chan0-steps1",
        ),
        reproducer=Reproducer("issue_410_initial_total_heads.py", "1.4.1", "1.4.2"),
        upstream="https://github.com/VainF/Torch-Pruning/issues/410",
    ),
    Defect(
        id="411-stale-groups",
        title=(
            "iterative head pruning works with the head count of before: it crashes, or cuts across heads where "
            "sizes divide"
        ),
        severity=Severity.CRASH,
        hits="everyone who prunes heads in several steps",
        cause="heads are scored in as many parts as there were heads at first, though an earlier step took some.",
        breaks="iterative_steps (int): number of steps for iterative pruning.",
        source="MetaPruner's docstring",
        signature=(
            Raises("RuntimeError", "is invalid for input of size"),
            Breaks(oracle.Problem.REPORTED, "q"),
            Breaks(oracle.Problem.UNEVEN_HEADS, "q"),
            Breaks(oracle.Problem.TOTAL, "heads", side=oracle.Side.TOO_MANY),
        ),
        may_show=PRUNES_HEADS & SEVERAL_STEPS,
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan0-steps3",
            "vit-local-prunenum-keepdims-heads1of3-chan0-steps3",
        ),
        reproducer=Reproducer("issue_411_stale_groups.py", "1.4.0", "1.4.2"),
        upstream="https://github.com/VainF/Torch-Pruning/issues/411",
    ),
    Defect(
        id="steps-compound",
        title="iterative local pruning takes each step's share of the heads that are left, not of those there were",
        severity=Severity.SILENT_COUNTS,
        hits="everyone who prunes heads in several steps with global_pruning=False",
        cause="each step multiplies its ratio, meant for the heads there were at first, with the heads that are left.",
        breaks="The pruner will prune the model iteratively for several steps to achieve the target pruning ratio.",
        source="comment in MetaPruner.__init__",
        signature=(Breaks(oracle.Problem.COUNT, "heads", side=oracle.Side.TOO_FEW),),
        may_show=LOCAL & PRUNES_HEADS & SEVERAL_STEPS,
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps3",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("steps_compound.py", "1.6.1"),
    ),
    Defect(
        id="no-channels-no-heads",
        title="with pruning_ratio=0 no head is pruned, silently",
        severity=Severity.SILENT_COUNTS,
        hits="everyone who prunes heads and no channels",
        cause="heads are pruned inside the loop over channels to prune, which is skipped where there are none.",
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(oracle.Problem.COUNT, "heads", untouched=True),
            Breaks(oracle.Problem.TOTAL, "heads", untouched=True),
        ),
        may_show=PRUNES_HEADS & Condition("pruning_ratio is 0", lambda cell: cell.config.pruning_ratio == 0),
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan0-steps1",
            "vit-local-prunenum-keepdims-heads1of2-chan0-steps3",
        ),
        reproducer=Reproducer("no_channels_no_heads.py", "1.6.1", "1.4.0"),
        over=(
            "411-stale-groups",
            "refuses-last-head",
            "float-heads",
        ),
    ),
    Defect(
        id="idle-step",
        title="iterative global pruning crashes in a step that has no head to remove",
        severity=Severity.CRASH,
        hits="who prunes few heads in many steps with global_pruning=True",
        cause="`head_thres` is set only where the step has heads to remove, and read in any case.",
        breaks="iterative_steps (int): number of steps for iterative pruning.",
        source="MetaPruner's docstring",
        signature=(Raises("UnboundLocalError", "'head_thres'", "._prune"),),
        may_show=GLOBAL & PRUNES_HEADS,
        examples=(
            "vit-global-prunenum-keepdims-heads1of4-chan1of2-steps5",
            "vit-global-prunenum-keepdims-heads1of10-chan1of2-steps3",
        ),
        reproducer=Reproducer("idle_step.py", "1.6.1", "1.4.2"),
    ),
    Defect(
        id="single-head-dims",
        title="attention that is down to one head loses head dims in the next step, whatever prune_head_dims says",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes to one head a layer in several steps",
        cause="prune_head_dims is read only where there are several channel groups, and a single head is one group.",
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(Breaks(oracle.Problem.COUNT, "dims", side=oracle.Side.TOO_FEW),),
        may_show=GLOBAL & KEEPS_HEAD_DIMS & PRUNES_HEADS & SEVERAL_STEPS,
        examples=("vit-global-prunenum-keepdims-heads4of5-chan1of2-steps5",),
        reproducer=Reproducer("single_head_dims.py", "1.4.2", "1.4.3"),
    ),
    Defect(
        id="takes-last-head",
        title=(
            "the head count drops to 0 while the weights stay: the group that would take a layer's last head is "
            "refused; another step divides by it"
        ),
        severity=Severity.CRASH,
        hits="who prunes most heads: the next forward pass has a count that the weights do not have",
        cause=(
            "the head count is lowered first; the group is looked at later, and refused because it would leave no"
            " channel."
        ),
        breaks="m.num_attention_heads = pruner.num_heads[m.query]",
        source="examples/transformers/prune_hf_vit.py",
        signature=(
            Breaks(oracle.Problem.REPORTED, found=0),
            Raises("ZeroDivisionError", "by zero"),
        ),
        may_show=PRUNES_HEADS,
        examples=(
            "vit-local-prunenum-keepdims-heads1-chan1of2-steps1",
            "vit-global-prunenum-keepdims-heads1-chan1of2-steps1",
        ),
        reproducer=Reproducer("takes_last_head.py", "1.6.1"),
        over=("411-stale-groups",),
    ),
    Defect(
        id="refuses-last-head",
        title="a head ratio that leaves less than one head prunes none, silently",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes all heads but one with global_pruning=False",
        cause="rounding removes all heads of a layer, and the group is refused because it would leave no channel.",
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(Breaks(oracle.Problem.COUNT, "heads", untouched=True),),
        may_show=LOCAL
        & PRUNES_HEADS
        & Condition(
            "less than one head should be left",
            lambda cell: cell.model.heads * (1 - cell.config.head_pruning_ratio) < 1,
        ),
        examples=(
            "vit-local-prunenum-keepdims-heads9of10-chan0-steps1",
            "vit-local-prunenum-prunedims-heads9of10-chan0-steps1",
        ),
        reproducer=Reproducer("refuses_last_head.py", "1.4.0", "1.4.2"),
        over=("float-heads",),
    ),
    Defect(
        id="float-heads",
        title="head counts are rounded in floats: 0.28 * 25 takes 8 heads, 10 * (1 - 0.9) leaves none",
        severity=Severity.SILENT_COUNTS,
        hits="who gives a ratio that no float is, such as 0.9 or 0.28",
        cause=(
            "the ratio is a float: 1 - 0.9 is less than a tenth, 0.28 * 25 more than seven, and int() or ceil() "
            "decides by that."
        ),
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(oracle.Problem.COUNT, "heads"),
            Breaks(oracle.Problem.TOTAL, "heads", side=oracle.Side.TOO_FEW),
            Breaks(oracle.Problem.REPORTED, "q"),
        ),
        may_show=PRUNES_HEADS & Condition("a number of heads that floats get wrong", _floats_miss),
        examples=(
            "vit10h-global-prunenum-keepdims-heads4of5-chan1of2-steps1",
            "vit25h-local-prunenum-keepdims-heads7of25-chan1of2-steps1",
        ),
        reproducer=Reproducer("float_heads.py", "1.6.1"),
    ),
    Defect(
        id="ties-go-together",
        title="global pruning takes every head that ties with the last one to go, in all layers",
        severity=Severity.SILENT_COUNTS,
        hits="who ranks heads by a criterion that gives equal scores",
        cause="what goes is whatever scores no more than the threshold, not as many as the ratio says.",
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring; importance is documented as any callable",
        signature=(Breaks(oracle.Problem.REPORTED),),
        may_show=criterion(matrix.Criterion.CONSTANT) & GLOBAL & PRUNES_HEADS,
        examples=("vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-by_constant",),
        reproducer=Reproducer("ties_go_together.py", "1.6.1"),
        over=(
            "takes-last-head",
            "float-heads",
        ),
    ),
    Defect(
        id="head-dict-global",
        title="head_pruning_ratio_dict is ignored in global pruning",
        severity=Severity.SILENT_COUNTS,
        hits="who gives layers head ratios of their own with global_pruning=True",
        cause=(
            "the threshold is made from the overall ratio and applied to all layers; their own ratios are never read."
        ),
        breaks="head_pruning_ratio_dict (Dict[nn.Module, float]): layer-specific head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(oracle.Problem.COUNT, "heads"),
            Breaks(oracle.Problem.TOTAL, "heads"),
        ),
        may_show=GLOBAL & PRUNES_HEADS & HEAD_RATIO_DICT,
        examples=(
            "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-headdict_query0_2of3",
            "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-headdict_attention0_2of3",
        ),
        reproducer=Reproducer("head_dict_global.py", "1.6.1"),
        over=("float-heads",),
    ),
    Defect(
        id="head-dict-query",
        title="head_pruning_ratio_dict is ignored where it names a projection that is not the group's first",
        severity=Severity.SILENT_COUNTS,
        hits="who gives a projection a head ratio of its own",
        cause=(
            "the ratio is looked up for the first projection of the group only, which need not be the one that "
            "was named."
        ),
        breaks="head_pruning_ratio_dict (Dict[nn.Module, float]): layer-specific head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(Breaks(oracle.Problem.COUNT, "heads"),),
        may_show=LOCAL & PRUNES_HEADS & HEAD_RATIO_DICT,
        examples=("vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-headdict_query0_2of3",),
        reproducer=Reproducer("head_dict_query.py", "1.6.1", "1.3.0"),
        over=("float-heads",),
    ),
    Defect(
        id="lazy-step",
        title="step() of GroupNormPruner, BNScalePruner and GrowingRegPruner prunes nothing, silently",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes with GroupNormPruner, BNScalePruner or GrowingRegPruner",
        cause="`yield` makes their `step` a generator: nothing in it is run until someone goes through it.",
        breaks="prune_num_heads (bool): remove entire heads in multi-head attention.",
        source="GroupNormPruner's docstring; in README, pruner.step() prunes",
        signature=(
            Breaks(oracle.Problem.COUNT, "heads", untouched=True),
            Breaks(oracle.Problem.TOTAL, "heads", untouched=True),
        ),
        may_show=Condition(
            "a pruner that makes weights sparse", lambda cell: cell.config.pruner is not matrix.Pruner.META
        )
        & PRUNES_HEADS,
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-with_BNScalePruner",
            "vit-global-prunenum-keepdims-heads1of2-chan1of2-steps1-with_BNScalePruner",
        ),
        reproducer=Reproducer("lazy_step.py", "1.3.4", "1.3.2"),
        over=("no-channels-no-heads",),
    ),
)
