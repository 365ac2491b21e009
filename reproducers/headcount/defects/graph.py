"""Known defects: what the graph of the network misses."""

from headcount import matrix
from headcount.defects.channels import BY_GROUP, OWN_RECORD
from headcount.defects.defect import (
    CLASSIFIER,
    PRUNES_CHANNELS,
    PRUNES_WIDTH,
    SCORES_WIDTH,
    SEVERAL_STEPS,
    Breaks,
    Condition,
    Defect,
    Edit,
    NeverEnds,
    Raises,
    Reproducer,
    Severity,
    families,
)
from headcount.oracle import Kind, Problem, Side


def _has_no_gradient(cell: matrix.Cell) -> bool:
    """Return whether a model has a mask token, frozen positions, or positions for the blocks between none."""
    model = cell.model
    return model.family in ("dinov2", "dinov2_registers", "dinov2_swiglu", "dinov3", "vit_mae") or (
        model.family == "yolos" and model.layers == 1
    )


_CHUNKS = families("a layer taken apart in chunks of the last dimension, no positions", "mix_ffn", "swiglu")

_PARTS = families("a layer taken apart in chunks that the graph sees", "mix_ffn", "adaln", "adaln_spare", "swiglu")

_GATES = families("gates and what they scale are chunks of one layer, no positions", "swiglu")

#: What a step leaves of each part of a split is where the next one looks.
_COUNT_PARTS = Edit("SplitPruner.prune_out_channels", "self.offsets = offsets", "layer.offsets = offsets")

#: A split of channels that comes after a parameter of three dimensions is one of channels.
_SPLITS = (
    Edit(
        "*._trace",
        "node.enable_index_mapping = False",
        "sizes = getattr(node.grad_fn, '_saved_self_sym_sizes', ())\n"
        "is_split = node.type == ops.OPTYPE.SPLIT and len(sizes) == 3\n"
        "node.enable_index_mapping = is_split and node.grad_fn._saved_dim in (2, 2**64 - 1)",
    ),
    Edit(
        "*update_split_index_mapping",
        "split_node.grad_fn._saved_dim != 1",
        "split_node.grad_fn._saved_dim not in "
        "((1, 2, 2**64 - 1) if len(split_node.grad_fn._saved_self_sym_sizes) == 3 else (1,))",
    ),
    _COUNT_PARTS,
)

