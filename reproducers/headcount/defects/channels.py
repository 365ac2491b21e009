"""Known defects: ratios, bounds and rounding of channels, and weights that end up in another place."""

from headcount.defects.defect import (
    GLOBAL,
    KEEPS_HEAD_DIMS,
    LOCAL,
    MAXIMUM,
    PRUNES_CHANNELS,
    PRUNES_WIDTH,
    Breaks,
    Condition,
    Defect,
    Raises,
    Reproducer,
    Severity,
)
from headcount.oracle import Problem, Side

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="448-max-ratio",
        title="max_pruning_ratio does not bound global pruning",
        severity=Severity.SILENT_COUNTS,
        hits="who bounds the ratio with global_pruning=True",
        cause=(
            "the maximum is compared with the overall ratio and with what earlier steps took, never with what a "
            "layer loses now."
        ),
        breaks="max_pruning_ratio (float): the maximum pruning ratio.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, side=Side.TOO_FEW),),
        may_show=GLOBAL & MAXIMUM,
        examples=("vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-max1of4",),
        reproducer=Reproducer("issue_448_max_ratio.py", "1.6.1"),
        upstream="https://github.com/VainF/Torch-Pruning/issues/448",
    ),
    Defect(
        id="max-ratio-local",
        title="max_pruning_ratio does not bound a single step of local pruning",
        severity=Severity.SILENT_COUNTS,
        hits="who bounds the ratio with global_pruning=False",
        cause="the step's ratio is taken from the schedule, past the function that applies the maximum.",
        breaks="max_pruning_ratio (float): the maximum pruning ratio.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, side=Side.TOO_FEW),),
        may_show=LOCAL & MAXIMUM,
        examples=(
            "vit-local-keepnum-keepdims-heads1of3-chan1of2-steps1-max1of4",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-max1of4",
        ),
        reproducer=Reproducer("max_ratio_local.py", "1.6.1", "1.4.0"),
    ),
    Defect(
        id="channel-dict-global",
        title="pruning_ratio_dict is ignored in global pruning",
        severity=Severity.SILENT_COUNTS,
        hits="who gives layers ratios of their own with global_pruning=True",
        cause=(
            "the threshold is made from the overall ratio and applied to all layers; their own ratios are never read."
        ),
        breaks=(
            "pruning_ratio_dict (Dict[nn.Module, float]): layer-specific pruning ratio. Will cover pruning_ratio "
            "if specified."
        ),
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, "mlp"),),
        may_show=GLOBAL & Condition("pruning_ratio_dict", lambda cell: bool(cell.config.pruning_ratio_dict)),
        examples=("vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-chandict_mlp0_1of4",),
        reproducer=Reproducer("channel_dict_global.py", "1.4.0", "1.4.1"),
    ),
    Defect(
        id="isomorphic-local",
        title="isomorphic=True without global_pruning fails an internal assertion, or leaves layers unpruned",
        severity=Severity.CRASH,
        hits="who prunes isomorphically with global_pruning=False",
        cause="scopes are made by structure whatever global_pruning says, and then treated as if each held one layer.",
        breaks="isomorphic (bool): enable isomorphic pruning. Default: False.",
        source="MetaPruner's docstring",
        signature=(
            Raises("AssertionError", "Internal Error: local pruning should only contain"),
            Breaks(Problem.TOTAL, side=Side.TOO_MANY),
        ),
        may_show=LOCAL & Condition("isomorphic", lambda cell: cell.config.isomorphic),
        examples=("vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-isomorphic",),
        reproducer=Reproducer("isomorphic_local.py", "1.6.1"),
    ),
    Defect(
        id="global-thres-unset",
        title="global pruning with no channel to remove, as with pruning_ratio=0, crashes on a threshold never set",
        severity=Severity.CRASH,
        hits="who prunes no channels with global_pruning=True",
        cause="`thres` is set only where there are channels to remove, and read in any case.",
        breaks="pruning_ratio (float): global channel sparisty.",
        source="MetaPruner's docstring",
        signature=(Raises("UnboundLocalError", "'thres'", "prune_global"),),
        may_show=GLOBAL
        & Condition(
            "pruning_ratio is 0 or a scheduler that takes all in one step",
            lambda cell: cell.config.pruning_ratio == 0 or cell.config.one_shot,
        ),
        examples=(
            "vit-global-keepnum-keepdims-heads0-chan0-steps1",
            "vit-global-keepnum-keepdims-heads0-chan0-steps3",
        ),
        reproducer=Reproducer("global_thres_unset.py", "1.3.0", "1.3.1"),
    ),
    Defect(
        id="global-head-dims",
        title="prune_head_dims=False is ignored in global pruning",
        severity=Severity.SILENT_COUNTS,
        hits="who keeps head dims with global_pruning=True",
        cause="global pruning never looks at prune_head_dims.",
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, "dims", side=Side.TOO_FEW),),
        may_show=GLOBAL & KEEPS_HEAD_DIMS & PRUNES_CHANNELS,
        examples=(
            "vit-global-keepnum-keepdims-heads0-chan1of2-steps1",
            "vit-global-keepnum-keepdims-heads0-chan1of2-steps3",
        ),
        reproducer=Reproducer("global_head_dims.py", "1.3.0", "1.3.1"),
    ),
    Defect(
        id="rounds-up-always",
        title="round_to adds a whole multiple to a width that already is one",
        severity=Severity.SILENT_COUNTS,
        hits="who rounds a width that is a multiple already",
        cause="`channels + (round_to - channels % round_to)` adds a whole multiple where the rest is 0.",
        breaks="round_to (int): round channels to the nearest multiple of round_to.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, side=Side.TOO_MANY),),
        may_show=LOCAL & Condition("round_to", lambda cell: cell.config.round_to is not None) & PRUNES_CHANNELS,
        examples=("vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-round4",),
        reproducer=Reproducer("rounds_up_always.py", "1.3.0", "1.3.1"),
    ),
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
