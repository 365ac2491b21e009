"""Known defects: ratios, bounds and rounding of channels, and weights that end up in another place."""

from fractions import Fraction

from headcount import matrix
from headcount.defects.defect import (
    GLOBAL,
    KEEPS_HEAD_DIMS,
    LOCAL,
    MAXIMUM,
    MULTIHEAD,
    PRUNES_CHANNELS,
    PRUNES_HEAD_DIMS,
    PRUNES_WIDTH,
    Breaks,
    Condition,
    Defect,
    Edit,
    Raises,
    Reproducer,
    Severity,
    families,
)
from headcount.defects.heads import SPENT_HEADS
from headcount.matrix.config import SPARSE
from headcount.oracle import Problem, Side
from headcount.oracle.expectation import kept_from, pruners, rankable

#: What tells a group from others: a layer may be the root of two, by what it reads and by what it writes.
_ROOT = "({0}[0].dep.target.module, {0}[0].dep.handler)"


#: A layer that is the root of two groups, by what it reads and by what it writes, has a record of each.
OWN_RECORD = Edit(
    "*._prune",
    "ranking_scope[module_name] = [record]",
    "reads = self.DG.is_in_channel_pruning_fn(group[0][0].handler)\n"
    "ranking_scope[module_name + ' reads' * reads] = [record]",
)


#: What there is at first is what groups begin with, whether it is written or read there.
BY_GROUP = Edit("*.__init__", "self.DG.get_out_channels(group[0][0].target.module)", "len(group[0][1])")


def _kept_back(records: str, stay: str, alone: str) -> str:
    """Return statements that give the best channels of each dimension, as many as must stay, scores beyond all.

    A dimension that is down to its last channel, or to its maximum, is no longer ranked: its channels stay. `alone`
    leaves out those that never were ranked with others.
    """
    return (
        "seen = self.__dict__.setdefault('seen', {}).setdefault(locals().get('scope_name'), {})\n"
        f"for number, one in enumerate({records}):\n"
        f"    first = seen.setdefault({_ROOT.format('one[0]')}, (len(one[-1]), one[0]))[0]\n"
        f"    {records}[number] = (*one[:-1], torch.where("
        f"one[-1].argsort().argsort() >= len(one[-1]) - {stay}, one[-1].clamp(1e30), one[-1]))\n"
        "spent = sum((self.DG.get_out_channels(module) if self.DG.is_out_channel_pruning_fn(one[0].dep.handler)"
        " else self.DG.get_in_channels(module)) // self._get_channel_groups(one)"
        " for (module, _), (_, one) in seen.items()"
        f" if {_ROOT.format('one')} not in [{_ROOT.format('it[0]')} for it in {records}]{alone})\n"
    )


#: In older releases what has a ratio of its own is among the others, and pushed aside by its scores.
_ALONE = (
    " and not any(dep.target.module in self.pruning_ratio_dict for dep, _ in one "
    "if self.DG.is_out_channel_pruning_fn(dep.handler))"
)


def _keeping_back(stay: str) -> tuple[Edit, ...]:
    """Return edits that keep back channels of each dimension, whatever the ranking says; no more go than the others."""
    cat, most = "torch.cat(_A, dim=0)", "n_pruned = min(_A - int(_B) + spent, int((concat_imp < 1e25).sum()))"
    return tuple(
        edit
        for function, records, alone, name, names in (
            ("*._prune", "records", "", "concat_imp", "concat_imp"),
            ("*.prune_global", "global_importance", _ALONE, "concat_imp", "concat_imp"),
            ("*.prune_global", "global_importance", _ALONE, "imp", "imp = concat_imp"),  # the oldest release's name
        )
        for edit in (
            Edit(function, f"{name} = {cat}", f"{_kept_back(records, stay, alone)}{names} = {cat}"),
            Edit(function, "n_pruned = _A - int(_B)", most),
        )
    )


#: How many go in all and how many in this layer: older releases have one variable for both, which must not become 0.
_COUNTED_APART = (
    Edit("*prune*", "n_pruned = len(_pruning_indices)", "in_all, n_pruned = n_pruned, len(_pruning_indices)"),
    Edit(
        "*prune*",
        "_pruning_indices = imp_argsort[:n_pruned]",
        "_pruning_indices, n_pruned = imp_argsort[:n_pruned], in_all",
    ),
)

#: A rounded number of channels, or one multiple less where that is more than may go.
_BOUNDED = (
    "max(self._round_to(_A, _B, self.round_to) - self.round_to * "
    "int(self._round_to(_A, _B, self.round_to) > (imp < 1e25).sum()), 0)"
)


