"""Known defects: side effects."""

from headcount import matrix, oracle
from headcount.defects.defect import Breaks, Condition, Defect, Edit, Reproducer, Severity

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="eval-mode",
        title="a model in training mode comes back in evaluation mode",
        severity=Severity.SIDE_EFFECT,
        hits="who goes on training without calling model.train()",
        cause="tracing the model calls `model.eval()`, and nothing puts the mode back.",
        breaks="You can fine-tune the remaining weights using your own training code.",
        source="README, high-level pruners",
        signature=(Breaks(oracle.Problem.TRAINING),),
        may_show=Condition("a model in training mode", lambda cell: cell.config.training),
        examples=(
            "vit-local-keepnum-prunedims-heads1of2-chan0-steps3-training",
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-training",
        ),
        reproducer=Reproducer("eval_mode.py", "1.6.1"),
        remedy=(
            Edit("*._trace", "model.eval()", "modes = [(m, m.training) for m in model.modules()]\nmodel.eval()"),
            Edit(
                "*._trace",
                "for _A in hooks:\n    _BODY",
                "for _A in hooks:\n    _BODY\nfor m, mode in modes:\n    m.training = mode",
            ),
        ),
    ),
    Defect(
        id="unfreezes",
        title="frozen parameters are trainable once they have been pruned",
        severity=Severity.SIDE_EFFECT,
        hits="who has frozen some weights",
        cause="a pruned parameter is made anew by `nn.Parameter(…)`, which requires gradients by default.",
        breaks="You can fine-tune the remaining weights using your own training code.",
        source="README, high-level pruners",
        signature=(Breaks(oracle.Problem.REQUIRES_GRAD),),
        may_show=Condition("frozen weights", lambda cell: cell.config.frozen),
        examples=(
            "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-frozen",
            "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-frozen",
        ),
        reproducer=Reproducer("unfreezes.py", "1.6.1"),
        remedy=(
            Edit(
                "*._prune_parameter_and_grad",
                "torch.nn.Parameter(_A)",
                "torch.nn.Parameter(_A, requires_grad=weight.requires_grad)",
            ),
        ),
    ),
    Defect(
        id="shared-defaults",
        title="a pruner writes into the default dictionaries of all pruners",
        severity=Severity.SIDE_EFFECT,
        hits="who prunes two models in one process",
        cause="`out_channel_groups: dict = dict()` is one dictionary for all calls, and num_heads is put into it.",
        breaks=(
            "out_channel_groups (Dict[nn.Module, int]): The number of channel groups for layer output. Default: dict()."
        ),
        source="MetaPruner's docstring",
        signature=(Breaks(oracle.Problem.CHANNEL_GROUPS),),
        may_show=Condition("a second pruner on another model", lambda cell: cell.config.second is matrix.Second.OTHER),
        examples=(
            "vit-local-keepnum-prunedims-heads1of3-chan0-steps3-second_other",
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-second_other",
        ),
        reproducer=Reproducer("shared_defaults.py", "1.6.1"),
        remedy=(
            Edit(
                "*.__init__",
                "self.model = model",
                "self.model = model\n"
                "in_channel_groups = dict(in_channel_groups)\n"
                "out_channel_groups = dict(out_channel_groups)",
                "*_pruner.py",
            ),
            Edit(
                "*.__init__",
                "self.model = model",
                "self.model = model\n"
                "in_channel_groups = dict(in_channel_groups)\n"
                "out_channel_groups = dict(out_channel_groups)",
                "*/metapruner.py",
            ),
        ),
    ),
)
