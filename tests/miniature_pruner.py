"""A small pruner for ViTs that does what MetaPruner's documentation says; becomes a fake build's only module.

It knows where a ViT's layers are instead of tracing them, and ranks by the squared weights whatever
the criterion. That the oracle finds nothing wrong with it, in any cell, shows that the oracle can be
satisfied.
"""

import contextlib
import math
import types
from fractions import Fraction

import torch
from torch import nn

from headcount.models import FAMILIES, isotropic, own


class _Importance:
    """Stands for every criterion, and takes whatever it is fed."""

    def __init__(self, *_, **__):
        pass

    def zero_grad(self):
        pass

    def accumulate_grad(self, _net):
        pass

    def step(self):
        pass

    def _prepare_model(self, _net, _pruner):
        pass

    def _rm_hooks(self, _net):
        pass

    @contextlib.contextmanager
    def compute_importance(self, _net):
        yield


importance = types.SimpleNamespace(
    **dict.fromkeys(
        [
            "GroupNormImportance",
            "GroupMagnitudeImportance",
            "LAMPImportance",
            "FPGMImportance",
            "GroupTaylorImportance",
            "GroupHessianImportance",
            "OBDCImportance",
            "ActivationImportance",
            "BNScaleImportance",
            "RandomImportance",
            "MagnitudeImportance",
            "TaylorImportance",
            "HessianImportance",
        ],
        _Importance,
    )
)


class _Group:
    def __init__(self, prune):
        self.prune = prune