def _no_float(cell: matrix.Cell) -> bool:
    """Return whether some ratio of channels is no float, as 4/5 is none."""
    ratios = (*cell.config.channel_ratios, cell.config.max_pruning_ratio)
    return any(Fraction(float(ratio)) != ratio for ratio in ratios)


#: Rounds the dims that go, of each head, so that the channels of all heads that are left come near to a multiple.
_ROUND_DIMS = (
    "less = len(pruning_indices[0]) if len(pruning_indices) >= ch_groups > 1 and self.round_to else 0\n"
    "if 0 < less < len(imp):\n"
    "    written = [dep.target.module for dep, _ in group if self.DG.is_out_channel_pruning_fn(dep.handler)]\n"
    "    heads = max([self.num_heads[layer] for layer in written if layer in self.num_heads] or [1])\n"
    "    near = [d for d in range(1, len(imp)) if len(imp) - d <= (imp < 1e25).sum() and "
    "heads * d % self.round_to == 0\n"
    "            and heads * abs(d - len(imp) + less) < self.round_to]\n"
    "    chosen = imp.argsort()[: len(imp) - min(near or [len(imp)])]\n"
    "    pruning_indices[:ch_groups] = [chosen + number * group_size for number in range(ch_groups)]\n"
)

_UNION = "torch.unique(torch.cat(pruning_indices, 0)).tolist()"
_ROUNDED = "self._round_to(_A, _B, _C)"


def _loses_all(cell: matrix.Cell) -> bool:
    """Return whether a dimension may have to lose all its channels, by its own ratio or by a ranking of several."""
    ratio, earlier = max(cell.config.channel_ratios), pruners(cell.config) - 1
    ranked = cell.config.global_pruning or cell.config.isomorphic
    # A second pruner starts from whole channels.
    starts = (min(kept_from(size, ratio, rounds=earlier)) for size in rankable(cell).values())
    return ranked or any(start * (1 - ratio) <= 1 for start in starts)


