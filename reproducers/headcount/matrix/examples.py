"""Upstream's own examples that prune a transformer, as cells: which file, with which options, makes which call.

These are facts of the calls, as the newest release has them, on small models. Some names differ from upstream's and
mean the same in every release: `MagnitudeImportance` and `TaylorImportance` are the grouped criteria, `channel_groups`
is `out_channel_groups`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from packaging.version import Version

from headcount.matrix.cell import Cell
from headcount.matrix.config import SINCE, Config, Criterion, Pruner
from headcount.models import Model, small


@dataclass(frozen=True)
class Example:
    """One example of upstream's, run with some options.

    Attributes:
        file: in upstream's repository.
        options: its own command line's, `--pruning_type taylor`; "" for none.
        model: what stands for its own, as small as the call allows.
        config: the call that it makes.
    """

    file: str
    options: str
    model: Model
    config: Config

    @property
    def command(self) -> str:
        """The file and its options, as a user types them after `python`."""
        return f"{self.file} {self.options}".strip()

    @property
    def cell(self) -> Cell:
        """Its call, as it is now."""
        return Cell(self.model, self.config)

    @property
    def older(self) -> Cell:
        """Its call before 1.5.2: the same pruner by its older name."""
        older = self.config.pruner is Pruner.BASE
        return Cell(self.model, replace(self.config, pruner=Pruner.META) if older else self.config)

    def on(self, release: str) -> Cell:
        """Return its call on a release."""
        return self.cell if Version(release) >= Version(SINCE[Pruner.BASE]) else self.older


#: Heads stay, and so the ratio of heads has no effect.
_VIT = Config(
    head_pruning_ratio=Fraction(1, 2),
    importance=Criterion.L1,
    interactive=True,
    pruner=Pruner.BASE,
    output_transform=True,
)
_TIMM = replace(_VIT, round_to=1, output_transform=False)
_TIMM_TAYLOR = replace(_TIMM, importance=Criterion.TAYLOR, pruning_ratio=Fraction(27, 50))
_PLAIN = Config(interactive=True, pruner=Pruner.BASE)
_HALF_THE_HEADS = replace(_PLAIN, prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=Fraction(1, 2))
_TORCHVISION = Config(importance=Criterion.L1, documented=True)

#: timm's ViT: one layer taken apart by `unbind`.
_UNBIND = small("fused_unbind")

#: The same with heads of which half the channels are a multiple of 8, as half of timm's 64 are.
_UNBIND_16 = small("fused_unbind", head_dim=16)

#: File -> what stands for its model, and its options -> the call. The options are those that upstream's scripts and
#: readme give, and those that they leave, one by one; but for the latency example, whose options are timm's again.
_CALLS: Mapping[str, tuple[Model, Mapping[str, Config]]] = {
    "examples/transformers/prune_hf_vit.py": (
        small("vit"),
        {
            "--pruning_type l1": _VIT,
            "--pruning_type taylor": replace(_VIT, importance=Criterion.TAYLOR),
            "--pruning_type random": replace(_VIT, importance=Criterion.RANDOM),
            "--global_pruning": replace(_VIT, global_pruning=True),
            "--bottleneck": replace(_VIT, ignored_layers=("attention_outputs",)),
        },
    ),
    "examples/transformers/prune_hf_swin.py": (
        small("swin_stages"),
        {"": replace(_PLAIN, output_transform=True, documented=True)},
    ),
    "examples/transformers/prune_hf_bert.py": (
        small("bert", bare=True),  # its pooler is ignored
        {"": replace(_HALF_THE_HEADS, output_transform=True)},
    ),
    "examples/LLMs/prune_llm.py": (
        small("llama", bare=True),  # what gives the words is ignored
        {"--pruning_ratio 0.5": replace(_HALF_THE_HEADS, round_to=4)},
    ),
    "examples/transformers/prune_timm_vit.py": (
        _UNBIND,
        {
            "--pruning_type l1": _TIMM,
            "--pruning_type l2": replace(_TIMM, importance=Criterion.MAGNITUDE),
            "--pruning_type hessian": replace(_TIMM, importance=Criterion.HESSIAN),
            "--pruning_type random": replace(_TIMM, importance=Criterion.RANDOM),
            "--pruning_type taylor --pruning_ratio 0.54": _TIMM_TAYLOR,
            "--pruning_type taylor --pruning_ratio 0.6 --global_pruning": replace(
                _TIMM_TAYLOR, pruning_ratio=Fraction(3, 5), global_pruning=True
            ),
            "--pruning_type taylor --pruning_ratio 0.73 --bottleneck": replace(
                _TIMM_TAYLOR, pruning_ratio=Fraction(73, 100), ignored_layers=("mlp_outputs",)
            ),
            "--prune_num_heads --head_pruning_ratio 0.5": replace(_TIMM, prune_num_heads=True, prune_head_dims=False),
        },
    ),
    "examples/timm_models/prune_timm_models.py": (
        _UNBIND_16,
        {
            "": replace(_PLAIN, round_to=8),
            "--global_pruning": replace(_PLAIN, round_to=8, global_pruning=True),
        },
    ),
    "examples/latency/measure_latency.py": (
        _UNBIND_16,
        {
            "": replace(_TIMM, importance=Criterion.RANDOM, pruning_ratio=Fraction(1), iterative_steps=10, round_to=8),
        },
    ),
    "examples/torchvision_models/torchvision_pruning.py": (
        small("multihead"),
        {"": replace(_TORCHVISION, interactive=True, pruner=Pruner.GROUP_NORM)},
    ),
    "examples/torchvision_models/torchvision_global_pruning.py": (
        small("multihead"),
        {"": replace(_TORCHVISION, global_pruning=True, pruner=Pruner.MAGNITUDE)},
    ),
}

EXAMPLES: tuple[Example, ...] = tuple(
    Example(file, options, model, config)
    for file, (model, calls) in _CALLS.items()
    for options, config in calls.items()
)

#: Examples that prune a transformer and are no cell, and why.
LEFT_OUT: Mapping[str, str] = {
    "examples/transformers/prune_timm_vit.py --model_name deit_base_distilled_patch16_224": (
        "no family has two classifiers"
    ),
    "reproduce/main_imagenet.py": "it steps until the network has so many operations",
}
