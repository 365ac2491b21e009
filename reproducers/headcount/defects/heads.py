"""Known defects: how many heads go, and when."""

from math import ceil, floor

from headcount import matrix, oracle
from headcount.defects.defect import (
    GLOBAL,
    HALF,
    HEAD_RATIO_DICT,
    KEEPS_HEAD_DIMS,
    LOCAL,
    PRUNES_HEADS,
    SEVERAL_STEPS,
    Breaks,
    Condition,
    Defect,
    Edit,
    Raises,
    Reproducer,
    Severity,
)
from headcount.matrix.config import SPARSE
from headcount.oracle.expectation import pruners, prunes_heads


def _floats_miss(cell: matrix.Cell) -> bool:
    """Return whether a count of heads times the ratio is rounded to another whole number in floats."""
    counts = (*cell.model.block_heads, sum(cell.model.block_heads))
    shares = [
        share
        for ratio in cell.config.head_ratios
        for share in ((ratio, float(ratio)), (1 - ratio, float(1 - ratio)), (1 - ratio, 1 - float(ratio)))
    ]
    products = ((count * exact, count * close) for count in counts for exact, close in shares)
    return any(rounding(exact) != rounding(close) for exact, close in products for rounding in (floor, ceil))


def _has_idle_dims(cell: matrix.Cell) -> bool:
    """Return whether a step may have no channel of a head to prune: none at all, no whole one, or the last one."""
    config = cell.config
    takes_all = config.isomorphic or cell.model.head_dim * (1 - max(config.channel_ratios)) ** pruners(config) < 1
    return min(config.channel_ratios) == 0 or config.iterative_steps > 1 or takes_all


def _has_single_head(cell: matrix.Cell) -> bool:
    """Return whether a block has one head, from the start, or after a step or a first pruner."""
    rounds = cell.config.iterative_steps * pruners(cell.config)
    return cell.model.heads == 1 or (prunes_heads(cell.config) and rounds > 1)


def _may_be_spent(cell: matrix.Cell) -> bool:
    """Return whether a step, or a first pruner, may leave one head of one channel, and another follows."""
    rounds = cell.config.iterative_steps * pruners(cell.config)
    return rounds > 1 and (cell.model.head_dim == 1 or cell.config.prune_head_dims)


#: What is said of one projection holds for all that are listed with it.
_SHARED_RATIO = Edit(
    "*._is_att*_group",
    "return is_attn, qkv_layers",
    "named = [dep.target.module for dep, _ in group if dep.target.module in self.head_pruning_ratio_dict][:1]\n"
    "self.head_pruning_ratio_dict.update({k: self.head_pruning_ratio_dict[m] for m in named for k in qkv_layers})\n"
    "return is_attn, qkv_layers",
)

#: Heads of layers that are out of the ranking, as they may lose no more, stay, and count in the total.
SPENT_HEADS = tuple(
    Edit(
        function,
        "n_heads_removed = len(concat_head_imp) - _A",
        "spent = sum(self.num_heads[layer] for layer in self.num_heads"
        f" if layer not in [layer for layers, _ in {scope}.values() for layer in layers]"
        " and layer not in self.head_pruning_ratio_dict and layer not in self.ignored_layers)"
        f" * len({scope}) // sum(len(layers) for layers, _ in {scope}.values())\n"
        f"n_heads_removed = len(concat_head_imp) - max(_A - spent, len({scope}))",
    )
    for function, scope in (
        ("*._prune", "ranking_scope[ATTN_HEAD_SCOPE]"),
        ("*.prune_global", "global_head_importance"),
    )
)