#: Rows of one layer that go together are groups of channels: each has as many, and a score that is the mean of theirs.
_ROWS_OF_ONE = Edit(
    "*.__init__",
    "self.layer_init_out_ch = {}",
    "self.layer_init_out_ch = {}\n"
    "for layer in [m for m in self.DG.module2node if isinstance(m, nn.Linear) and m not in self.out_channel_groups]:\n"
    "    prune = self.DG.get_pruner_of_module(layer).prune_out_channels\n"
    "    group = self.DG.get_pruning_group(layer, prune, [0])\n"
    "    rows = {row for dep, idxs in group for row in idxs if dep.target.module is layer and dep.handler == prune}\n"
    "    if len(rows) > 1:\n"
    "        self.out_channel_groups[layer] = len(rows)\n",
)

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="no-gradient",
        title="a parameter that no gradient reaches, as a mask token or frozen positions, crashes the tracing",
        severity=Severity.CRASH,
        hits="everyone who prunes a model with a mask token or frozen positions",
        cause=(
            "each parameter that is in no layer is looked up among the nodes of the graph, where one without a "
            "gradient is not."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("KeyError", "Parameter containing", "._trace_computational_graph"),),
        may_show=Condition("a parameter without a gradient", _has_no_gradient),
        examples=(
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("no_gradient.py", "1.3.5", "1.3.6"),
        remedy=(
            Edit(
                "*._trace_computational_graph",
                "module2node[param].pruning_dim = dim",
                "if param in module2node:\n    module2node[param].pruning_dim = dim",
            ),
        ),
    ),
    Defect(
        id="concat-half",
        title="a classifier that reads two tokens side by side loses the channels of one of them only",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes the width of DINOv2 with its classifier",
        cause="the tokens come from one norm, and of two paths into a concatenation the group follows one.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Breaks(Problem.OTHER_INDICES, "width", where="classifier"),),
        may_show=families("a classifier that reads two tokens", "dinov2", "dinov2_registers", "dinov2_swiglu")
        & CLASSIFIER
        & PRUNES_WIDTH,
        examples=(
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("concat_half.py", "1.6.1"),
        remedy=(
            Edit(
                "*._trace",
                "node.enable_index_mapping = False",
                "node.enable_index_mapping = False\n"
                "if node.type == ops.OPTYPE.CONCAT and len(node.grad_fn._input_metadata[0].shape) == 2:\n"
                "    node.enable_index_mapping = True",
            ),
        ),
    ),
    Defect(
        id="reshaped-map",
        title="pruning a model whose tokens stay a map, as SAM's, has no end: reshapes of it are taken for flattening",
        severity=Severity.CRASH,
        hits="who prunes fused qkv on tensors of two or four dimensions alone: SAM, DPT, attention by convolutions",
        cause=(
            "a reshape's sizes are read under a name that PyTorch no longer uses, so each is taken for one that "
            "multiplies channels: the indices that it maps grow without end."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(NeverEnds(),),
        may_show=families("tokens as a map", "mapped"),
        examples=("mapped-local-prunenum-keepdims-heads1of3-chan1of2-steps1",),
        reproducer=Reproducer("reshaped_map.py", "1.6.1"),
        remedy=(
            Edit(
                "*update_reshape_index_mapping",
                "hasattr(reshape_node.grad_fn, '_saved_self_sizes')",
                "hasattr(reshape_node.grad_fn, '_saved_self_sym_sizes')",
            ),
            Edit(
                "*update_reshape_index_mapping",
                "reshape_node.grad_fn._saved_self_sizes",
                "reshape_node.grad_fn._saved_self_sym_sizes",
            ),
        ),
    ),
    Defect(
        id="frozen-parameter",
        title="frozen weights that no gradient reaches are left as wide as they were: they no longer fit",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes a model with frozen positions, or with frozen cross-attention",
        cause="the graph is made of gradients, and what needs none is not in it.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(
            Breaks(Problem.OTHER_INDICES, "width", where="position_embeddings"),
            Breaks(Problem.UNLIKE_CHANNELS),
            Breaks(Problem.REPORTED, "q"),
        ),
        may_show=Condition(
            "frozen positions, or frozen keys of another input",
            lambda cell: cell.model.family == "vit_mae" or (cell.model.family == "cross" and cell.config.frozen),
        ),
        examples=(
            "vit_mae-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "vit_mae-local-keepnum-prunedims-heads0-chan1of2-steps2",
            "cross-local-keepnum-prunedims-heads0-chan1of2-steps1-frozen",
        ),
        reproducer=Reproducer("frozen_parameter.py", "1.6.1"),
        remedy=(
            Edit(
                "*._trace",
                "gradfn2module = {}",
                "gradfn2module = {}\n"
                "frozen = [p for p in model.parameters() if not p.requires_grad]\n"
                "for p in frozen:\n"
                "    p.requires_grad_(True)",
            ),
            Edit("*._trace", "reused = _A", "reused = _A\nfor p in frozen:\n    p.requires_grad_(False)"),
            Edit(
                "*._prune_parameter_and_grad",
                "torch.nn.Parameter(_A)",
                "torch.nn.Parameter(_A, requires_grad=weight.requires_grad)",
            ),
        ),
    ),
    Defect(
        id="concat-tokens",
        title="tokens put one after another are taken for channels side by side: pruning the width crashes",
        severity=Severity.CRASH,
        hits="who prunes the width of CLIP",
        cause=(
            "a concatenation along dimension 1 is one of channels, unless a parameter of three dimensions comes "
            "into it; CLIP's class token has one."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("a class token of one dimension", "clip") & SCORES_WIDTH,
        examples=(
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("concat_tokens.py", "1.5.2", "1.5.3"),
        remedy=(
            Edit(
                "*._update_concat_index_mapping",
                "cat_node.module.offsets = offsets",
                "if self._infer_in_channels_recursively(cat_node, [0]) not in (None, offsets[-1]):\n"
                "    return\n"
                "cat_node.module.offsets = offsets",
            ),
        ),
    ),
    Defect(
        id="split-tokens",
        title="a split of tokens crashes the tracing",
        severity=Severity.CRASH,
        hits="everyone who prunes DINOv3",
        cause="the sizes of a split along the tokens are not recorded. A concatenation that follows reads them.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "list index out of range", "infer_out_channels_recursively"),),
        may_show=families("tokens are split", "dinov3"),
        examples=(
            "dinov3-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov3-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("split_tokens.py", "1.6.1", "1.5.2"),
        remedy=(
            Edit(
                "init_shape_information",
                "grad_fn._saved_dim < constants.MAX_VALID_DIM",
                "grad_fn._saved_dim != 2**64 - 1",
            ),
            Edit(
                "infer_channels_between",
                "node_1.type == ops.OPTYPE.SPLIT",
                "node_1.type == ops.OPTYPE.SPLIT and node_1.module.split_sizes is not None",
            ),
        ),
    ),
    Defect(
        id="fused-index",
        title="a fused qkv projection that is taken apart by qkv[0], qkv[1], qkv[2] crashes, where unbind does not",
        severity=Severity.CRASH,
        hits="everyone who prunes attention that takes qkv apart by an index",
        cause=(
            "an index is an operation on each element to the graph: the channels of a part are not mapped to "
            "those of the whole."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("qkv taken apart by an index", "fused_index"),
        examples=(
            "fused_index-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "fused_index-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("fused_index.py", "1.6.1"),
        remedy=(
            Edit(
                "update_index_mapping",
                "if node.type == ops.OPTYPE.UNBIND:\n    _BODY",
                "if node.type == ops.OPTYPE.UNBIND:\n    _BODY\n"
                "fn = node.grad_fn\n"
                "if 'SelectBackward' in str(fn) and fn._saved_dim == 0 and len(fn._saved_self_sym_sizes) > 3:\n"
                "    count, infer = fn._saved_self_sym_sizes[0], shape_infer.infer_out_channels_recursively\n"
                "    whole = infer(graph, node.inputs[0], [0])\n"
                "    first = (fn._saved_index - (2**64 if fn._saved_index > 2**63 else 0)) % count\n"
                "    part = [(first + end) * (whole or 0) // count for end in (0, 1)]\n"
                "    for one, other in ((node, node.inputs[0]), (node.inputs[0], node)):\n"
                "        for dep in one.dependencies:\n"
                "            if dep.target is other and whole:\n"
                "                dep.index_mapping[0] = _SplitIndexMapping(part, one is node)",
            ),
            Edit(
                "*.update_index_mapping",
                "if node.type == ops.OPTYPE.UNBIND:\n    _BODY",
                "if node.type == ops.OPTYPE.UNBIND:\n    _BODY\n"
                "fn = node.grad_fn\n"
                "if 'SelectBackward' in str(fn) and fn._saved_dim == 0 and len(fn._saved_self_sym_sizes) > 3:\n"
                "    count = fn._saved_self_sym_sizes[0]\n"
                "    whole = self._infer_out_channels_recursively(node.inputs[0], [0])\n"
                "    first = (fn._saved_index - (2**64 if fn._saved_index > 2**63 else 0)) % count\n"
                "    part = [(first + end) * (whole or 0) // count for end in (0, 1)]\n"
                "    for one, other in ((node, node.inputs[0]), (node.inputs[0], node)):\n"
                "        for dep in one.dependencies:\n"
                "            if dep.target is other and whole:\n"
                "                dep.index_mapping[0] = _helpers._SplitIndexMapping(part, one is node)",
            ),
        ),
    ),
    Defect(
        id="fused-chunk",
        title="a fused qkv projection that is taken apart in chunks crashes where positions are added before",
        severity=Severity.CRASH,
        hits="who prunes attention that takes qkv apart in chunks, with positions added before",
        cause=(
            "with a parameter of three dimensions before it, a split counts as one of tokens, and its parts are "
            "not mapped."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("qkv taken apart in chunks", "fused_chunk"),
        examples=(
            "fused_chunk-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "fused_chunk-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("fused_chunk.py", "1.6.1"),
        remedy=_SPLITS,
    ),
    Defect(
        id="gated-chunk",
        title="a gated MLP in one layer, whose halves are taken apart in chunks, crashes: the halves are not seen",
        severity=Severity.CRASH,
        hits="who prunes a gated MLP in one layer, as DINOv2 giant's, with positions added before",
        cause=(
            "with a parameter of three dimensions before it, a split counts as one of tokens, and its parts are not "
            "mapped. Nor is it known that the rows of both halves go together, and are one choice."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("a gated MLP in one layer", "dinov2_swiglu"),
        examples=(
            "dinov2_swiglu-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov2_swiglu-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("gated_chunk.py", "1.6.1"),
        remedy=(*_SPLITS, _ROWS_OF_ONE),
    ),
    Defect(
        id="chunk-last",
        title="a layer that is taken apart by chunk(n, dim=-1), as qkv or SwiGLU, crashes: its parts are not seen",
        severity=Severity.CRASH,
        hits="who prunes qkv or a gated MLP taken apart in chunks of the last dimension, counted from the end",
        cause="a split is taken for one of channels where its dimension is 1, and -1 is not.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=_CHUNKS,
        examples=(
            "mix_ffn-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "mix_ffn-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("chunk_last.py", "1.4.3", "1.5.0"),
        over=("chunk-steps",),
        remedy=(
            Edit(
                "*._update_split_index_mapping",
                "hasattr(split_node.grad_fn, '_saved_dim') and split_node.grad_fn._saved_dim != 1",
                "getattr(split_node.grad_fn, '_saved_dim', 1) not in (1, 2**64 - 1)",
            ),
        ),
    ),
    Defect(
        id="chunk-steps",
        title="a layer that is taken apart in chunks, as qkv or DiT's scales, crashes in a second step",
        severity=Severity.CRASH,
        hits="who prunes qkv or adaptive norms that come as chunks of one layer, in several steps",
        cause="where each part begins after a step is noted of the pruner of splits, and not of the split.",
        breaks="iterative_steps (int): number of steps for iterative pruning.",
        source="MetaPruner's docstring",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=_PARTS & SEVERAL_STEPS,
        examples=(
            "mix_ffn-local-keepnum-prunedims-heads0-chan1of2-steps2",
            "mix_ffn-global-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("chunk_steps.py", "1.6.1"),
        remedy=(_COUNT_PARTS,),
    ),
    Defect(
        id="uncalled-layer",
        title="a layer whose weight is read by F.linear is not seen: the width goes without it, or no head goes",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes attention that never calls its qkv layer, as timm's BEiT, EVA and Swin v2",
        cause=(
            "layers are found by hooks, which run when a layer is called; nothing looks for a layer of num_heads that "
            "is not in the graph."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(
            Breaks(Problem.OTHER_INDICES, where="qkv.weight"),
            Breaks(Problem.COUNT, "heads", untouched=True),
            Breaks(Problem.TOTAL, "heads", side=Side.TOO_MANY),
        ),
        may_show=Condition("qkv by F.linear", lambda cell: cell.model.traits.qkv_uncalled),
        examples=(
            "functional_qkv-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "functional_qkv-local-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_residual_outputs",
        ),
        reproducer=Reproducer("uncalled_layer.py", "1.6.1"),
        over=("no-channels-no-heads", "411-stale-groups"),
        # It is refused: no sentence says that such a layer is found.
        remedy=(
            Edit(
                "*.__init__",
                "self.DG = _A",
                "self.DG = _A\n"
                "lost = [layer for layer in self.num_heads if layer not in self.DG.module2node]\n"
                "if lost:\n"
                "    raise ValueError(f'num_heads lists {lost[0]}, which is never called and so not traced')",
            ),
        ),
    ),
    Defect(
        id="chunk-root",
        title="an MLP whose gates are a chunk of its first layer loses far more channels than asked",
        severity=Severity.SILENT_COUNTS,
        hits="everyone who prunes a SwiGLU whose gates and values come from one layer",
        cause=(
            "the group starts at the layer with both chunks, whose channels are ranked one by one; then each takes its "
            "like in the other chunk along."
        ),
        breaks="pruning_ratio (float): global channel sparisty.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.COUNT, "mlp", side=Side.TOO_FEW), Breaks(Problem.TOTAL, side=Side.TOO_FEW)),
        may_show=_GATES & PRUNES_CHANNELS,
        examples=(
            "swiglu-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "swiglu-global-keepnum-prunedims-heads0-chan1of2-steps1",
        ),
        reproducer=Reproducer("chunk_root.py", "1.6.1"),
        remedy=(
            # It starts at a layer that reads what the chunks make.
            Edit(
                "*.get_all_groups",
                "if prunable_group:\n    _BODY",
                "reads = [item for item in group if self.is_in_channel_pruning_fn(item[0].handler)\n"
                "         and isinstance(item[0].target.module, tuple(root_module_types))]\n"
                "least = min(reads, key=lambda item: len(item[1]), default=group[0])\n"
                "split = any(dep.target.type == ops.OPTYPE.SPLIT for dep, _ in group)\n"
                "if split and len(least[1]) < len(group[0][1]):\n"
                "    group = self.get_pruning_group(least[0].target.module, least[0].handler, least[1])\n"
                "if prunable_group:\n    _BODY",
            ),
            OWN_RECORD,
            BY_GROUP,
        ),
    ),
    Defect(
        id="unread-part",
        title="of a layer that is taken apart in chunks, a part that nothing reads keeps its channels: forward fails",
        severity=Severity.CRASH,
        hits="who prunes the width where an adaptive norm makes a part that is not used",
        cause=(
            "the parts of a split are those that something reads; the layer loses their channels only, and what is "
            "left is dealt out evenly again."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Breaks(Problem.OTHER_INDICES, "width", where="modulation"),),
        may_show=families("a part that nothing reads", "adaln_spare") & PRUNES_CHANNELS & SCORES_WIDTH,
        examples=(
            "adaln_spare-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "adaln_spare-global-keepnum-prunedims-heads0-chan1of2-steps1",
        ),
        reproducer=Reproducer("unread_part.py", "1.6.1"),
        remedy=(
            Edit(
                "*init_shape_information",
                "for n in node.outputs:\n    _BODY",
                "for n in node.outputs:\n    _BODY\n"
                "size, sizes = getattr(grad_fn, '_saved_split_size', 0), grad_fn._saved_self_sym_sizes\n"
                "dim = grad_fn._saved_dim if grad_fn._saved_dim < len(sizes) else -1\n"
                "chs += [size] * (sizes[dim] // size - len(chs) if size else 0)",
            ),
            # What nothing reads goes with the first that is read.
            Edit(
                "*update_split_index_mapping",
                "_A(offset=offsets[i : i + 2], reverse=True)",
                "_A(offset=offsets[i : i + 2] + offsets[len(split_node.outputs) : -1] * (i == 0), reverse=True)",
            ),
            Edit(
                "_SplitIndexMapping.__call__",
                "[_A(idx=i.idx + self.offset[0], root_idx=i.root_idx) for i in idxs]",
                "[_A(idx=i.idx + start, root_idx=i.root_idx)\n"
                " for start in (self.offset[0], *self.offset[2:]) for i in idxs]",
            ),
        ),
    ),
    Defect(
        id="unread-layer",
        title="a layer whose output is not read is left as wide as it was, and the forward pass runs into it",
        severity=Severity.CRASH,
        hits="who prunes the width of CLIP with its classifier",
        cause=(
            "the graph is made from the output backwards: CLIP's last norm is on no way to the logits, though it "
            "is run."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("RuntimeError", "normalized_shape", "", Kind.BROKEN_FORWARD),),
        may_show=families("a layer that nothing reads", "clip") & CLASSIFIER & PRUNES_WIDTH,
        examples=(
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("unread_layer.py", "1.6.1"),
        remedy=(
            Edit(
                "*._trace",
                "gradfn2module[outputs.grad_fn] = module",
                "gradfn2module[outputs.grad_fn] = module\nself.__dict__.setdefault('ran', []).append(outputs)",
            ),
            Edit(
                "*._trace",
                "for o in utils.flatten_as_list(out):\n"
                "    self._trace_computational_graph(module2node, _A, gradfn2module, reused, visited=visited)",
                "for o in utils.flatten_as_list(out):\n"
                "    self._trace_computational_graph(module2node, _A, gradfn2module, reused, visited=visited)\n"
                "for o in self.__dict__.pop('ran', ()):\n"
                "    if o.grad_fn is not None and gradfn2module[o.grad_fn] not in module2node:\n"
                "        self._trace_computational_graph(module2node, _A, gradfn2module, reused, visited=visited)",
            ),
        ),
    ),
    Defect(
        id="reduced-sequence",
        title="the convolution that PVT reads keys through is cut in another way than the width: forward fails",
        severity=Severity.CRASH,
        hits="who prunes PVT or SegFormer and keeps the width, or prunes it globally",
        cause=(
            "the model gives the convolution's output as many channels as its input has, by a number: what the "
            "graph is made from does not show it."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(
            Raises("RuntimeError", "normalized_shape", "", Kind.BROKEN_FORWARD),
            Raises("RuntimeError", "is invalid for input of size", "", Kind.BROKEN_FORWARD),
        ),
        may_show=Condition("keys read through a convolution", lambda cell: bool(cell.model.reduced)),
        examples=(
            "pvt_stages-local-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_residual_outputs",
            "pvt_stages-global-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_residual_outputs",
        ),
        reproducer=Reproducer("reduced_sequence.py", "1.6.1"),
        remedy=(
            Edit(
                "*._build_dependency",
                "for in_node in node.inputs:\n    _BODY",
                "for in_node in node.inputs:\n    _BODY\n"
                "square = node.type == ops.OPTYPE.CONV and node.module.in_channels == node.module.out_channels\n"
                "if square and node.inputs and all(n.type == ops.OPTYPE.RESHAPE for n in node.inputs + node.outputs):\n"
                "    pruner = self.get_pruner_of_module(node.module)\n"
                "    both = (pruner.prune_in_channels, pruner.prune_out_channels)\n"
                "    node.dependencies.append(Dependency(*both, source=node, target=node))\n"
                "    node.dependencies.append(Dependency(*both[::-1], source=node, target=node))",
            ),
        ),
    ),
    Defect(
        id="concat-unknown",
        title="the graph is not built where a part of a concatenation has channels that nobody can tell",
        severity=Severity.CRASH,
        hits="who prunes a model one channel wide",
        cause="the parts are added up before those without a number are looked for.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("TypeError", "unsupported operand type(s) for +", "update_concat_index_mapping"),),
        may_show=Condition(
            "a width of 1, at first or for a second pruner",
            lambda cell: cell.model.width == 1 or cell.config.second is matrix.Second.SAME,
        ),
        examples=("vit1h1d-local-keepnum-keepdims-heads0-chan1of2-steps1",),
        reproducer=Reproducer("concat_unknown.py", "1.6.1", "1.5.2"),
        remedy=(
            Edit(
                "*update_concat_index_mapping",
                "out_size != sum(chs)",
                "None in chs or out_size != sum(chs)",
            ),
        ),
    ),
)
