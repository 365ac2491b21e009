"""Known defects: attention of other kinds.

Of nn.MultiheadAttention; of grouped queries, where several heads of queries read one of keys and values; of tables with
numbers for each head, and merged tokens.
"""

from headcount.defects.defect import (
    GLOBAL,
    GROUPED_QUERIES,
    LOCAL,
    MULTIHEAD,
    PRUNES_CHANNELS,
    PRUNES_HEAD_DIMS,
    PRUNES_HEADS,
    PRUNES_WIDTH,
    SEVERAL_STEPS,
    TABLES,
    Breaks,
    Condition,
    Defect,
    Edit,
    Raises,
    Reproducer,
    Severity,
    families,
)
from headcount.matrix import Pruner
from headcount.oracle import Problem, Side

#: A table with numbers for each head is known of, and goes with nothing; the heads that have one stay.
_TABLES = (
    Edit(
        "*.__init__",
        "self.current_step = 0",
        "self.current_step = 0\n"
        "self.tables = {}\n"
        "for layer in [layer for layer in self.num_heads if not isinstance(layer, nn.MultiheadAttention)]:\n"
        "    size, heads = self.DG.get_out_channels(layer), self.num_heads[layer]\n"
        "    prune = self.DG.get_pruner_of_module(layer).prune_out_channels\n"
        "    for dep, _ in self.DG.get_pruning_group(layer, prune, list(range(size))):\n"
        "        found, left = dep.target.module, self.DG.get_out_channels(dep.target)\n"
        "        is_number = any(found is one for one in self.ignored_layers) and left == heads != size\n"
        "        if isinstance(found, nn.Parameter) and (found.shape[-1] == heads or left != size) or is_number:\n"
        "            self.tables.setdefault(layer, set()).add(id(found))\n"
        "tables = set().union(*self.tables.values())\n"
        "for node in self.DG.module2node.values():\n"
        "    node.dependencies = [dep for dep in node.dependencies if id(dep.target.module) not in tables]\n",
    ),
    Edit("*.get_target_head_pruning_ratio", "min(s, 1)", "0 if module in self.tables else min(s, 1)"),
)

#: A channel of keys goes, once, if all heads of queries that read it lose it.
_WHEN_UNREAD = Edit(
    "*._prune",
    "if _is_gqa and self.prune_num_heads:\n    _BODY",
    "for place, (dep, idxs) in enumerate(list(group)):\n"
    "    is_out = self.DG.is_out_channel_pruning_fn(dep.handler)\n"
    "    left = self.DG.get_out_channels(dep.target) if is_out else None\n"
    "    readers = max(get_channel_fn(module) // left, 1) if left else 1\n"
    "    group[place] = (dep, [one for one in dict.fromkeys(idxs) if idxs.count(one) >= readers])\n",
)


#: A function: a node -> the channels of the layer that it comes from. Fill in the graph's name. A node between may seem
#: to have more: rotated keys are put together of two halves.
_WIDTH = "width = lambda one: {0}.get_out_channels(one) or (width(one.inputs[0]) if one.inputs else 0)\n"


def _as_they_are(mapping: str, known: str = "") -> str:
    """Return statements that map queries to the keys and values that torch's own attention reads for them.

    `known` is what must hold of a release besides: before 1.4.3 none knows of grouped queries at all.
    """
    return (
        "if node.type == ops.OPTYPE.UNBIND:\n    _BODY\n"
        "fn = node.grad_fn\n"
        f"if {known}'ScaledDotProduct' in str(fn) and fn._saved_key.shape[1] < fn._saved_query.shape[1]:\n"
        "    own, heads = locals().get('graph') or self, fn._saved_key.shape[1]\n"
        f"    {_WIDTH.format('own')}"
        "    queries, keys = map(width, node.inputs[:2])\n"
        "    for other in node.inputs[1:3]:\n"
        "        for dep in [dep for dep in node.dependencies + other.dependencies\n"
        "                    if {dep.source, dep.target} == {node, other}]:\n"
        "            dep.index_mapping[0] = " + mapping + "(\n"
        "                repeat=queries // keys, reverse=dep.source is node, head_dim=keys // heads)"
    )