ROUNDS = Condition("round_to", lambda cell: cell.config.round_to is not None)


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
        may_show=GLOBAL & Condition("a maximum", lambda cell: cell.config.max_pruning_ratio < 1),
        examples=("vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-max1of4",),
        reproducer=Reproducer("issue_448_max_ratio.py", "1.6.1"),
        upstream="https://github.com/VainF/Torch-Pruning/issues/448",
        remedy=(
            *_keeping_back("(first - int(round(first * self.max_pruning_ratio, 9)))"),
            *SPENT_HEADS,
            Edit("*._prune", "self._round_to(_A, _B, self.round_to)", _BOUNDED),
            Edit("*.prune_global", "self._round_to(_A, _B, self.round_to)", _BOUNDED),
            *_COUNTED_APART,
        ),
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
        remedy=(
            Edit(
                "*._prune",
                "record = (_A, _B, _C, self.per_step_pruning_ratio[_D], _E)",
                "record = (_A, _B, _C, self.per_step_pruning_ratio[_D] if self.global_pruning "
                "else self.get_target_pruning_ratio(None), _E)",
            ),
        ),
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
        remedy=(
            Edit(
                "*.prune_global",
                "concat_imp = torch.cat(_A, dim=0)",
                "own_kept = 0\n"
                "for number, one in enumerate(global_importance):\n"
                "    written = [dep for dep, _ in one[0] if self.DG.is_out_channel_pruning_fn(dep.handler)]\n"
                "    layers = [dep.target.module for dep in written]\n"
                "    for layer in [layer for layer in layers if layer in self.pruning_ratio_dict][:1]:\n"
                "        first = self.__dict__.setdefault('own_sizes', {}).setdefault(layer, len(one[-1]))\n"
                "        kept = max(int(first * (1 - self.get_target_pruning_ratio(layer))), 1)\n"
                "        own_kept += kept\n"
                "        best = one[-1].argsort().argsort() >= len(one[-1]) - kept\n"
                "        imp = torch.where(best, (one[-1] + 1) * 1e30, one[-1] - one[-1].max() - 1)\n"
                "        global_importance[number] = (*one[:-1], imp)\n"
                "own_first = sum(self.__dict__.get('own_sizes', {}).values())\n"
                "concat_imp = torch.cat(_A, dim=0)",
            ),
            Edit("*.prune_global", "len(concat_imp) - int(_A)", "len(concat_imp) - own_kept - int(_A)"),
            Edit(
                "*.prune_global",
                "self.initial_total_channels * _B",
                "(self.initial_total_channels - own_first) * _B",
            ),
        ),
    ),
    Defect(
        id="attention-dict",
        title="pruning_ratio_dict is ignored for attention in local pruning",
        severity=Severity.SILENT_COUNTS,
        hits="who gives attention a ratio of its own with global_pruning=False",
        cause="the ratio is looked up for the layer that reads attention's output, which nobody named.",
        breaks=(
            "pruning_ratio_dict (Dict[nn.Module, float]): layer-specific pruning ratio. Will cover pruning_ratio "
            "if specified."
        ),
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, "dims"),),
        may_show=LOCAL
        & PRUNES_HEAD_DIMS
        & Condition(
            "a ratio of its own for attention",
            lambda cell: any(
                not name.startswith("mlp") for scope, _ in cell.config.pruning_ratio_dict for name in scope
            ),
        ),
        examples=("vit-local-keepnum-prunedims-heads0-chan1of2-steps1-chandict_query0_1of4",),
        reproducer=Reproducer("attention_dict.py", "1.4.0", "1.4.1"),
        remedy=(
            Edit(
                "*.prune_local",
                "target_pruning_ratio = self.get_target_pruning_ratio(module)",
                "named = [dep.target.module for dep, _ in group if dep.target.module in self.pruning_ratio_dict\n"
                "         and self.DG.is_out_channel_pruning_fn(dep.handler)]\n"
                "target_pruning_ratio = self.get_target_pruning_ratio((named + [module])[0])",
            ),
        ),
    ),
    Defect(
        id="total-by-output",
        title="global pruning of a pruned model takes the width for the channels of its attention",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes globally a model whose attention is wider or narrower than its output",
        cause="the channels there are at first are those that attention's output projection writes, not reads.",
        breaks="pruning_ratio (float): global channel sparisty.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.TOTAL),),
        may_show=GLOBAL
        & Condition(
            "a second pruner on the same model, or attention as one layer with the width",
            lambda cell: cell.config.second is matrix.Second.SAME or MULTIHEAD.holds(cell),
        ),
        examples=("vit-global-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_residual_outputs-second_same",),
        reproducer=Reproducer("total_by_output.py", "1.4.0", "1.4.1"),
        over=("takes-all-channels", "float-channels"),
        remedy=(BY_GROUP,),
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
            Breaks(Problem.ATTRIBUTE),
        ),
        may_show=LOCAL & Condition("isomorphic", lambda cell: cell.config.isomorphic),
        examples=("vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-isomorphic",),
        reproducer=Reproducer("isomorphic_local.py", "1.6.1"),
        remedy=(Edit("*._prune", "self.isomorphic", "self.isomorphic and self.global_pruning"),),
    ),
    Defect(
        id="isomorphic-unheard",
        title="GroupNormPruner, BNScalePruner and GrowingRegPruner rank all channels alike, whatever isomorphic says",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes isomorphically with one of these pruners",
        cause="their constructors take isomorphic and do not hand it on.",
        breaks="isomorphic (bool): enable isomorphic pruning. Default: False.",
        source="GroupNormPruner's docstring",
        signature=(Breaks(Problem.TOTAL), Breaks(Problem.COUNT)),
        may_show=GLOBAL
        & Condition(
            "isomorphic, with a pruner that makes weights sparse",
            lambda cell: cell.config.isomorphic and cell.config.pruner in SPARSE,
        ),
        examples=(
            "vit-global-keepnum-prunedims-heads0-chan1of4-steps1-isomorphic-with_GroupNormPruner",
            "vit-global-keepnum-prunedims-heads0-chan1of4-steps1-isomorphic-with_BNScalePruner",
            "vit-global-keepnum-prunedims-heads0-chan1of4-steps1-isomorphic-with_GrowingRegPruner",
        ),
        reproducer=Reproducer("isomorphic_unheard.py", "1.4.3", "1.5.0"),
        remedy=(
            Edit(
                "*.__init__",
                "self._groups = _A",
                "self.isomorphic = isomorphic\nself._groups = _A",
                unless="isomorphic=isomorphic",
            ),
        ),
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
        over=("ties-go-together",),
    ),
    Defect(
        id="rounds-up-always",
        title="round_to adds a whole multiple to a width that already is one",
        severity=Severity.SILENT_COUNTS,
        hits="who rounds a width that is a multiple already",
        cause="`channels + (round_to - channels % round_to)` adds a whole multiple where the rest is 0.",
        breaks="round_to (int): round channels to the nearest multiple of round_to.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.COUNT, side=Side.TOO_MANY),
            Breaks(Problem.TOTAL, side=Side.TOO_MANY),
            Breaks(Problem.MULTIPLE, "dims"),
        ),
        may_show=ROUNDS & PRUNES_CHANNELS,
        examples=("vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-round4",),
        reproducer=Reproducer("rounds_up_always.py", "1.3.0", "1.3.1"),
        remedy=(
            Edit(
                "*._round_to",
                "rounded_channels + (round_to - rounded_channels % round_to)",
                "rounded_channels + -rounded_channels % round_to",
            ),
        ),
    ),
    Defect(
        id="rounds-by-index",
        title="global pruning with round_to removes the first channels, not the least important ones",
        severity=Severity.SILENT_WEIGHTS,
        hits="who rounds with global_pruning=True",
        cause="the channels below the threshold are cut off at the rounded number in the order of their indices.",
        breaks="importance (Callable): importance estimator.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.CHANNEL_RANKING),),
        may_show=GLOBAL & ROUNDS & PRUNES_CHANNELS,
        examples=("vit-global-keepnum-prunedims-heads0-chan1of2-steps1-round32-ignore_qkv0_qkv1",),
        reproducer=Reproducer("rounds_by_index.py", "1.3.0", "1.3.1"),
        remedy=(
            Edit("*.prune_global", "pruning_indices = pruning_indices[:_A]", "pruning_indices = imp.argsort()[:_A]"),
        ),
    ),
    Defect(
        id="float-channels",
        title="channel counts are rounded in floats: of 10 channels and 4/5, 9 go and not 8",
        severity=Severity.SILENT_COUNTS,
        hits="who gives a ratio that no float is, such as 0.8 or 0.9",
        cause="1 - 0.8 is less than a fifth as a float, 10 times that less than 2, and int() makes 1 of it.",
        breaks="pruning_ratio (float): global channel sparisty.",
        source="MetaPruner's docstring",
        signature=tuple(
            Breaks(problem, dimension)
            for problem in (Problem.COUNT, Problem.TOTAL)
            for dimension in ("width", "mlp", "dims")
        ),
        may_show=PRUNES_CHANNELS & Condition("a ratio that is no float", _no_float),
        examples=("vit10m-local-keepnum-keepdims-heads0-chan4of5-steps1-ignore_residual_outputs",),
        reproducer=Reproducer("float_channels.py", "1.6.1"),
        remedy=(
            *(
                Edit(function, f"int({initial} * _B)", f"int(round({initial} * _B, 9))")
                for function, initial in (
                    ("*._prune", "self._scope_initial_channels[scope_name]"),
                    ("*.prune_global", "self.initial_total_channels"),
                    ("*.prune_global", "(self.initial_total_channels - own_first)"),
                    ("*.prune_local", "self.layer_init_out_ch[module]"),
                    ("*.prune_local", "self.layer_init_in_ch[module]"),
                )
            ),
        ),
    ),
    Defect(
        id="takes-all-channels",
        title="a layer that is to lose all its channels, by its own rounding or by a global ranking, loses none",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes most channels, above all with global_pruning=True: layers stay whole, and nothing says so",
        cause=(
            "no channel is kept back when channels are ranked; the group that would take a layer's last one is "
            "refused as a whole, and no other channel goes in its place."
        ),
        breaks="pruning_ratio (float): global channel sparisty.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.COUNT, side=Side.TOO_MANY, untouched=True),
            *(Breaks(Problem.TOTAL, dimension, side=Side.TOO_MANY) for dimension in ("width", "mlp", "dims")),
            Breaks(Problem.REPORTED),
        ),
        may_show=PRUNES_CHANNELS & Condition("a dimension that may have to lose all its channels", _loses_all),
        examples=("vit10m-local-keepnum-keepdims-heads0-chan19of20-steps1-ignore_residual_outputs",),
        reproducer=Reproducer("takes_all_channels.py", "1.6.1"),
        over=("float-channels",),
        remedy=(
            *_keeping_back("1"),
            Edit(
                "*.prune_local",
                "if self.round_to:\n    n_pruned = _A",
                "n_pruned = min(n_pruned, current_channels - ch_groups)\nif self.round_to:\n    n_pruned = _A",
            ),
        ),
    ),
    Defect(
        id="rounds-to-none",
        title="round_to leaves a layer whole that should keep less than one multiple",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes most channels of small layers, and rounds",
        cause="what stays is rounded down, to 0, and a group that would leave no channel is refused.",
        breaks="round_to (int): round channels to the nearest multiple of round_to.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, side=Side.TOO_MANY), Breaks(Problem.TOTAL, side=Side.TOO_MANY)),
        may_show=ROUNDS & PRUNES_CHANNELS,
        examples=(
            "vit10m-local-keepnum-keepdims-heads0-chan4of5-steps1-round4-ignore_residual_outputs",
            "vit192m-local-prunenum-keepdims-heads1of3-chan9of10-steps1-round32",
        ),
        reproducer=Reproducer("rounds_to_none.py", "1.6.1"),
        over=(
            "float-channels",
            "takes-all-channels",
            "rounds-up-always",
        ),
        remedy=(
            Edit(
                "*._round_to",
                "rounded_channels - rounded_channels % round_to",
                "max(rounded_channels - rounded_channels % round_to, round_to)",
            ),
            *_COUNTED_APART,
        ),
    ),
    Defect(
        id="round-head-dims",
        title="round_to takes dims of a head from channels of a layer: attention stays whole, or is cut down",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes head dims and rounds",
        cause=(
            "the number of dims that go, per head, is rounded as if it were out of all channels of the layer; where "
            "the result is all of a head's, the group is refused. Older releases round each head's dims to a multiple."
        ),
        breaks="round_to (int): round channels to the nearest multiple of round_to.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.COUNT, "dims"),
            Breaks(Problem.MULTIPLE, "dims"),
            Breaks(Problem.TOTAL),
            Breaks(Problem.REPORTED),
        ),
        may_show=ROUNDS & PRUNES_HEAD_DIMS,
        examples=("vit4h-local-keepnum-prunedims-heads0-chan1of2-steps1-round8",),
        reproducer=Reproducer("round_head_dims.py", "1.6.1"),
        over=(
            "float-channels",
            "takes-all-channels",
            "rounds-up-always",
            "rounds-to-none",
        ),
        remedy=(
            Edit(
                "*._prune",
                "len(_pruning_indices) > 0 and self.round_to",
                "len(_pruning_indices) > 0 and self.round_to and ch_groups == 1",
            ),
            # In older releases each head's dims are rounded in a place of their own.
            *(
                Edit(function, "n_pruned_per_group = self._round_to(_A, _B, _C)", "pass")
                for function in ("*._prune", "*.prune_global")
            ),
            *(
                Edit(function, f"pruning_indices = {_UNION}", f"{_ROUND_DIMS}pruning_indices = {_UNION}")
                for function in ("*._prune", "*.prune_global")
            ),
            Edit("*.prune_local", "n_pruned = self._round_to(_A, _B, _C)", f"exact = _A\nn_pruned = {_ROUNDED}"),
            Edit(
                "*.prune_local",
                "n_pruned_per_group = self._round_to(_A, _B, _C)",
                "heads_go = self.get_target_head_pruning_ratio(qkv_layers[0]) "
                "if _is_attn and self.prune_num_heads else 0\n"
                "heads = max(int(round(self.init_num_heads[qkv_layers[0]] * (1 - heads_go), 9)), 1) "
                "if _is_attn else 1\n"
                "near = [d for d in range(1, _B) if heads * d % _C == 0\n"
                "        and heads * min(abs(d - _B + n // ch_groups) for n in (exact, exact + ch_groups - 1)) < _C]\n"
                "n_pruned_per_group = _B - min(near or [_B])",
            ),
        ),
    ),
    Defect(
        id="one-record",
        title="local pruning leaves the width whole, silently, where attention's output is the first layer to write it",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes locally where attention is what is added last, as beside a parallel MLP or without one",
        cause=(
            "records are kept by the name of a group's first layer: attention's starts at its output projection, which "
            "may also be the first that writes the width, and the later one takes the other's place."
        ),
        breaks="pruning_ratio (float): global channel sparisty.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, "width", untouched=True),),
        may_show=LOCAL & PRUNES_WIDTH & families("attention is added last", "parallel"),
        examples=(
            "parallel-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "parallel-local-prunenum-keepdims-heads1of3-chan1of2-steps1",
        ),
        reproducer=Reproducer("one_record.py", "1.6.1", "1.4.0"),
        remedy=(OWN_RECORD,),
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
        remedy=(Edit("LayernormPruner.*", "list(set(_A) - set(_B))", "sorted(set(_A) - set(_B))"),),
    ),
)