MAKES_SPARSE = Condition("a pruner that makes weights sparse", lambda cell: cell.config.pruner in SPARSE)

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
        remedy=(
            Edit(
                "*.prune_local",
                "self.num_heads[_A] -= n_heads_removed",
                "self.num_heads[_A] -= n_heads_removed\nself.out_channel_groups[_A] = self.num_heads[_A]",
            ),
            Edit(
                "*.prune_global",
                "self.num_heads[_A] -= _B",
                "self.num_heads[_A] -= _B\nself.out_channel_groups[_A] = self.num_heads[_A]",
            ),
            # What went with heads is no part of what is to go of each.
            Edit(
                "*.prune_local",
                "if self.round_to:\n    n_pruned = _A",
                "is_attn, layers = self._is_attn_group(group)\n"
                "if is_attn:\n"
                "    left = (current_channels - n_pruned) * ch_groups // self.init_num_heads[layers[0]]\n"
                "    n_pruned = current_channels - left\n"
                "if self.round_to:\n"
                "    n_pruned = _A",
            ),
            Edit("*.prune_local", "imp_argsort[:n_pruned]", "imp_argsort[:max(n_pruned, 0)]"),
            # One head that is left is one group.
            Edit(
                "*.prune_global",
                "len(global_importance) > 0 and n_pruned > 0",
                "n_pruned > 0 and (self.prune_head_dims or not self._is_attn_group(group)[0])",
            ),
        ),
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
        remedy=(  # first: how many heads there were.
            Edit(
                "*._prune",
                "n_heads_removed_per_group = _R(self.get_target_head_pruning_ratio(_A) * len(_B))",
                "first = max(self.init_num_heads[layer] for layer in qkv_layers)\n"
                "n_heads_removed_per_group = _R(self.get_target_head_pruning_ratio(_A) * first)\n"
                "n_heads_removed_per_group = max(n_heads_removed_per_group - first + len(_B), 0)",
            ),
        ),
    ),
    Defect(
        id="no-channels-no-heads",
        title="with pruning_ratio=0 no head is pruned, silently, nor in a step without head dims to prune",
        severity=Severity.SILENT_COUNTS,
        hits="everyone who prunes heads and no channels, or few channels in several steps",
        cause="heads are pruned inside the loop over channels to prune, which is skipped where there are none.",
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(oracle.Problem.COUNT, "heads", side=oracle.Side.TOO_MANY),
            Breaks(oracle.Problem.TOTAL, "heads", side=oracle.Side.TOO_MANY),
        ),
        may_show=PRUNES_HEADS & Condition("a step without head dims to prune", _has_idle_dims),
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
        remedy=(
            Edit(
                "*._prune",
                "if n_pruned > 0:\n    _BODY",
                "if n_pruned > 0 or len(ranking_scope[ATTN_HEAD_SCOPE]) > 0:\n    _BODY",
            ),
            Edit(
                "*._prune",
                "torch.topk(concat_imp, k=n_pruned, largest=False)",
                "torch.topk(concat_imp, k=max(n_pruned, 0), largest=False)",
            ),
            Edit("*._prune", "topk_imp[-1]", "topk_imp[-1] if len(topk_imp) > 0 else float('-inf')"),
            Edit("*._prune", "len(pruning_indices) == 0", "sum(map(len, pruning_indices)) == 0"),
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
        remedy=(
            Edit(
                "*._prune",
                "if n_heads_removed > 0:\n    _BODY",
                "head_thres = float('-inf')\nif n_heads_removed > 0:\n    _BODY",
            ),
        ),
    ),
    Defect(
        id="single-head-dims",
        title="attention that is down to one head loses head dims in the next step, whatever prune_head_dims says",
        severity=Severity.SILENT_COUNTS,
        hits="who has one head in a layer, from the start or after a step, and keeps head dims",
        cause="prune_head_dims is read only where there are several channel groups, and a single head is one group.",
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(Breaks(oracle.Problem.COUNT, "dims", side=oracle.Side.TOO_FEW),),
        may_show=KEEPS_HEAD_DIMS & Condition("attention with one head", _has_single_head),
        examples=("vit-global-prunenum-keepdims-heads4of5-chan1of2-steps5",),
        reproducer=Reproducer("single_head_dims.py", "1.4.2", "1.4.3"),
        remedy=(
            Edit(
                "*._prune",
                "len(records) > 0 and n_pruned > 0",
                "n_pruned > 0 and (self.prune_head_dims or not self._is_attn_group(group)[0])",
            ),
            Edit(
                "*.prune_global",
                "len(global_importance) > 0 and n_pruned > 0",
                "n_pruned > 0 and (self.prune_head_dims or not self._is_attn_group(group)[0])",
            ),
        ),
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
        remedy=(
            Edit(
                "*._prune",
                "torch.topk(head_imp, k=n_heads_removed_per_group, largest=False)",
                "torch.topk(head_imp, k=min(n_heads_removed_per_group, len(head_imp) - 1), largest=False)",
            ),
            Edit(
                "*._prune",
                "torch.topk(head_imp_kv, k=n_heads_removed_per_group, largest=False)",
                "torch.topk(head_imp_kv, k=min(n_heads_removed_per_group, len(head_imp_kv) - 1), largest=False)",
            ),
            # In global pruning, each layer's best head is no candidate.
            Edit(
                "*._prune",
                "n_heads_removed = len(concat_head_imp) - int(_A)",
                "n_heads_removed = len(concat_head_imp) - max(int(_A), len(ranking_scope[ATTN_HEAD_SCOPE]))\n"
                "candidates = [one[-1].sort()[0][:-1] for one in ranking_scope[ATTN_HEAD_SCOPE].values()]",
            ),
            Edit(
                "*.prune_global",
                "n_heads_removed = len(concat_head_imp) - int(_A)",
                "n_heads_removed = len(concat_head_imp) - max(int(_A), len(global_head_importance))\n"
                "candidates = [one[-1].sort()[0][:-1] for one in global_head_importance.values()]",
            ),
            Edit(
                "*prune*",
                "torch.topk(concat_head_imp, k=n_heads_removed, largest=False)",
                "torch.topk(torch.cat(candidates), k=n_heads_removed, largest=False)",
            ),
            Edit(
                "*prune*",
                "head_imp <= head_thres",
                "(head_imp <= head_thres) & (head_imp.argsort().argsort() < len(head_imp) - 1)",
            ),
        ),
    ),
    Defect(
        id="spent-heads",
        title="global head pruning in steps leaves too many heads once a layer is down to its last channel",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes most heads of one channel, or heads and their dims, in several steps",
        cause=(
            "a layer with one channel is left out of the ranking of heads, and its head still counts in the number "
            "that should stay: one less goes for each."
        ),
        breaks="The pruner will prune the model iteratively for several steps to achieve the target pruning ratio.",
        source="comment in MetaPruner.__init__",
        signature=(Breaks(oracle.Problem.TOTAL, "heads", side=oracle.Side.TOO_MANY),),
        may_show=GLOBAL & PRUNES_HEADS & Condition("a layer that a step may bring down to one channel", _may_be_spent),
        examples=("vit3h4b1d-global-prunenum-keepdims-heads1of2-chan1of2-steps2",),
        reproducer=Reproducer("spent_heads.py", "1.6.1"),
        remedy=SPENT_HEADS,
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
            lambda cell: cell.model.heads * (1 - max(cell.config.head_ratios)) ** pruners(cell.config) < 1,
        ),
        examples=(
            "vit-local-prunenum-keepdims-heads9of10-chan0-steps1",
            "vit-local-prunenum-prunedims-heads9of10-chan0-steps1",
        ),
        reproducer=Reproducer("refuses_last_head.py", "1.4.0", "1.4.2"),
        over=("float-heads",),
        remedy=(
            Edit(
                "*.prune_local",
                "n_heads_removed = self.num_heads[_A] - int(_B)",
                "n_heads_removed = self.num_heads[_A] - max(int(_B), 1)",
            ),
        ),
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
        remedy=(
            Edit("*._prune", "math.ceil(_A * _B)", "math.ceil(round(_A * _B, 9))"),
            Edit(
                "*._prune",
                "int(self.get_target_head_pruning_ratio(_A) * _B)",
                "int(round(self.get_target_head_pruning_ratio(_A) * _B, 9))",
            ),
            Edit("*.prune_local", "int(self.init_num_heads[_A] * _B)", "int(round(self.init_num_heads[_A] * _B, 9))"),
            Edit("*prune*", "int(self.initial_total_heads * _B)", "int(round(self.initial_total_heads * _B, 9))"),
        ),
    ),
    Defect(
        id="unchecked-ratio",
        title="a head ratio above 1 is not refused: it crashes in a sort",
        severity=Severity.CRASH,
        hits="who gives a percentage, or a count, as head_pruning_ratio",
        cause="min(ratio, 1) stands where local pruning reads the ratio, and nowhere else; no ratio is checked.",
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(Raises("RuntimeError", "selected index k out of range"),),
        may_show=Condition("a head ratio above 1", lambda cell: cell.config.head_pruning_ratio > 1),
        examples=("vit-global-prunenum-keepdims-heads3of2-chan1of2-steps1",),
        reproducer=Reproducer("unchecked_ratio.py", "1.6.1"),
        remedy=(
            Edit(
                "*.__init__",
                "self.head_pruning_ratio = head_pruning_ratio",
                "self.head_pruning_ratio = min(head_pruning_ratio, 1)",
            ),
        ),
    ),
    Defect(
        id="lone-projection",
        title="one listed projection is taken for all three in one layer: a third of each head goes",
        severity=Severity.SILENT_COUNTS,
        hits="who lists one projection of a block in num_heads",
        cause="where one layer of a group is listed, its channels are divided by three times the head count.",
        breaks="m.num_attention_heads = pruner.num_heads[m.query]",
        source="examples/transformers/prune_hf_vit.py",
        signature=(Breaks(oracle.Problem.REPORTED), Breaks(oracle.Problem.UNEVEN_HEADS)),
        may_show=PRUNES_HEADS & Condition("one projection is listed", lambda cell: len(cell.config.num_heads) == 1),
        examples=("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-named_v",),
        reproducer=Reproducer("lone_projection.py", "1.6.1", "1.4.2"),
        over=("takes-last-head", "411-stale-groups", "float-heads"),
        remedy=(
            Edit(
                "*._prune",
                "len(qkv_layers) == 1",
                "len(qkv_layers) == 1 and qkv_layers[0].out_features == 3 * get_channel_fn(module)",
            ),
        ),
    ),
    Defect(
        id="ties-go-together",
        title="global pruning takes every head and channel that ties with the last one to go, in all layers",
        severity=Severity.SILENT_COUNTS,
        hits="who ranks by a criterion that gives equal scores, or in half precision, where scores are rounded to one",
        cause="what goes is whatever scores no more than the threshold, not as many as the ratio says.",
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring; importance is documented as any callable",
        signature=(
            Breaks(oracle.Problem.REPORTED),
            Breaks(oracle.Problem.COUNT),
            Breaks(oracle.Problem.TOTAL),
        ),
        may_show=GLOBAL
        & Condition(
            "scores may be equal",
            lambda cell: (
                # Random scores are whole numbers up to 1.6.0: the means of two heads may be one.
                cell.config.importance in (matrix.Criterion.CONSTANT, matrix.Criterion.RANDOM) or HALF.holds(cell)
            ),
        ),
        examples=(
            "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-by_constant",
            "vit-global-prunenum-prunedims-heads1of3-chan1of2-steps1-in_bfloat16",
        ),
        reproducer=Reproducer("ties_go_together.py", "1.6.1"),
        over=(
            "takes-last-head",
            "float-heads",
        ),
        remedy=(  # Ranks in place of scores: no two are equal.
            Edit(
                "*._prune",
                "concat_head_imp = torch.cat([_A[-1] for _A in ranking_scope[ATTN_HEAD_SCOPE].values()], dim=0)",
                "layers_of, scores = zip(*ranking_scope[ATTN_HEAD_SCOPE].values())\n"
                "concat_head_imp = torch.cat(scores).argsort(stable=True).argsort()\n"
                "ranked = zip(layers_of, concat_head_imp.split([len(one) for one in scores]))\n"
                "ranking_scope[ATTN_HEAD_SCOPE] = dict(zip(ranking_scope[ATTN_HEAD_SCOPE], ranked))",
            ),
            Edit(
                "*.prune_global",
                "concat_head_imp = torch.cat([_A[-1] for _A in global_head_importance.values()], dim=0)",
                "layers_of, scores = zip(*global_head_importance.values())\n"
                "concat_head_imp = torch.cat(scores).argsort(stable=True).argsort()\n"
                "ranked = zip(layers_of, concat_head_imp.split([len(one) for one in scores]))\n"
                "global_head_importance = dict(zip(global_head_importance, ranked))",
            ),
            *(
                Edit(
                    function,
                    "concat_imp = torch.cat(_A, dim=0)",
                    f"ranks = torch.cat([one[-1] for one in {records}]).argsort(stable=True).argsort().float()\n"
                    f"parts = ranks.split([len(one[-1]) for one in {records}])\n"
                    f"{records}[:] = [(*one[:-1], part) for one, part in zip({records}, parts)]\n"
                    "concat_imp = torch.cat(_A, dim=0)",
                )
                for function, records in (("*._prune", "records"), ("*.prune_global", "global_importance"))
            ),
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
        remedy=(
            _SHARED_RATIO,
            # Those with a ratio of their own are not in the total,
            Edit(
                "*.__init__",
                "initial_total_heads += _A",
                "initial_total_heads += "
                "_A * self.head_pruning_ratio_dict.keys().isdisjoint(one.target.module for one, _ in group)",
            ),
            # nor in the ranking,
            Edit(
                "*._prune",
                "if len(ranking_scope[DEFAULT_SCOPE]) == 0 and _A and _B:\n    _BODY",
                "if len(ranking_scope[DEFAULT_SCOPE]) == 0 and _A and _B:\n    _BODY\n"
                "own, n_heads_removed = {}, 0\n"
                "for one, (layers, _) in [*ranking_scope[ATTN_HEAD_SCOPE].items()]:\n"
                "    if self.global_pruning and layers[0] in self.head_pruning_ratio_dict:\n"
                "        own[one] = ranking_scope[ATTN_HEAD_SCOPE].pop(one)",
            ),
            Edit(
                "*.prune_global",
                "if len(global_importance) == 0 and len(global_head_importance) == 0:\n    _BODY",
                "if len(global_importance) == 0 and len(global_head_importance) == 0:\n    _BODY\n"
                "own, n_heads_removed = {}, 0\n"
                "for one, (layers, _) in [*global_head_importance.items()]:\n"
                "    if layers[0] in self.head_pruning_ratio_dict:\n"
                "        own[one] = global_head_importance.pop(one)",
            ),
            Edit(
                "*.prune_global",
                "for group, ch_groups, group_size, imp in global_importance:\n    _BODY",
                "global_head_importance.update(own)\n"
                "for group, ch_groups, group_size, imp in global_importance:\n    _BODY",
            ),
            Edit(
                "*._prune",
                "width_pruning_scope_names = _A",
                "ranking_scope[ATTN_HEAD_SCOPE].update(own)\nwidth_pruning_scope_names = _A",
            ),
            Edit(
                "*._prune",
                "_A and n_heads_removed > 0",
                "_A and (n_heads_removed > 0 or group in own or not self.global_pruning)",
            ),
            Edit(
                "*.prune_global",
                "_A and n_heads_removed > 0",
                "_A and (n_heads_removed > 0 or group in own)",
            ),
            # but lose as many as it says.
            Edit(
                "*prune*",
                "head_pruning_indices = _A.nonzero().view(-1)",
                "if group in own:\n"
                "    first = max(self.init_num_heads[layer] for layer in qkv_layers)\n"
                "    head_pruning_indices = head_imp.argsort()[: -max("
                "first - int(round(self.get_target_head_pruning_ratio(qkv_layers[0]) * first, 9)), 1)]\n"
                "else:\n"
                "    head_pruning_indices = _A.nonzero().view(-1)",
            ),
        ),
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
        remedy=(
            _SHARED_RATIO,
            Edit(
                "*._prune",
                "_A and n_heads_removed > 0",
                "_A and (n_heads_removed > 0 or not self.global_pruning)",
            ),
        ),
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
            Raises("AttributeError", "'generator' object has no attribute 'prune'"),
        ),
        may_show=MAKES_SPARSE,
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-with_BNScalePruner",
            "vit-global-prunenum-keepdims-heads1of2-chan1of2-steps1-with_BNScalePruner",
        ),
        reproducer=Reproducer("lazy_step.py", "1.3.4", "1.3.2"),
        over=("no-channels-no-heads", "grouped-unknown"),
    ),
    Defect(
        id="deaf-step",
        title="step(interactive=True) of GroupNormPruner, BNScalePruner and GrowingRegPruner returns no groups",
        severity=Severity.CRASH,
        hits="who prunes interactively with GroupNormPruner, BNScalePruner or GrowingRegPruner",
        cause="their `step` calls MetaPruner's and drops what it returns.",
        breaks="for group in pruner.step(interactive=True): # Warning: groups must be handled sequentially.",
        source="README, Interactive Pruning",
        signature=(Raises("TypeError", "'NoneType' object is not iterable"),),
        may_show=MAKES_SPARSE
        & Condition("interactive steps", lambda cell: cell.config.interactive or cell.config.skips_attention),
        examples=("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-interactive-with_GroupNormPruner",),
        reproducer=Reproducer("deaf_step.py", "1.3.1", "1.3.5"),
        remedy=(
            Edit(
                "*Pruner.step",
                "super(_A, self).step(interactive=interactive)",
                "if interactive:\n"
                "    later = (setattr(self, '_groups', list(self.DG.get_all_groups("
                "root_module_types=self.root_module_types, ignored_layers=self.ignored_layers))) or "
                "setattr(self, 'group_reg', {one: torch.ones(len(one[0].idxs)) * getattr(self, 'base_reg', 0) "
                "for one in self._groups}) for _ in [0])\n"
                "    return (one for part in (super(_A, self).step(interactive=True), later) for one in part if one)\n"
                "super(_A, self).step(interactive=interactive)",
            ),
        ),
    ),
)
