"""Known defects: criteria of importance."""

from headcount import matrix, oracle
from headcount.defects.defect import (
    HALF,
    Breaks,
    Condition,
    Defect,
    Edit,
    Raises,
    Reproducer,
    Severity,
    criterion,
)


def _skips_groups(cell: matrix.Cell) -> bool:
    """Return whether a criterion has no score for some group: one without BatchNorm, or OBDC for one that is frozen."""
    criterion, frozen = cell.config.importance, cell.config.frozen
    return criterion is matrix.Criterion.BN_SCALE or (criterion is matrix.Criterion.OBDC and frozen)


DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="groupnorm-gone",
        title="GroupNormImportance was renamed without an alias",
        severity=Severity.CRASH,
        hits="every script of before 1.5.2 that names GroupNormImportance",
        cause="the class was renamed to GroupMagnitudeImportance in 1.5.2, and the old name was dropped.",
        breaks="imp = tp.importance.GroupNormImportance(p=2)",
        source="README, high-level pruners, up to 1.5.1",
        signature=(Raises("AttributeError", "has no attribute 'GroupNormImportance'"),),
        may_show=criterion(matrix.Criterion.GROUP_NORM),
        examples=(
            "vit-local-keepnum-prunedims-heads1of2-chan0-steps3-by_groupnorm",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_groupnorm",
        ),
        reproducer=Reproducer("groupnorm_gone.py", "1.6.1", "1.5.1"),
        remedy=(
            # Every class of the file is made when it is read, and so is this name, in the body of one.
            Edit(
                "BNScaleImportance.__init__",
                "def __init__(self, group_reduction='mean', normalizer='mean'):\n    _BODY",
                "def __init__(self, group_reduction='mean', normalizer='mean'):\n    _BODY\n"
                "globals().setdefault('GroupNormImportance', globals().get('GroupMagnitudeImportance'))",
            ),
        ),
    ),
    Defect(
        id="obdc-transformer",
        title="OBDCImportance cannot score the linear layers of a transformer",
        severity=Severity.CRASH,
        hits="who ranks a transformer by OBDC",
        cause="the gradients of linear layers are worked out for inputs of two dimensions; a transformer's have three.",
        breaks=(
            "It should accept a group as inputs, and return a 1-D tensor with the same length as the number of "
            "channels."
        ),
        source="docstring of Importance",
        signature=(
            Raises("RuntimeError", "Tensors must have same number of dimensions"),
            Raises("TypeError", "'NoneType' object is not iterable"),
        ),
        may_show=criterion(matrix.Criterion.OBDC),
        examples=(
            "vit-local-keepnum-prunedims-heads1of2-chan0-steps3-by_obdc",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_obdc",
        ),
        reproducer=Reproducer("obdc_transformer.py", "1.6.1"),
        remedy=(
            Edit(
                "ComputeMatGrad.linear",
                "torch.cat(_A, 1)",
                "torch.cat([input, torch.ones_like(input[..., :1])], -1)",
            ),
            Edit("ComputeMatGrad.linear", "input.unsqueeze(1)", "input.reshape(len(input), -1, input.shape[-1])"),
            Edit(
                "ComputeMatGrad.linear",
                "grad_output.unsqueeze(2)",
                "grad_output.reshape(len(input), -1, grad_output.shape[-1]).transpose(1, 2)",
            ),
            Edit(
                "OBDCImportance._prepare_model",
                "pruner._downstream_node_as_root_if_attention(group)",
                "pruner._downstream_node_as_root_if_attention(group) or group",
            ),
            Edit("OBDCImportance.step", "self.modules", "dict.fromkeys(self.modules)"),
            Edit(
                "OBDCImportance.step",
                "self.steps == 0",
                "m not in self.Fisher or self.Fisher[m].shape != grad_mat.shape[1:]",
            ),
            Edit(
                "OBDCImportance.__call__",
                "F_diag = _A",
                "if layer not in self.Fisher:\n"
                "    continue\n"
                "F_diag = (self.Fisher[layer] / self.steps + self.eps)[:, : layer.weight[0].numel()]",
            ),
            Edit("OBDCImportance.__call__", "w ** 2 * F_diag", "w ** 2 * F_diag[idxs]"),
            # A layer that is down to as many channels as there are classes is no classifier.
            Edit("OBDCImportance.__call__", "layer.out_features == self.num_classes", "layer not in self.Fisher"),
            # One layer for queries, keys and values has three rows for each channel of the group's first layer.
            Edit(
                "OBDCImportance.__call__",
                "self._reduce(group_imp, group_idxs)",
                "self._reduce(group_imp, group_idxs)[: len(group[0].idxs)]",
            ),
        ),
    ),
    Defect(
        id="no-score",
        title="a group without a score crashes: its length is taken before it is looked at",
        severity=Severity.CRASH,
        hits="who uses a criterion that skips some groups",
        cause="the group's size is worked out by `len(imp)` one line before `if imp is None: continue`.",
        breaks="importance (Callable): importance estimator.",
        source='MetaPruner\'s docstring; every criterion returns None to "skip groups without parameterized layers"',
        signature=(Raises("TypeError", "object of type 'NoneType' has no len"),),
        may_show=Condition("a criterion that skips some groups", _skips_groups),
        examples=(
            "vit-local-keepnum-prunedims-heads1of2-chan0-steps3-by_bnscale",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_bnscale",
        ),
        reproducer=Reproducer("no_score.py", "1.5.0", "1.5.1"),
        remedy=(
            Edit(
                "*._prune",
                "imp = self.estimate_importance(group)",
                "imp = self.estimate_importance(group)\nif imp is None:\n    continue",
            ),
            Edit(
                "*.prune_global",
                "imp = self.estimate_importance(group)",
                "imp = self.estimate_importance(group)\nif imp is None:\n    continue",
            ),
            Edit(
                "*.prune_global",
                "imp = self.estimate_importance(group, ch_groups=ch_groups)",
                "imp = self.estimate_importance(group, ch_groups=ch_groups)\nif imp is None:\n    continue",
            ),
        ),
    ),
    Defect(
        id="lamp-order",
        title="LAMPImportance gives its scores back in sorted order, not in the channels'",
        severity=Severity.SILENT_WEIGHTS,
        hits="who ranks by LAMP: the wrong heads and channels go",
        cause="the sorted scores are summed up and given back as they lie, without going back to the channels' order.",
        breaks="imp_score is a 1-D tensor with length 3 for channels [2, 6, 9]",
        source="docstring of Importance",
        signature=(
            Breaks(oracle.Problem.HEAD_RANKING),
            Breaks(oracle.Problem.CHANNEL_RANKING),
            Breaks(oracle.Problem.COUNT, "heads"),
            Breaks(oracle.Problem.TOTAL, "heads"),
        ),
        may_show=criterion(matrix.Criterion.LAMP),
        examples=(
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_lamp",
            "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-by_lamp",
            "vit-local-keepnum-prunedims-heads0-chan1of2-steps1-by_lamp",
        ),
        reproducer=Reproducer("lamp_order.py", "1.3.5", "1.3.6"),
        remedy=(
            Edit(
                "*._lamp",
                "inversed_idx = _A",
                "inversed_idx = torch.argsort(torch.tensor(argsort_idx)).tolist()",
            ),
        ),
    ),
    Defect(
        id="lamp-half",
        title="LAMPImportance crashes in half precision: it puts scores of 16 bits into a tensor of float32",
        severity=Severity.CRASH,
        hits="who ranks a model in bfloat16 or float16 by LAMP",
        cause="the scores' place is made with torch's default dtype, not with the scores' own.",
        breaks=(
            "It should accept a group as inputs, and return a 1-D tensor with the same length as the number of "
            "channels."
        ),
        source="docstring of Importance; examples/LLMs/prune_llama.py of 1.4.0 prunes with torch_dtype=torch.float16",
        signature=(Raises("RuntimeError", "Index put requires the source and destination dtypes match", "._lamp"),),
        may_show=criterion(matrix.Criterion.LAMP) & HALF,
        examples=(
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_lamp-in_bfloat16",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_lamp-in_float16",
        ),
        reproducer=Reproducer("lamp_half.py", "1.5.1", "1.5.2"),
        remedy=(
            Edit(
                "*._lamp",
                "new_scores = torch.zeros(scores_cumsum.shape, device=scores.device)",
                "new_scores = torch.zeros_like(sorted_scores)",
            ),
        ),
    ),
    Defect(
        id="frozen-taylor",
        title="TaylorImportance crashes on a frozen layer: it reads a gradient that is not there",
        severity=Severity.CRASH,
        hits="who ranks by Taylor and has frozen some weights",
        cause="`layer.weight.grad.data` is taken of every layer of a group, though a frozen one has none.",
        breaks="importance (Callable): importance estimator.",
        source="MetaPruner's docstring",
        signature=(Raises("AttributeError", "'NoneType' object has no attribute"),),
        may_show=criterion(matrix.Criterion.TAYLOR, matrix.Criterion.FIRST)
        & Condition("frozen weights", lambda cell: cell.config.frozen),
        examples=("vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_taylor-frozen",),
        reproducer=Reproducer("frozen_taylor.py", "1.6.1"),
        remedy=(
            Edit(
                "*TaylorImportance.__call__",
                "if not isinstance(layer, tuple(self.target_types)):\n    _BODY",
                "if not isinstance(layer, tuple(self.target_types)) or getattr(layer.weight, 'grad', None) is None:\n"
                "    _BODY",
            ),
        ),
    ),
)
