"""Known defects: calls of other kinds, such as upstream's documentation and examples have beside the plain one."""

from headcount import matrix, oracle
from headcount.defects.defect import (
    GROUPED_QUERIES,
    PRUNES_HEADS,
    Breaks,
    Condition,
    Defect,
    Edit,
    Raises,
    Reproducer,
    Severity,
)
from headcount.matrix.config import LAYER_TYPES

LOADS_HISTORY = Condition("a history is loaded", lambda cell: cell.config.second is matrix.Second.LOADED)

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="ignored-types",
        title="a class in ignored_layers is passed over, silently: its layers are pruned",
        severity=Severity.SILENT_COUNTS,
        hits="who names a class of layers, as the docstring offers, in place of each layer",
        cause="of what is in ignored_layers only modules and parameters are looked at; nothing is said of the rest.",
        breaks="ignored_layers (List[nn.Module | typing.Type]): ignored modules. Default: None.",
        source="MetaPruner's docstring",
        signature=(Breaks(oracle.Problem.COUNT, "width", side=oracle.Side.TOO_FEW),),
        may_show=Condition("a class is ignored", lambda cell: bool({*LAYER_TYPES} & {*cell.config.ignored_layers})),
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_LayerNorm",
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_Conv2d",
        ),
        reproducer=Reproducer("ignored_types.py", "1.6.1"),
        remedy=(
            Edit(
                "*.__init__",
                "self.ignored_layers = []",
                "ignored_layers = [\n"
                "    each\n"
                "    for one in ignored_layers or []\n"
                "    for each in (model.modules() if isinstance(one, type) else [one])\n"
                "    if each is one or isinstance(each, one)\n"
                "]\n"
                "self.ignored_layers = []",
            ),
        ),
    ),
    Defect(
        id="summed-output",
        title="an output_transform that returns a number, as upstream's examples have it, crashes the pruner",
        severity=Severity.CRASH,
        hits="everyone who runs upstream's examples for transformers; with 1.6.1, who prunes a backbone alone",
        cause="what the transform returns is taken for a layer whose second dimension is channels; a number has none.",
        breaks="output_transform=lambda out: out.logits.sum(),",
        source="examples/transformers/prune_hf_vit.py",
        signature=(
            Raises("IndexError", "list index out of range", "ops.get_in_channels"),
            Raises("IndexError", "list index out of range", "ops.prune_out_channels"),
        ),
        may_show=Condition("an output_transform", lambda cell: cell.config.output_transform),
        examples=(
            "vit_bare-local-prunenum-keepdims-heads1of2-chan1of2-steps1-output_transform",
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-output_transform",
        ),
        reproducer=Reproducer("summed_output.py", "1.6.1", "1.5.2"),
        remedy=(
            Edit(
                "*._trace_computational_graph",
                "grad_fn is grad_fn_root",
                "grad_fn is grad_fn_root and output.dim() > 1",
            ),
        ),
    ),
    Defect(
        id="skipped-group",
        title="a group that the user leaves out of an interactive step lowers the head count all the same",
        severity=Severity.SILENT_COUNTS,
        hits="who decides by hand which groups are pruned",
        cause="the head count is lowered before the group is handed over, whatever becomes of it.",
        breaks="This feature is particularly useful if you want to control or monitor the pruning process.",
        source="README, interactive pruning; examples/transformers/prune_hf_vit.py reads the count back",
        signature=(Breaks(oracle.Problem.REPORTED),),
        may_show=PRUNES_HEADS & Condition("attention's groups are left out", lambda cell: cell.config.skips_attention),
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-skips_attention",
            "vit-global-prunenum-keepdims-heads1of2-chan1of2-steps1-skips_attention",
        ),
        reproducer=Reproducer("skipped_group.py", "1.6.1"),
        over=("takes-all-channels",),
        remedy=(
            Edit(
                "*prune*",
                "self.num_heads[_A] -= _B",
                "self.lowered = {**vars(self).get('lowered', {}), _A: self.num_heads[_A]}\nself.num_heads[_A] -= _B",
            ),
            Edit(
                "*prune*",
                "yield group",
                "lowered, self.lowered = vars(self).get('lowered', {}), {}\n"
                "sizes = {m: self.DG.get_out_channels(m) for m in lowered}\n"
                "yield group\n"
                "for m in [m for m in lowered if self.DG.get_out_channels(m) == sizes[m]]:\n"
                "    self.num_heads[m] = self.out_channel_groups[m] = lowered[m]",
            ),
        ),
    ),
    Defect(
        id="stale-history",
        title="load_pruning_history prunes heads and leaves num_heads as it was",
        severity=Severity.SILENT_COUNTS,
        hits="who loads a pruned model by its history, and sets its head counts from the pruner",
        cause="the history is handed to the graph, which knows of channels and not of heads.",
        breaks="m.num_attention_heads = pruner.num_heads[m.query]",
        source="examples/transformers/prune_hf_vit.py; of the history, README_CN up to 1.4.3 and tests/test_load.py",
        signature=(Breaks(oracle.Problem.REPORTED),),
        may_show=PRUNES_HEADS & LOADS_HISTORY,
        examples=(
            "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-second_loaded",
            "vit-local-prunenum-prunedims-heads1of3-chan1of2-steps1-second_loaded",
        ),
        reproducer=Reproducer("stale_history.py", "1.6.1"),
        over=("takes-all-channels", "grouped-unknown", "grouped-as-many"),
        remedy=(
            Edit(
                "*.load_pruning_history",
                "self.DG.load_pruning_history(pruning_history)",
                "for entry in pruning_history:\n"
                "    sizes = {m: self.DG.get_out_channels(m) for m in self.num_heads}\n"
                "    root, gone = self.model.get_submodule(entry[0]), set(entry[2])\n"
                "    size = (self.DG.get_out_channels if entry[1] else self.DG.get_in_channels)(root)\n"
                "    self.DG.load_pruning_history([entry])\n"
                "    for m in [m for m, before in sizes.items() if self.DG.get_out_channels(m) != before]:\n"
                "        dims = size // self.num_heads[m]\n"
                "        whole = [h for h in range(0, size, dims) if gone.issuperset(range(h, h + dims))]\n"
                "        self.num_heads[m] = self.out_channel_groups[m] = self.num_heads[m] - len(whole)\n"
                "self.DG._pruning_history = pruning_history",
            ),
        ),
    ),
    Defect(
        id="grouped-history",
        title="with grouped queries, load_pruning_history prunes keys and values that had been spared",
        severity=Severity.CRASH,
        hits="who loads a model with grouped queries by its history",
        cause="the history has a group's first layer and its indices; that others were spared is not in it.",
        breaks="DG.load_pruning_history(state_dict['pruning'])\nmodel.load_state_dict(state_dict['model'])",
        source="tests/test_load.py; README_CN up to 1.4.3",
        signature=(Raises("RuntimeError", "loading state_dict"),),
        may_show=PRUNES_HEADS & GROUPED_QUERIES & LOADS_HISTORY,
        examples=("grouped-local-prunenum-keepdims-heads1of3-chan1of2-steps1-second_loaded",),
        reproducer=Reproducer("grouped_history.py", "1.6.1", "1.4.2"),
        remedy=(
            Edit(
                "*.prune",
                "self._DG._pruning_history.append([_A, _B, _C])",
                "names = self._DG._module2name\n"
                "spared = [names.get(dep.target.module) for dep, idxs in self._group if len(idxs) == 0]\n"
                "self._DG._pruning_history.append([_A, _B, _C, spared])",
            ),
            Edit(
                "*.load_pruning_history",
                "for module_name, is_out_channel_pruning, pruning_idx in self._pruning_history:\n    _BODY",
                "for module_name, is_out_channel_pruning, pruning_idx, spared in self._pruning_history:\n    _BODY",
            ),
            Edit(
                "*.load_pruning_history",
                "group = _A",
                "group = _A\n"
                "for place, (dep, _) in enumerate(list(group)):\n"
                "    if self._module2name.get(dep.target.module) in spared:\n"
                "        group[place] = (dep, [])",
            ),
        ),
    ),
)