#: What the graph of a release that knows of grouped queries has, and what its pruner has.
_GRAPH, _PRUNER = "_GQAIndexMapping", "_is_atten_group"

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="multihead-unpruned",
        title="nn.MultiheadAttention named in num_heads keeps the width from being pruned, silently",
        severity=Severity.SILENT_COUNTS,
        hits="who names nn.MultiheadAttention in num_heads, with global_pruning=False",
        cause=(
            "a group with attention is looked at from a layer that reads it, and its scope is named after that "
            "layer; the layer's own group then takes its place."
        ),
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring; MultiheadAttention is one of the layers that the README says are supported",
        signature=(Breaks(Problem.COUNT, "dims", untouched=True),),
        may_show=MULTIHEAD & LOCAL & PRUNES_HEAD_DIMS & PRUNES_WIDTH,
        examples=(
            "multihead-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "multihead-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("multihead_unpruned.py", "1.6.1", "1.4.0"),
        remedy=(
            Edit(
                "*._prune",
                "ranking_scope[module_name] = [record]",
                "ranking_scope[module_name, group[0].dep.handler.__name__] = [record]",
            ),
        ),
    ),
    Defect(
        id="multihead-global",
        title="global head pruning crashes on nn.MultiheadAttention named in num_heads",
        severity=Severity.CRASH,
        hits="who names nn.MultiheadAttention in num_heads, with global_pruning=True",
        cause="the head dim is worked out from out_features, which this layer does not have.",
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring; MultiheadAttention is one of the layers that the README says are supported",
        signature=(Raises("AttributeError", "has no attribute 'out_features'", "._prune"),),
        may_show=MULTIHEAD & PRUNES_HEADS,
        examples=(
            "multihead-global-prunenum-keepdims-heads1of3-chan1of2-steps1",
            "multihead-global-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("multihead_global.py", "1.6.1", "1.4.2"),
        remedy=(  # Its heads stay, as in upstream's example.
            Edit(
                "*.get_target_head_pruning_ratio",
                "min(s, 1)",
                "0 if isinstance(module, nn.MultiheadAttention) else min(s, 1)",
            ),
        ),
    ),
    Defect(
        id="grouped-unknown",
        title="keys and values with fewer heads than queries are not known of: it crashes, or cuts across heads",
        severity=Severity.CRASH,
        hits="everyone with grouped queries",
        cause="the largest number of heads in a group is taken for that of all its layers.",
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring",
        signature=(
            Raises("RuntimeError", "is invalid for input of size"),
            Raises("ValueError", "slice step cannot be zero"),
            Breaks(Problem.REPORTED, "q"),
            Breaks(Problem.UNEVEN_HEADS, "q"),
            Breaks(Problem.COUNT, "heads"),
            Breaks(Problem.TOTAL, "heads"),
        ),
        may_show=GROUPED_QUERIES,
        examples=(
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_unknown.py", "1.4.2", "1.4.3"),
        over=(
            "411-stale-groups",
            "float-heads",
            "takes-last-head",
        ),
        remedy=(
            # The channels of keys are those that the queries read, each of them once for each reader; and it goes
            # with its last reader.
            Edit(
                "*.__init__",
                "self.iterative_steps = iterative_steps",
                "self.iterative_steps = iterative_steps\nself.DG.heads = self.num_heads",
                unless=_PRUNER,
            ),
            Edit(
                "*.get_pruning_group",
                "hybrid_idxs = merged_group[i].idxs",
                "hybrid_idxs = merged_group[i].idxs\n"
                "dep, is_out = merged_group[i].dep, self.is_out_channel_pruning_fn\n"
                "size = (self.get_out_channels if is_out(pruning_fn) else self.get_in_channels)(module)\n"
                "left = self.get_out_channels(dep.target.module) if is_out(dep.handler) else size\n"
                "if dep.target.module in self.heads and left < size:\n"
                "    dims, readers = left // self.heads[dep.target.module], size // left\n"
                "    read = ((a.idx // dims // readers * dims + a.idx % dims, a.root_idx) for a in hybrid_idxs)\n"
                "    hybrid_idxs = [_helpers._HybridIndex(*both) for both in sorted(read)]\n"
                "    if len(hybrid_idxs) < size:\n"
                "        hybrid_idxs = [a for a, b in zip(hybrid_idxs, hybrid_idxs[readers - 1 :]) if a.idx == b.idx]",
                "*/dependency.py",
                _GRAPH,
            ),
            Edit(
                "*._downstream_node_as_root_if_attention",
                "self.DG.get_pruning_group(downstream_dep.target.module, downstream_dep.handler, _A)",
                "self.DG.get_pruning_group(downstream_dep.target.module, downstream_dep.handler, "
                "list(range(self.DG.get_in_channels(downstream_dep.target.module))))",
                unless=_PRUNER,
            ),
            Edit(
                "*._update_expand_index_mapping",
                "repeat = out_channels // in_channels",
                "repeat = 1",
                "*/dependency.py",
                _GRAPH,
            ),
            Edit(
                "*._get_channel_groups",
                "ch_groups = channel_groups[module]",
                "ch_groups = max(ch_groups, channel_groups[module])",
            ),
            Edit(
                "*prune*",
                "_A[chg * group_size : (chg + 1) * group_size]",
                "_A.view(ch_groups, -1).mean(0)",
            ),
        ),
    ),
    Defect(
        id="grouped-scattered",
        title="with grouped queries, heads go wherever they are least, and the count of keys drops with them",
        severity=Severity.SILENT_COUNTS,
        hits="everyone who prunes heads with grouped queries",
        cause="the heads of a layer are ranked together, whichever keys they read; and the count of keys drops, too.",
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring",
        signature=(Breaks(Problem.REPORTED, "q"),),
        may_show=GROUPED_QUERIES & PRUNES_HEADS,
        examples=(
            "grouped-local-prunenum-keepdims-heads1of2-chan1of2-steps1",
            "grouped-global-prunenum-keepdims-heads1of3-chan1of2-steps1",
        ),
        reproducer=Reproducer("grouped_scattered.py", "1.4.2", "1.4.3"),
        over=(
            "grouped-unknown",
            "411-stale-groups",
            "float-heads",
            "takes-all-channels",
            "takes-last-head",
        ),
        remedy=(
            Edit(
                "*._is_attn_group",
                "return is_attn, qkv_layers",
                "return is_attn, sorted(qkv_layers, key=self.num_heads.get, reverse=True)",
            ),
            Edit(
                "*prune*",
                "if len(head_pruning_indices) > 0:\n    _BODY",
                "kv_heads = self.num_heads[qkv_layers[-1]]\n"
                "if kv_heads < len(head_imp):\n"
                "    least = head_imp.view(kv_heads, -1).argsort(1)[:, : len(head_pruning_indices) // kv_heads]\n"
                "    firsts = torch.arange(kv_heads)[:, None] * (len(head_imp) // kv_heads)\n"
                "    head_pruning_indices = (firsts + least).flatten()\n"
                "if len(head_pruning_indices) > 0:\n"
                "    _BODY",
                unless=_PRUNER,
            ),
            Edit(
                "*.prune_local",
                "head_imp = _A",
                "head_imp, kv_heads = _A, self.num_heads[qkv_layers[-1]]\n"
                "if kv_heads < len(head_imp):\n"
                "    n_heads_removed = n_heads_removed // kv_heads * kv_heads\n"
                "    head_imp = head_imp.view(kv_heads, -1).argsort(1).argsort(1).flatten()",
            ),
            Edit(
                "*prune*",
                "self.num_heads[_A] -= _B",
                "self.num_heads[_A] -= _B if self.num_heads[_A] == len(head_imp) else 0",
                unless=_PRUNER,
            ),
        ),
    ),
    Defect(
        id="grouped-head-dims",
        title="with grouped queries, head dims of keys count once per reader: none go, or features are wrong",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes head dims with grouped queries",
        cause=(
            "a channel of keys is counted once for each head of queries that reads it: where that makes all of "
            "them, the group is refused."
        ),
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.COUNT, "dims"),
            Breaks(Problem.TOTAL),
            Breaks(Problem.ATTRIBUTE),
        ),
        may_show=GROUPED_QUERIES & PRUNES_HEAD_DIMS & PRUNES_CHANNELS,
        examples=(
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "grouped-local-keepnum-prunedims-heads0-chan1of4-steps1",
        ),
        reproducer=Reproducer("grouped_head_dims.py", "1.6.1"),
        remedy=(_WHEN_UNREAD,),
    ),
    Defect(
        id="grouped-both",
        title="with grouped queries, heads and head dims at once: queries lose channels that keys keep",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes heads and head dims with grouped queries",
        cause=(
            "where heads of queries go, nothing is taken from keys and values, their head dims no more than their"
            " heads; another step's indices then reach beyond what it takes for them."
        ),
        breaks="prune_head_dims (bool): remove head dimensions in multi-head attention. Default: True.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.UNLIKE_CHANNELS, "qk"),
            Raises("IndexError", "is out of bounds for dimension"),
        ),
        may_show=GROUPED_QUERIES & LOCAL & PRUNES_HEADS & PRUNES_HEAD_DIMS,
        examples=(
            "grouped-local-prunenum-prunedims-heads1of3-chan1of2-steps1",
            "grouped-local-prunenum-prunedims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_both.py", "1.6.1"),
        over=("grouped-steps",),
        remedy=(_WHEN_UNREAD,),
    ),
    Defect(
        id="grouped-as-many",
        title="head pruning that leaves as many heads of queries as of keys is refused, after the count was lowered",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes grouped queries down to one for each key",
        cause=(
            "whether queries are grouped is decided again after their count was lowered: then keys and values are "
            "no longer spared, and the group would leave none."
        ),
        breaks="This limits the pruning ratio to be multiple of 4/28=1/7 such as [1/7, 2/7, 3/7, 4/7, 5/7, 6/7].",
        source="examples/LLMs/readme.md, of 28 heads that read 4: the last of these ratios is one that fails",
        signature=(Breaks(Problem.REPORTED, "q"),),
        may_show=GROUPED_QUERIES & LOCAL & PRUNES_HEADS,
        examples=(
            "grouped-local-prunenum-keepdims-heads1of2-chan1of2-steps1",
            "grouped-local-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_as_many.py", "1.6.1"),
        over=(
            "takes-last-head",
            "float-heads",
            "411-stale-groups",
        ),
        remedy=(_WHEN_UNREAD,),
    ),
    Defect(
        id="grouped-total",
        title="with grouped queries, global head pruning wants too many heads, and is refused with the count lowered",
        severity=Severity.SILENT_COUNTS,
        hits="who prunes heads with grouped queries and global_pruning=True",
        cause=(
            "the heads that there were at first are counted in each group's first layer, which may be one of "
            "keys; so the target is too low, and where the count becomes 0, another step divides by it. And "
            "those of each head of keys are numbered by how many keys there are."
        ),
        breaks="head_pruning_ratio (float): head pruning ratio.",
        source="MetaPruner's docstring",
        signature=(
            Breaks(Problem.REPORTED, "q"),
            Raises("ZeroDivisionError", "division by zero"),
        ),
        may_show=GROUPED_QUERIES & GLOBAL & PRUNES_HEADS,
        examples=(
            "grouped-global-prunenum-keepdims-heads1of3-chan1of2-steps1",
            "grouped-global-prunenum-keepdims-heads1of3-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_total.py", "1.6.1"),
        over=(
            "takes-last-head",
            "float-heads",
            "411-stale-groups",
        ),
        remedy=(
            Edit(
                "*.__init__",
                "self.num_heads[dep.target.module]",
                "max(self.num_heads.get(each.target.module, 0) for each, _ in group)",
            ),
            Edit("*._prune", "kv_head_id * num_kv_heads", "kv_head_id * len(head_imp) // num_kv_heads"),
            _WHEN_UNREAD,
        ),
    ),
    Defect(
        id="grouped-steps",
        title="with grouped queries, a second step that prunes head dims crashes: keys are indexed as before the first",
        severity=Severity.CRASH,
        hits="who prunes head dims with grouped queries in several steps",
        cause="which channel of keys a repeated one is, is worked out with the head dim that there was at first.",
        breaks="iterative_steps (int): number of steps for iterative pruning.",
        source="MetaPruner's docstring",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=GROUPED_QUERIES & PRUNES_HEAD_DIMS & SEVERAL_STEPS,
        examples=(
            "grouped-local-keepnum-prunedims-heads0-chan1of2-steps2",
            "grouped-global-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("grouped_steps.py", "1.6.1"),
        remedy=tuple(
            Edit(
                function,
                "in_channels = num_key_value_heads * n_rep * head_dim",
                _WIDTH.format(graph) + "in_channels = width(node) or num_key_value_heads * n_rep * head_dim\n"
                "head_dim = in_channels // num_key_value_heads",
            )
            for function, graph in (
                ("update_expand_index_mapping", "graph"),
                ("*._update_expand_index_mapping", "self"),
            )
        ),
    ),
    Defect(
        id="grouped-growing",
        title="GrowingRegPruner crashes with grouped queries: which channel a repeated key comes from is lost",
        severity=Severity.CRASH,
        hits="who prunes a model with grouped queries by growing regularization",
        cause="the map from repeated keys to the keys themselves keeps no root index, which the pruner reads.",
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="GrowingRegPruner's docstring",
        signature=(Raises("RuntimeError", "Could not infer dtype of NoneType", "regularize"),),
        may_show=GROUPED_QUERIES & Condition("GrowingRegPruner", lambda cell: cell.config.pruner is Pruner.GROWING_REG),
        examples=("grouped-local-prunenum-keepdims-heads1of3-chan1of2-steps1-with_GrowingRegPruner",),
        reproducer=Reproducer("grouped_growing.py", "1.6.1"),
        remedy=tuple(
            Edit(
                "*GQAIndexMapping.__call__", f"{index}(idx=_A, root_idx=None)", f"{index}(idx=_A, root_idx=i.root_idx)"
            )
            for index in ("_HybridIndex", "_helpers._HybridIndex")
        ),
    ),
    Defect(
        id="grouped-as-given",
        title="grouped keys that torch's attention is given as they are, not repeated, crash the pruning of attention",
        severity=Severity.CRASH,
        hits="who prunes Llama with transformers 5, or calls scaled_dot_product_attention with enable_gqa=True",
        cause=(
            "the graph knows of keys that are expanded for their readers. Where torch's own operation does that, "
            "channels of queries are taken for as many of keys."
        ),
        breaks="num_heads (Dict[nn.Module, int]): The number of heads for multi-head attention.",
        source="MetaPruner's docstring; examples/LLMs/readme.md prunes such models",
        signature=(Raises("RuntimeError", "is invalid for input of size"),),
        may_show=families("keys as they are, for torch's attention", "llama"),
        examples=(
            "llama-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "llama-local-prunenum-keepdims-heads1of3-chan1of2-steps1",
        ),
        reproducer=Reproducer("grouped_as_given.py", "1.6.1"),
        over=("411-stale-groups",),
        remedy=(
            Edit(
                "update_index_mapping",
                "if node.type == ops.OPTYPE.UNBIND:\n    _BODY",
                _as_they_are("_GQAIndexMapping"),
            ),
            Edit(
                "*.update_index_mapping",
                "if node.type == ops.OPTYPE.UNBIND:\n    _BODY",
                _as_they_are("_helpers._GQAIndexMapping", "hasattr(_helpers, '_GQAIndexMapping') and "),
            ),
        ),
    ),
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
        remedy=_TABLES,
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
        remedy=_TABLES,
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
            Raises("IndexError", "is out of bounds for dimension"),
        ),
        may_show=TABLES & Condition("several stages", lambda cell: cell.model.stages > 1),
        examples=(
            "swin_stages-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "swin_stages-local-keepnum-prunedims-heads0-chan1of2-steps2",
            "swinv2_stages5h3d15m-local-keepnum-prunedims-heads0-chan0-steps1",
        ),
        reproducer=Reproducer("merged_tokens.py", "1.6.1"),
        over=("layernorm-order",),
        remedy=(
            Edit(
                "*update_slice_index_mapping",
                "start, step, end, dim = _A",
                "start, step, end, dim = _A\n"
                "sizes, graph = grad_fn._saved_self_sym_sizes, locals().get('graph', locals().get('self'))\n"
                "infer = getattr(graph, '_infer_out_channels_recursively', None) or (\n"
                "    lambda node, depth: shape_infer.infer_out_channels_recursively(graph, node, depth))\n"
                "if slice_node.__dict__.setdefault('merges', step > 1 and sizes[-1] == infer(slice_node, [0])):\n"
                "    return\n",
            ),
            Edit(
                "*._trace",
                "node.enable_index_mapping = _A",
                "tokens = [str(fn) for fn, _ in getattr(node.grad_fn, 'next_functions', ())]\n"
                "node.enable_index_mapping = _A or len(tokens) == 4 and all('SliceBackward' in fn for fn in tokens)\n",
            ),
            Edit(
                "*._update_concat_index_mapping",
                "hasattr(cat_node.grad_fn, '_saved_dim') and cat_node.grad_fn._saved_dim != 1",
                "hasattr(cat_node.grad_fn, '_saved_dim') and cat_node.grad_fn._saved_dim != 1 and not (\n"
                "    cat_node.grad_fn._saved_dim >= 2**63 and len(cat_node.inputs) == 4\n"
                "    and all('SliceBackward' in str(fn) for fn, _ in cat_node.grad_fn.next_functions)\n"
                "    and self._infer_in_channels_recursively(cat_node, [0])\n"
                "    == sum(self._infer_out_channels_recursively(node, [0]) or 0 for node in cat_node.inputs))",
            ),
        ),
    ),
)