class MetaPruner:
    """Prunes everything in its last step."""

    surplus = 0  # heads taken beyond the ratio
    order = 1  # -1: the most important go first
    thaws = False  # whether pruned parameters become trainable

    def __init__(
        self,
        model,
        example_inputs,
        importance,
        global_pruning=False,
        pruning_ratio=0.5,
        pruning_ratio_dict=None,
        max_pruning_ratio=1.0,
        iterative_steps=1,
        iterative_pruning_ratio_scheduler=None,  # where it ends is the ratio, by whatever way
        ignored_layers=None,
        round_to=None,
        isomorphic=False,
        num_heads=None,
        prune_num_heads=False,
        prune_head_dims=True,
        head_pruning_ratio=0.0,
        head_pruning_ratio_dict=None,
        out_channel_groups=None,  # as heads are named where attention is one layer
        customized_pruners=None,  # it knows what merges tokens
        root_module_types=None,
    ):
        if not 0 <= head_pruning_ratio <= 1:
            raise ValueError(f"head_pruning_ratio is {head_pruning_ratio}, not between 0 and 1")
        self.model, self.num_heads, self.out_channel_groups = model, dict(num_heads), {}
        groups = num_heads or out_channel_groups
        self.family = next(family for family in _families() if family.blocks(model))
        self.blocks = self.family.blocks(model)
        self.ignored = {id(m) for layer in ignored_layers or [] for m in layer.modules()}
        self.everywhere, self.steps_left, self.round_to = global_pruning, iterative_steps, round_to
        self.prunes_heads, self.prunes_dims = prune_num_heads, prune_head_dims
        self.ratio = min(_exact(pruning_ratio), _exact(max_pruning_ratio))
        self.head_ratio = _exact(head_pruning_ratio)
        self.own = {
            id(m): min(_exact(ratio), _exact(max_pruning_ratio))
            for key, ratio in (pruning_ratio_dict or {}).items()
            for m in (key if isinstance(key, tuple) else (key,))
        }
        self.own_heads = {id(m): _exact(r) for key, r in (head_pruning_ratio_dict or {}).items() for m in key.modules()}
        self.model_heads = max(groups.values())
        self.heads_of = [
            max(groups.get(layer, 0) for layer in (block.query, block.key, block.value)) for block in self.blocks
        ]
        self.head_dim = self.blocks[0].out.in_features // self.heads_of[0]
        # Of queries, which read each head of keys and values.
        self.readers = self.heads_of[0] // min(groups.values())
        self.joined = isinstance(self.blocks[0].query, nn.MultiheadAttention)

    def step(self, interactive=False):
        self.steps_left -= 1
        groups = [_Group(self._prune_all)] if self.steps_left == 0 else []
        if interactive:
            return groups
        for group in groups:
            group.prune()
        return None

    def regularize(self, model, loss=None):
        """Sparse training changes gradients only."""

    def after(self):
        """For what a broken build does when all is pruned."""

    def forget_bias(self):
        """Ignore the attention's output bias: the weights stay, the function does not."""
        out = self.blocks[0].out
        out.forward = lambda x: nn.functional.linear(x, out.weight)

    def count(self, block):
        return block.out.in_features // self.dims_left

    def count_of(self, block, layer):
        """Of keys and values there may be fewer."""
        if self.readers > 1 and layer is not block.query:
            return layer.out_features // self.dims_left
        return self.count(block)

    def head_channels(self, head):
        return range(head * self.head_dim, (head + 1) * self.head_dim)

    def _prune_all(self):
        self.dims_left = self.head_dim
        if self.joined:
            self._prune_joined()
            return
        gone = self._heads_to_go()
        for block, heads in zip(self.blocks, gone):
            if id(block.query) in self.ignored:
                continue
            self._prune_attention(block, heads)
        self._prune_mlps()
        if id(self.blocks[0].out) not in self.ignored:
            self._prune_width()
        for block in self.blocks:
            for layer in (block.query, block.key, block.value):
                if layer in self.num_heads:
                    self.num_heads[layer] = self.count_of(block, layer)
        self.after()

    def _prune_mlps(self):
        for block in self.blocks:
            rows = self._channels_to_go(block.fc1.weight.pow(2).sum(1), self.own.get(id(block.fc1), self.ratio))
            self._cut(block.fc1, rows, 0)
            self._cut(block.fc2, rows, 1)

    def _prune_joined(self):
        """Attention and the width as one, by head dims: all heads stay."""
        if self.prunes_dims and id(self.blocks[0].query) not in self.ignored:
            self._prune_joined_dims()
        self._prune_mlps()

    def _prune_joined_dims(self):
        width, heads = self.blocks[0].out.in_features, self.heads_of[0]
        score = self.blocks[0].query.in_proj_weight[:width].pow(2).sum(1).view(heads, -1).sum(0)
        dims = self._channels_to_go(score, self.ratio)
        gone = [head * self.head_dim + dim for head in range(heads) for dim in dims]
        self._cut_sizes(self.model.modules(), {width: gone, 3 * width: [p * width + c for p in range(3) for c in gone]})
        self.dims_left = self.head_dim - len(dims)
        for block in self.blocks:
            self.family.set_heads(block, heads)

    def _heads_to_go(self):
        """Per block, the heads to remove."""
        prunable = [self.prunes_heads and id(block.query) not in self.ignored for block in self.blocks]
        scores = [self._rows_of_query(b).view(n, -1).mean(1) for b, n in zip(self.blocks, self.heads_of)]
        scores = [self.order * score / score.mean() for score in scores]
        own = [self.own_heads.get(id(block.query)) for block in self.blocks]
        gone = [[] for _ in self.blocks]
        for index, can in enumerate(prunable):
            if can and (own[index] is not None or not self.everywhere):
                ratio = self.head_ratio if own[index] is None else own[index]
                gone[index] = self._least(scores[index], self._lost(self.heads_of[index], ratio))
        shared = [index for index, can in enumerate(prunable) if can and own[index] is None and self.everywhere]
        ranking = sorted(
            (float(scores[index][head]), index, head) for index in shared for head in range(self.heads_of[index])
        )
        lost = self._lost(len(ranking), self.head_ratio, len(shared))
        if self.readers > 1:
            return [self._least(score, lost // len(self.blocks)) for score in scores] if shared else gone
        for _, index, head in ranking:
            if lost and len(gone[index]) < self.heads_of[index] - 1:
                gone[index].append(head)
                lost -= 1
        return gone

    def _least(self, score, lost):
        """As many of those that read one head of keys and values as of all others that do."""
        groups = len(score) // self.readers if self.readers > 1 else 1
        each = len(score) // groups
        return [
            group * each + head
            for group in range(groups)
            for head in score[group * each : (group + 1) * each].argsort()[: lost // groups].tolist()
        ]

    def _lost(self, count, ratio, at_least=1):
        lost = math.floor(count * ratio) + (self.surplus if ratio else 0)
        return max(min(lost, count - at_least), 0)

    def _prune_attention(self, block, heads):
        dims, count = [], block.out.in_features // self.head_dim
        if self.prunes_dims:
            score = self._rows_of_query(block).view(count, -1).sum(0)
            keep = self.head_dim - math.floor(self.head_dim * self.ratio)
            if self.round_to:
                keep = min(math.ceil(keep / self.round_to) * self.round_to, self.head_dim)
            dims = score.argsort()[: self.head_dim - keep].tolist()
            self.dims_left = keep
        rows = {channel for head in heads for channel in self.head_channels(head)}
        rows |= {head * self.head_dim + dim for head in range(count) for dim in dims}
        whole = block.out.in_features
        for layer in dict.fromkeys((block.query, block.key, block.value)):  # which may be one
            starts = range(0, layer.out_features, whole)
            if self.readers > 1 and layer is not block.query:
                read = [h * self.head_dim + dim for h in range(count // self.readers) for dim in dims]
                self._cut(layer, sorted(read), 0)
                continue
            self._cut(layer, sorted(start + row for start in starts for row in rows), 0)
        self._cut(block.out, sorted(rows), 1)
        self._cut_tables(block, heads, count)

    def _cut_tables(self, block, heads, count):
        """What a head has of its own besides its channels."""
        layers = {block.query, block.key, block.value, block.out, block.fc1, block.fc2}
        for module in set(block.layer.modules()) - layers:
            for name, parameter in list(module.named_parameters(recurse=False)):
                if heads and count in parameter.shape:
                    setattr(module, name, self._without(parameter, heads, parameter.shape.index(count)))
            if isinstance(module, nn.Linear):
                module.out_features = module.weight.shape[0]

    @staticmethod
    def _rows_of_query(block):
        return block.query.weight[: block.out.in_features].pow(2).sum(1)

    def _channels_to_go(self, score, ratio):
        keep = len(score) - math.floor(len(score) * ratio)
        if self.round_to and ratio:
            keep = math.ceil(keep / self.round_to) * self.round_to
        return score.argsort()[: max(len(score) - keep, 0)].tolist()

    def _prune_width(self):
        widths = [block.query.in_features for block in self.blocks]
        gone = {
            width: self._channels_to_go(block.fc1.weight.pow(2).sum(0), self.ratio)
            for width, block in zip(widths, self.blocks)
        }
        # A stage may read four tokens of the one before side by side.
        merged = {4 * width: [part * width + c for part in range(4) for c in gone[width]] for width in widths[:-1]}
        head, inside = self.family.classifier(self.model), set()
        for block, width in zip(self.blocks, widths):
            inside |= set(block.layer.modules())
            for layer in dict.fromkeys((block.query, block.key, block.value, block.fc1)):  # which may be one
                self._cut(layer, gone[width], 1)
            for layer in (block.out, block.fc2):
                self._cut(layer, gone[width], 0)
            layers = {block.query, block.key, block.value, block.fc1, block.out, block.fc2}
            self._cut_sizes(set(block.layer.modules()) - layers, {width: gone[width]})
        if head is not None:
            last = widths[-1]
            self._cut(head, [start + c for start in range(0, head.in_features, last) for c in gone[last]], 1)
        self._cut_sizes(set(self.model.modules()) - inside - {head}, merged | gone if len(gone) > 1 else gone)

    def _cut_sizes(self, modules, gone):
        """Of other modules, whatever dimension has a size of these."""
        for module in modules:
            for name, parameter in list(module.named_parameters(recurse=False)):
                for dim, size in enumerate(parameter.shape):
                    if size in gone:
                        setattr(module, name, self._without(getattr(module, name), gone[size], dim))
            if isinstance(module, nn.LayerNorm):
                module.normalized_shape = tuple(module.weight.shape)
            if isinstance(module, nn.Linear):
                module.out_features, module.in_features = module.weight.shape

    def _cut(self, layer, gone, dim):
        layer.weight = self._without(layer.weight, gone, dim)
        if dim == 0 and layer.bias is not None:
            layer.bias = self._without(layer.bias, gone, 0)
        layer.out_features, layer.in_features = layer.weight.shape

    def _without(self, parameter, gone, dim):
        kept = [index for index in range(parameter.shape[dim]) if index not in set(gone)]
        trainable = parameter.requires_grad or self.thaws
        return nn.Parameter(parameter.detach().index_select(dim, torch.tensor(kept)), requires_grad=trainable)


def _families():
    """Each way to find blocks: by their projections, and by one layer that is all of attention."""
    return tuple(adapter(FAMILIES["vit"]) for adapter in (isotropic.Adapter, own.Multihead))


def _exact(ratio):
    return Fraction(ratio).limit_denominator(1000)


pruner = types.SimpleNamespace(
    **dict.fromkeys(["MetaPruner", "GroupNormPruner", "BNScalePruner", "GrowingRegPruner"], MetaPruner),
    function=types.SimpleNamespace(BasePruningFunc=object),
)
