"""A small pruner for ViTs that does what MetaPruner's documentation says; becomes a fake build's only module.

It knows where a ViT's layers are instead of tracing them, and ranks by the squared weights whatever
the criterion. That the oracle finds nothing wrong with it, in any cell, shows that the oracle can be
satisfied.
"""

import contextlib
import math
import types
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from headcount.models import FAMILIES, conditioned, isotropic, own


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
    **{
        name: type(name, (_Importance,), {})
        for name in (
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
        )
    }
)


class _Group:
    """What is pruned at once, and the layers of `num_heads` that lose outputs by it, as upstream's groups tell them."""

    def __init__(self, prune, layers=()):
        self.prune, self.layers = prune, layers

    def __iter__(self):
        return iter(
            [(types.SimpleNamespace(target=types.SimpleNamespace(module=m), handler="out"), []) for m in self.layers]
        )


@dataclass
class _Channels:
    """Channels that go together: those of a residual stream, of an MLP, or of each head of a block.

    `copies` is how often a layer has them, `places` the parameters with their dimensions, which may have all several
    times side by side. Those of one scope are ranked together.
    """

    scope: object
    ratio: Fraction
    score: torch.Tensor
    places: list
    copies: int = 1


class MetaPruner:
    """Prunes everything in its last step."""

    surplus = 0  # heads taken beyond the ratio
    order = 1  # -1: the most important go first
    thaws = False  # whether pruned parameters become trainable
    drops = False  # whether pruned parameters lose their gradients

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
        output_transform=None,  # it traces nothing
    ):
        if not 0 <= head_pruning_ratio <= 1:
            raise ValueError(f"head_pruning_ratio is {head_pruning_ratio}, not between 0 and 1")
        self.model, self.num_heads, self.out_channel_groups = model, dict(num_heads), {}
        self.family = next(family for family in _families() if family.blocks(model))
        self.blocks = self.family.blocks(model)
        named = [m for m in model.modules() if isinstance(m, tuple(c for c in ignored_layers if isinstance(c, type)))]
        named += [m for layer in ignored_layers if isinstance(layer, nn.Module) for m in layer.modules()]
        self.ignored = {id(m) for m in named}
        self.keeps_width = any(isinstance(m, nn.LayerNorm | nn.Conv2d) for m in named)
        self.DG, self.history = types.SimpleNamespace(is_out_channel_pruning_fn=lambda handler: handler == "out"), []
        self.everywhere, self.steps_left, self.round_to = global_pruning, iterative_steps, round_to
        self.by_structure = isomorphic
        self.prunes_heads, self.prunes_dims = prune_num_heads, prune_head_dims
        self.ratio, self.maximum = _exact(pruning_ratio), _exact(max_pruning_ratio)
        self.head_ratio = _exact(head_pruning_ratio)
        self.own = {
            id(m): (key, _exact(ratio))
            for key, ratio in (pruning_ratio_dict or {}).items()
            for layer in (key if isinstance(key, tuple) else (key,))
            for m in layer.modules()
        }
        self.own_heads = {id(m): _exact(r) for key, r in (head_pruning_ratio_dict or {}).items() for m in key.modules()}
        groups = num_heads or out_channel_groups
        self.model_heads = max(groups.values())
        # Per block: heads of queries that read each head of keys and values, heads of queries, and their channels.
        self.readers = {b: 1 if b.query is b.key else b.query.out_features // b.key.out_features for b in self.blocks}
        self.heads_of = {
            b: groups.get(b.query) or self.readers[b] * max(groups.get(layer, 0) for layer in (b.key, b.value))
            for b in self.blocks
        }
        self.dims_of = {b: b.out.in_features // self.heads_of[b] for b in self.blocks}
        self.joined = isinstance(self.blocks[0].query, nn.MultiheadAttention)
        # Where there are stages, a name has that of its stage first, and a block's has its own number, too.
        numbers = {m: [int(part) for part in name.split(".") if part.isdigit()] for name, m in model.named_modules()}
        self.stages = {m: found[0] for m, found in numbers.items() if found and len(numbers[self.blocks[0].layer]) > 1}

    def step(self, interactive=False):
        self.steps_left -= 1
        groups = self._groups(*self._chosen()) if self.steps_left == 0 else []
        if interactive:
            return groups
        for group in groups:
            group.prune()
        return None

    def pruning_history(self):
        return self.history

    def load_pruning_history(self, history):
        for heads, channels, pruned in history:
            groups = self._groups(heads, channels)
            for number in pruned:
                groups[number].prune()

    def regularize(self, model, loss=None):
        """Sparse training changes gradients only."""

    def after(self):
        """For what a broken build does when all is pruned."""

    def forget_bias(self):
        """Ignore the attention's output bias: the weights stay, the function does not."""
        out = self.blocks[0].out
        out.forward = lambda x: nn.functional.linear(x, out.weight)

    def count(self, block):
        return block.out.in_features // self.dims_of[block]

    def count_of(self, block, layer):
        """Of keys and values there may be fewer."""
        if self.readers[block] > 1 and layer is not block.query:
            return layer.out_features // self.dims_of[block]
        return self.count(block)

    def head_channels(self, head, dims):
        return range(head * dims, (head + 1) * dims)

    def _chosen(self):
        """What goes, before anything has gone: of each block the heads, and of all else the channels."""
        heads = self._heads_to_go()
        dims, others = self._of_heads_and_others(heads)
        every = [*dims.values(), *others]
        gone = self._channels_to_go(every)
        return [heads[block] for block in self.blocks], [gone[id(channels)] for channels in every]

    def _of_heads_and_others(self, heads):
        """Per block, the channels of each head; and all other channels."""
        others = [*self._mlps(), *self._pooled(), *(self._joined_dims() if self.joined else self._widths())]
        return {} if self.joined else self._head_dims(heads), others

    def _groups(self, heads, channels):
        """Attention's group, and that of all else, by what is chosen."""
        pruned = []
        self.history.append([heads, channels, pruned])
        heads = dict(zip(self.blocks, heads, strict=True))
        dims, others = self._of_heads_and_others(heads)
        gone = {id(c): lost for c, lost in zip([*dims.values(), *others], channels, strict=True)}

        def attention():
            pruned.append(0)
            for block in self.blocks if not self.joined else []:
                self._prune_attention(block, heads[block], gone[id(dims[block])] if block in dims else [])

        def rest():
            pruned.append(1)
            for channels in others:
                self._prune(channels, gone[id(channels)])
            self._count()

        layers = [layer for block in self.blocks for layer in (block.query, block.key, block.value)]
        return [_Group(attention, layers), _Group(rest)]

    def _count(self):
        for block in self.blocks:
            if self.joined:
                self.family.set_heads(block, self.heads_of[block])
                self.dims_of[block] = block.out.in_features // self.heads_of[block]
            for layer in (block.query, block.key, block.value):
                if layer in self.num_heads:
                    self.num_heads[layer] = self.count_of(block, layer)
        self.after()

    # What goes: heads.

    def _heads_to_go(self):
        """Per block, the heads to remove."""
        gone, shared = {block: [] for block in self.blocks}, []
        for block in self.blocks:
            if self.joined or not self.prunes_heads or id(block.query) in self.ignored:
                continue
            if self.readers[block] > 1 and block.query not in self.num_heads:  # nobody would learn how many are left
                continue
            own = self.own_heads.get(id(block.query))
            if own is None and self.everywhere:
                shared.append(block)
                continue
            units = self._units(block)
            lost = self._lost(self.heads_of[block], self.head_ratio if own is None else own) // len(units[0][1])
            gone[block] = [head for _, unit in units[:lost] for head in unit]
        # A block keeps its last unit.
        ranking = [(score, block, unit) for block in shared for score, unit in self._units(block)[:-1]]
        lost = self._lost(sum(self.heads_of[block] for block in shared), self.head_ratio)
        for _, block, unit in sorted(ranking, key=lambda item: item[0]):
            if lost >= len(unit):
                gone[block] += unit
                lost -= len(unit)
        return gone

    def _units(self, block):
        """Heads that go at once, with their score, the least first: one of those that read each head of keys."""
        score = self._rows_of_query(block).view(self.heads_of[block], -1).mean(1)
        score = self.order * score / score.mean()
        each = self.readers[block] if self.readers[block] > 1 else len(score)
        starts = torch.arange(0, len(score), each)
        units = (score.view(-1, each).argsort(1) + starts[:, None]).T
        return [(float(score[unit].mean()), unit.tolist()) for unit in units]

    def _lost(self, count, ratio):
        lost = math.floor(count * ratio) + (self.surplus if ratio else 0)
        return max(min(lost, count - 1), 0)

    # What goes: channels.

    def _channels(self, kind, layers, score, places, copies=1):
        """Channels with the ratio and the scope of the first of their layers that has its own, or else with all's."""
        named = [self.own[id(layer)] for layer in layers if id(layer) in self.own]
        key, ratio = named[0] if named else (kind if self.by_structure else "all", self.ratio)
        return _Channels(key if self.everywhere else layers[0], ratio, score, places, copies)

    def _head_dims(self, heads):
        """Per block, the channels of each head; `heads` go before."""
        prunable = [block for block in self.blocks if self.prunes_dims and id(block.query) not in self.ignored]
        scores = {b: self._rows_of_query(b).view(self.heads_of[b], -1).sum(0) for b in prunable}
        left = {b: self.heads_of[b] - len(heads[b]) for b in prunable}
        return {b: self._channels("dims", [b.query], scores[b], [], left[b]) for b in prunable}

    def _joined_dims(self):
        """Attention and the width as one, by head dims: all heads stay."""
        if not self.prunes_dims or self.keeps_width or any(id(block.query) in self.ignored for block in self.blocks):
            return []
        score = self._rows_of_query(self.blocks[0]).view(self.heads_of[self.blocks[0]], -1).sum(0)
        layers, heads = [block.query for block in self.blocks], self.heads_of[self.blocks[0]]
        return [self._channels("dims", layers, score, self._width_places()[0], heads)]

    def _mlps(self):
        prunable = [block for block in self.blocks if id(block.fc1) not in self.ignored]
        written = {b: dict.fromkeys((b.fc1, *b.gate, *b.depthwise)) for b in prunable}
        places = {
            b: [(m, name, 0) for m in written[b] for name, _ in m.named_parameters()] + [(b.fc2, "weight", 1)]
            for b in prunable
        }
        # Of a layer that gates one half by the other, a channel has two rows.
        scores = {b: b.fc1.weight.pow(2).sum(1).view(-1, b.fc2.in_features).sum(0) for b in prunable}
        return [self._channels("mlp", [b.fc1], scores[b], places[b]) for b in prunable]

    def _pooled(self):
        pooler, classifier = self.family.pooler(self.model), self.family.classifier(self.model)
        if pooler is None:
            return []
        places = [(pooler, "weight", 0), (pooler, "bias", 0), (classifier, "weight", 1)]
        return [self._channels("pooled", [pooler], pooler.weight.pow(2).sum(1), places)]

    def _widths(self):
        if {id(self.blocks[0].out), id(self.blocks[0].fc2)} & self.ignored or self.keeps_width:
            return []
        last = {self.stages.get(block.layer, 0): block for block in self.blocks}
        places = self._width_places()
        return [
            self._channels("width", [places[stage][0][0]], block.fc1.weight.pow(2).sum(0), places[stage])
            for stage, block in last.items()
        ]

    def _channels_to_go(self, every):
        """For each of these, the channels to remove: each scope's least."""
        gone, scopes = {id(channels): [] for channels in every}, {}
        for channels in every:
            scopes.setdefault(channels.scope, []).append(channels)
        for members in scopes.values():
            ranking = [(s, c, m) for m in members for c, s in enumerate((m.score / m.score.mean()).tolist())]
            lost = math.floor(len(ranking) * members[0].ratio)
            for _, channel, member in sorted(ranking, key=lambda item: item[0]):
                if lost and len(gone[id(member)]) < len(member.score) - self._least_left(member):
                    gone[id(member)].append(channel)
                    lost -= 1
        return {id(c): c.score.argsort()[: self._rounded(c, len(gone[id(c)]))].tolist() for c in every}

    def _least_left(self, channels):
        count = len(channels.score)
        return max(count - math.floor(count * self.maximum), 1)

    def _rounded(self, channels, lost):
        """How many are lost if what is left of the layer is the nearest multiple; none if no multiple is possible."""
        count, least = len(channels.score), self._least_left(channels)
        if not lost or not self.round_to:
            return lost
        fitting = [n for n in range(count - least + 1) if (count - n) * channels.copies % self.round_to == 0]
        return min(fitting, key=lambda n: abs(n - lost), default=0)

    # Where it is, and how it goes.

    def _width_places(self):
        """Per stage, where its width is: layers, the names of their parameters, the dimensions of these."""
        classifier, pooler = self.family.classifier(self.model), self.family.pooler(self.model)
        roles = {classifier: "inside", pooler: "reads"} if pooler else {classifier: "reads"}
        roles |= {next((m for m in self.model.modules() if isinstance(m, nn.Conv2d)), None): "images"}
        for b in self.blocks:
            roles |= dict.fromkeys(b.attention.modules(), "inside") | {m: "inside" for m, *_ in self._own_of_heads(b)}
            roles |= dict.fromkeys((b.query, b.key, b.value, b.fc1, *b.gate), "reads")
            roles |= dict.fromkeys((b.out, b.fc2, *b.modulation), "writes")
            roles |= dict.fromkeys((b.key, b.value), "inside") if b.reads_condition else {}
            roles |= {b.out: "both"} if self.joined else dict.fromkeys(b.depthwise, "mlp")
        widths = {self.stages.get(b.layer, 0): b.fc1.in_features for b in self.blocks}
        places, default = {stage: [] for stage in widths}, 0
        for module in self.model.modules():
            default = max(widths) if module is self.blocks[0].layer else default  # a norm of all follows the blocks
            stage = self.stages.get(module, default)
            for name, dim, further in self._axes(module, roles.get(module), widths[stage]):
                if getattr(module, name) is not None:
                    places[stage + further].append((module, name, dim))
        return places

    @staticmethod
    def _axes(module, role, width):
        """What of a layer is as wide as a stage: the parameter, its dimension, how many stages further on."""
        rows, columns = [("weight", 0, 0), ("bias", 0, 0)], [("weight", 1, 0)]
        if isinstance(module, nn.MultiheadAttention):
            return [("in_proj_weight", 0, 0), ("in_proj_weight", 1, 0), ("in_proj_bias", 0, 0)]
        if role in ("reads", "writes", "both"):
            return {"reads": columns, "writes": rows, "both": rows + columns}[role]
        if isinstance(module, nn.Conv2d) and role != "mlp":
            return rows + {"images": [], "inside": columns}.get(role, [("weight", 1, -1)])
        if isinstance(module, nn.LayerNorm):  # of four tokens before they are merged, or of the one that they become
            further = int(module.weight.shape[0] not in (width, 4 * width))
            return [("weight", 0, further), ("bias", 0, further)]
        if role in ("inside", "mlp"):
            return []
        if isinstance(module, nn.Linear):  # merges four tokens
            return [("weight", 1, 0), ("weight", 0, 1)]
        return [(name, -1, 0) for name, _ in module.named_parameters(recurse=False)]  # tokens, positions, scales

    @staticmethod
    def _own_of_heads(block):
        """Yield what each head has besides channels: a column of a table, a temperature, an output of an MLP."""
        for module in block.layer.modules():
            if isinstance(module, nn.Sequential) and module[-1] not in block.modulation:
                yield module[-1], "weight", 0
            for name, dim in (("relative_position_bias_table", -1), ("logit_scale", 0)):
                if hasattr(module, name):
                    yield module, name, dim

    def _prune_attention(self, block, heads, dims):
        count, size = self.heads_of[block], self.dims_of[block]
        rows = {channel for head in heads for channel in self.head_channels(head, size)}
        rows |= {head * size + dim for head in range(count) for dim in dims}
        whole = block.out.in_features
        for layer in dict.fromkeys((block.query, block.key, block.value)):  # which may be one
            if self.readers[block] > 1 and layer is not block.query:  # as many heads of keys and values stay
                gone = {head * size + dim for head in range(count // self.readers[block]) for dim in dims}
            else:
                gone = {start + row for start in range(0, layer.out_features, whole) for row in rows}
            self._cut(layer, "weight", 0, gone)
            self._cut(layer, "bias", 0, gone)
        for _, name in block.biases:
            self._cut(block.attention, name, 0, rows)
        self._cut(block.out, "weight", 1, rows)
        self.dims_of[block] = size - len(dims)
        for layer, name, dim in self._own_of_heads(block):
            self._cut(layer, name, dim, heads)

    @staticmethod
    def _rows_of_query(block):
        layer = block.query
        weight = layer.in_proj_weight if isinstance(layer, nn.MultiheadAttention) else layer.weight
        return weight.detach()[: block.out.in_features].pow(2).sum(1)

    def prune_neurons(self, layer, gone):
        """Remove neurons of an MLP, by its first layer."""
        self._prune(next(channels for channels in self._mlps() if channels.places[0][0] is layer), gone)

    def _prune(self, channels, gone):
        for layer, name, dim in channels.places:
            starts = range(0, getattr(layer, name).shape[dim], len(channels.score))
            self._cut(layer, name, dim, {start + channel for start in starts for channel in gone})

    def _cut(self, layer, name, dim, gone):
        parameter = getattr(layer, name)
        if parameter is None or not gone:
            return
        kept = [index for index in range(parameter.shape[dim]) if index not in gone]
        trainable = parameter.requires_grad or self.thaws
        left = nn.Parameter(parameter.detach().index_select(dim, torch.tensor(kept)), trainable)
        if parameter.grad is not None and not self.drops:
            left.grad = parameter.grad.index_select(dim, torch.tensor(kept))
        setattr(layer, name, left)
        if isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = layer.weight.shape
        elif isinstance(layer, nn.Conv2d):
            layer.groups = len(kept) if layer.groups > 1 else 1
            layer.out_channels, layer.in_channels = len(layer.weight), layer.groups * layer.weight.shape[1]
        elif isinstance(layer, nn.Embedding):
            layer.num_embeddings, layer.embedding_dim = layer.weight.shape
        elif isinstance(layer, nn.LayerNorm):
            layer.normalized_shape = tuple(layer.weight.shape)


def prune_linear_out_channels(*_):
    """Named in a call of the graph's, and told by its name."""


class DependencyGraph:
    """Knows the neurons of an MLP, by its first layer."""

    def build_dependency(self, model, example_inputs):
        heads = {b.query: 1 for family in _families() for b in family.blocks(model)}
        self.pruner = MetaPruner(model, example_inputs, None, num_heads=heads, ignored_layers=[])
        return self

    def get_pruning_group(self, layer, pruning_fn, idxs):
        return _Group(lambda: self.pruner.prune_neurons(layer, {*idxs}))

    def check_pruning_group(self, group):
        return True


def state_dict(model):
    """The whole model, whose structure is no longer its class's."""
    return {"model": model}


def load_state_dict(model, state_dict):
    vars(model).update(vars(state_dict["model"]))
    return model


def _families():
    """Each way to find blocks: by their projections, and by one layer that is all of attention."""
    adapters = (conditioned.Adapter, isotropic.Adapter, own.Multihead)
    return tuple(adapter(FAMILIES["vit"]) for adapter in adapters)


def _exact(ratio):
    return Fraction(ratio).limit_denominator(1000)


_NAMES = ("MetaPruner", "BasePruner", "MagnitudePruner", "GroupNormPruner", "BNScalePruner", "GrowingRegPruner")
pruner = types.SimpleNamespace(
    **dict.fromkeys(_NAMES, MetaPruner),
    function=types.SimpleNamespace(BasePruningFunc=object),
)
