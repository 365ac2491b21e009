"""One pruner's work on a user's network: what the network was before, and what is left of it."""

import copy
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from headcount.check import masked, reach, structure, update, weights
from headcount.check.facts import Attention, Call, Dimension, Leave, Listed, Pruned, Setting
from headcount.check.reach import Side
from headcount.check.subject import FileError
from headcount.observation import Problem, UnexpectedWeight
from headcount.pruning import trace

#: The largest network that is checked, in bytes of weights: several copies of it are made.
LARGEST = 1_200_000_000

#: What names are shown of many, and of how many weights it is said that they are not the dense network's.
_SHOWN = 6
_WEIGHTS = 12

_CONVOLUTION = nn.modules.conv._ConvNd  # noqa: SLF001 - the base of all
_BATCH_NORM = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - as above

#: Parameters of a constructor that this judges, or that decide nothing. Others are said.
_JUDGED = frozenset(
    (
        "model",
        "example_inputs",
        "importance",
        "global_pruning",
        "pruning_ratio",
        "ch_sparsity",
        "pruning_ratio_dict",
        "ch_sparsity_dict",
        "max_pruning_ratio",
        "max_ch_sparsity",
        "iterative_steps",
        "num_heads",
        "prune_num_heads",
        "prune_head_dims",
        "head_pruning_ratio",
        "head_pruning_ratio_dict",
        "isomorphic",
        "round_to",
        "ignored_layers",
        "forward_fn",
        "output_transform",
        "self",
    )
)

#: Criteria that rank by the size of weights alone.
_PLAIN = ("MagnitudeImportance", "GroupMagnitudeImportance", "GroupNormImportance")


class Work:
    """What one pruner does to a network. Made before its constructor runs; it gives the network its weights."""

    def __init__(self, pruner: type, arguments: Mapping[str, Any], given: Collection[str]) -> None:
        """Look at the dense network, and give it weights that say where they come from.

        Args:
            arguments: of the constructor, by name, its defaults included.
            given: the names of those that the call has.

        Raises:
            FileError: the network cannot be called, or the call names what it does not have.
        """
        self._given = arguments
        self.net, self._inputs = arguments["model"], arguments["example_inputs"]
        self._names = {module: name for name, module in self.net.named_modules()}
        self._layers = {
            name: self.net.get_submodule(name.rpartition(".")[0]) for name, _ in self.net.named_parameters()
        }
        self._refuse()
        self._dense, self._given_dense = copy.deepcopy((self.net, self._inputs))
        self._dense.eval()
        self._listed = {self._weight(layer): (layer, int(count)) for layer, count in self._heads_given().items()}
        network = self._network()
        heads = {name: count for name, (_, count) in self._listed.items()}
        self.structure = structure.found(network, heads, dims=bool(arguments.get("prune_head_dims", True)))
        self._unknown, self._summed = network.unknown, frozenset(network.contracted)
        self.importance = weights.importance(self.structure)
        self._encode()
        self.call_facts = self._call(pruner, given)
        self.pruned = Pruned(self.call_facts)
        self.refused: dict[str, None] = {}
        self._gone: dict[str, dict[int, list[int]]] = {}

    # --- before -----------------------------------------------------------------------------------

    def _refuse(self) -> None:
        """Refuse what cannot be checked, with the reason.

        Raises:
            FileError: so.
        """
        size = sum(p.numel() * p.element_size() for p in self.net.parameters())
        if size > LARGEST:
            raise FileError(
                f"the network has {size / 1e9:.1f} GB of weights, and at most {LARGEST / 1e9:.1f} GB can be checked: "
                "give it fewer blocks, or smaller sizes"
            )
        for name, parameter in self.net.named_parameters():
            if parameter.device.type != "cpu":
                raise FileError(f"{name} is on {parameter.device}: give a network that is on the CPU")
            half = parameter.dtype in (torch.float16, torch.bfloat16)
            if parameter.dtype is not torch.float32 and not half:
                raise FileError(f"{name} is of {parameter.dtype}: float32, float16 and bfloat16 can be checked")
            if half and max(parameter.shape, default=0) > weights.LONGEST_HALF:
                raise FileError(f"{name} is of {parameter.dtype}, and too long for that: call .float() on the network")
        if not self._heads_given():
            raise FileError("the call lists no layer in num_heads: nothing says which layers are attention's")
        self._refuse_strangers()
        try:
            with torch.no_grad():
                self._called(copy.deepcopy(self.net).eval(), self._inputs)
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            raise FileError(f"the network fails before anything is pruned: {type(error).__name__}: {first}") from error

    def _refuse_strangers(self) -> None:
        for name in ("num_heads", "ignored_layers", "pruning_ratio_dict", "head_pruning_ratio_dict"):
            for item in self._given.get(name) or ():
                for layer in item if isinstance(item, tuple | list) else (item,):
                    if isinstance(layer, nn.Module) and layer not in self._names:
                        raise FileError(f"{name} lists a {type(layer).__name__} that is no layer of the network")

    def _network(self) -> reach.Network:
        """Return the dense network with plain weights, in whole precision: in half of it, small changes vanish."""
        net, given = copy.deepcopy((self._dense, self._given_dense))
        for name, parameter in net.float().named_parameters():
            weights.give(parameter, name, [])
        whole = torch.utils._pytree.tree_map(_whole, given)  # noqa: SLF001 - what may be nested
        return reach.Network(net, lambda net: self._called(net, whole))

    def _heads_given(self) -> Mapping[nn.Module, int]:
        return self._given.get("num_heads") or {}

    def _weight(self, layer: nn.Module) -> str:
        """Return the name of a listed layer's weight.

        Raises:
            FileError: it has none.
        """
        for name in ("weight", "in_proj_weight", "q_proj_weight"):
            if isinstance(getattr(layer, name, None), nn.Parameter):
                return f"{self._names[layer]}.{name}".removeprefix(".")
        raise FileError(
            f"num_heads lists {self._names[layer]}, a {type(layer).__name__}, which has no weight of its own"
        )

    def _encode(self) -> None:
        """Give the dense network and the user's the same weights, by the importance of their channels."""
        given = dict(self.net.named_parameters())
        for name, parameter in self._dense.named_parameters():
            factors = [self._factor((name, dim)) for dim in range(parameter.dim())]
            weights.give(parameter, name, factors)
            given[name].data.copy_(parameter.detach())
        self._whole = {name: parameter.detach().clone() for name, parameter in self._dense.named_parameters()}

    def _factor(self, side: Side) -> Any:
        if side in self.structure.tables:
            return None
        numbers = self.structure.channels.get(side)
        return None if numbers is None else np.where(numbers >= 0, self.importance[numbers], 1.0)

    def _call(self, pruner: type, named: Collection[str]) -> Call:
        given = self._given
        importance = given.get("importance")
        others = sorted(name for name in named if name not in _JUDGED and given[name])
        return Call(
            pruner=pruner.__name__,
            global_pruning=bool(given.get("global_pruning")),
            isomorphic=bool(given.get("isomorphic")),
            prune_num_heads=bool(given.get("prune_num_heads")),
            prune_head_dims=bool(given.get("prune_head_dims", True)),
            head_pruning_ratio=_number(given.get("head_pruning_ratio"), 0.0),
            pruning_ratio=_number(given.get("pruning_ratio"), 0.5),
            max_pruning_ratio=_number(given.get("max_pruning_ratio"), 1.0),
            round_to=int(given.get("round_to") or 0),
            steps=int(given.get("iterative_steps") or 1),
            plain=not self._is_half()
            and type(importance).__name__ in _PLAIN
            and getattr(importance, "group_reduction", "mean") == "mean",
            blind="BNScale" in type(importance).__name__ and not any(map(_has_scale, self.net.modules())),
            more=tuple(others),
        )

    @property
    def draws(self) -> bool:
        """Whether the criterion may draw random numbers."""
        return "Random" in type(self._given.get("importance")).__name__

    def name_of(self, layer: nn.Module) -> str:
        """Return a layer's name in the network; of another, its class's."""
        return str(self._names.get(layer, type(layer).__name__))

    # --- calls ------------------------------------------------------------------------------------

    def _called(self, net: nn.Module, inputs: Any) -> Any:
        if (forward := self._given.get("forward_fn")) is not None:
            return forward(net, inputs)
        if isinstance(inputs, Mapping):
            return net(**inputs)
        return net(*inputs) if isinstance(inputs, tuple | list) else net(inputs)

    def call_dense(self, net: nn.Module) -> Any:
        """Call a copy of the dense network."""
        return self._called(net, self._given_dense)

    # --- after ------------------------------------------------------------------------------------

    def has_changed(self) -> bool:
        """Return whether the network has no longer the dense network's sizes."""
        return any(p.shape != self._whole[n].shape for n, p in self.net.named_parameters() if n in self._whole)

    def measure(self, pruner: Any) -> None:
        """Look at what a pruner has left."""
        kept, unexpected = self._kept()
        self._gone = {
            name: gone
            for name, places in kept.items()
            if (gone := {d: g for d, place in enumerate(places) if (g := _missing(place, self._whole[name].shape[d]))})
        }
        self._lost = [
            number
            for side, numbers in self.structure.channels.items()
            if side[0] in kept
            for number in set(numbers.tolist()) - set(numbers[[*kept[side[0]][side[1]]]].tolist())
        ]
        dimensions = tuple(self._dimension(group, kept) for group in self.structure.groups)
        self._pruner = pruner
        self.pruned = Pruned(
            self.call_facts,
            tuple(self._attention(heads, kept, pruner) for heads in self.structure.attentions),
            dimensions,
            tuple(unexpected[:_WEIGHTS]),
            refused=(*self.refused,)[:_SHOWN],
            unclear=(*self._unclear(),),
            unjudged=(*self._unjudged(),),
        )

    def _kept(self) -> tuple[dict[str, weights.Place], list[UnexpectedWeight]]:
        survivors = dict(self.net.named_parameters(remove_duplicate=False))
        kept: dict[str, weights.Place] = {}
        unexpected = []
        for name, whole in self._whole.items():
            left = survivors.get(name)
            if left is None:
                unexpected.append(UnexpectedWeight(name, Problem.GONE))
                continue
            places, problem = weights.decoded(left.detach(), whole)
            if problem:
                unexpected.append(UnexpectedWeight(name, problem, "", tuple(left.shape), tuple(whole.shape)))
                continue
            kept[name] = places
            cut = sum(whole.shape[d] - len(places[d]) for d in range(whole.dim()) if (name, d) in self.structure.fixed)
            if cut:
                unexpected.append(UnexpectedWeight(name, Problem.FORBIDDEN_CUT, found=(cut,)))
        return kept, [*unexpected, *trace.other_attributes(self.net)]

    def _dimension(self, group: structure.Group, kept: Mapping[str, weights.Place]) -> Dimension:
        """Return what is left of channels that belong together."""
        makers = [side for side in group.sides if self._makes(side)]
        sides = [*makers, *(side for side in group.sides if side not in makers)]
        there = [side for side in sides if side[0] in kept]
        left = {side: self._classes(side, group, kept) for side in there}
        whole = left[there[0]][0] if there else frozenset()
        in_all = frozenset(group.classes).intersection(*(found for found, _ in left.values()))
        ratio, (own, shared) = self._ratio("pruning_ratio_dict", "pruning_ratio", makers)
        return Dimension(
            tuple(map(_shown, sides[:_SHOWN])),
            group.size,
            len(in_all),
            tuple(_shown(side) for side, (found, torn) in left.items() if found != whole or torn)[:_SHOWN],
            tuple(_shown(side) for side in there if (np.diff(kept[side[0]][side[1]]) <= 0).any())[:_SHOWN],
            ratio,
            own,
            shared,
            self._ignored(side for side in group.sides if side not in self._summed),
            any(np.isin(numbers, group.classes).any() for numbers in self.structure.outputs.values()),
            group.of_heads,
            any(isinstance(self._layers[name], nn.MultiheadAttention) for name, _ in group.sides),
            len(makers),
            self._ranks([*group.classes], in_all),
        )

    def _classes(
        self, side: Side, group: structure.Group, kept: Mapping[str, weights.Place]
    ) -> tuple[frozenset[int], bool]:
        """Return the channels that a side has left whole, and whether it has others in part."""
        numbers = self.structure.channels[side]
        found = numbers[np.asarray(kept[side[0]][side[1]], int)]
        counts, now = (np.bincount(n[n >= 0], minlength=self.structure.classes) for n in (numbers, found))
        classes = np.array(group.classes)
        torn = bool(((now[classes] > 0) & (now[classes] < counts[classes])).any())
        return frozenset(classes[now[classes] == counts[classes]].tolist()), torn

    def _ranks(self, classes: Sequence[int], left: frozenset[int]) -> tuple[float, ...]:
        gone = [self.importance[number] for number in classes if number not in left]
        stays = [self.importance[number] for number in classes if number in left]
        return (float(max(gone)), float(min(stays))) if gone and stays else ()

    def _attention(
        self, found: tuple[structure.Heads, ...], kept: Mapping[str, weights.Place], pruner: Any
    ) -> Attention:
        """Return what is left of the heads of layers that one attention has."""
        queries = found[0]
        read = tuple(
            head
            for head, out in enumerate(queries.out)
            if any(index in kept[side[0]][side[1]] for side, index in out if side[0] in kept)
        )
        listed = tuple(self._of_layer(heads, queries, kept, pruner) for heads in found)
        sides = [(heads.parameter, 0) for heads in found]
        ratio, own = self._ratio("head_pruning_ratio_dict", "head_pruning_ratio", sides)
        known = all(side[0] in kept for out in queries.out for side, _ in out)
        return Attention(
            listed,
            queries.count,
            read if known else None,
            ratio,
            own[0],
            self._ignored(sides),
            self._may_stay(found),
            self._misranked(queries, read),
        )

    def _may_stay(self, found: tuple[structure.Heads, ...]) -> Leave:
        """Return why the documentation lets an attention's heads stay, if it does."""
        own = {heads.parameter for heads in found}
        if own.intersection(self.structure.tables.values()):
            return Leave.TABLE
        if any(isinstance(self._layers[name], nn.MultiheadAttention) for name in own):
            return Leave.MULTIHEAD
        if sum(len(heads.parts) // heads.count for heads in found) < 3:  # noqa: PLR2004 - queries, keys and values
            return Leave.UNLISTED
        return Leave.NONE

    def _misranked(self, queries: structure.Heads, read: Sequence[int]) -> tuple[int, ...]:
        levels = [self._level(queries, head) for head in range(queries.count)]
        gone = max((head for head in range(queries.count) if head not in read), key=levels.__getitem__, default=-1)
        stays = min(read, key=levels.__getitem__, default=-1)
        return (gone, stays) if min(gone, stays) >= 0 and levels[stays] < levels[gone] else ()

    def _level(self, heads: structure.Heads, head: int) -> float:
        rows = [row for part in heads.parts if part.head == head for row in part.rows]
        return float(np.mean(self.importance[self.structure.channels[heads.parameter, 0][rows]]))

    def _of_layer(
        self, heads: structure.Heads, queries: structure.Heads, kept: Mapping[str, weights.Place], pruner: Any
    ) -> Listed:
        layer, count = self._listed[heads.parameter]
        name = self._names[layer]
        reported = pruner.num_heads.get(layer)
        said = None if reported is None else int(reported)
        if heads.parameter not in kept:
            return Listed(name, count, heads.size, said, unclear="its weights are not the dense network's")
        rows = frozenset(kept[heads.parameter][0])
        left: dict[int, list[int]] = defaultdict(list)
        sizes, seen = set(), dict[int, int]()
        for part in heads.parts:
            number = seen[part.head] = seen.get(part.head, -1) + 1
            left[number] += []
            if there := len(rows.intersection(part.rows)):
                left[number].append(part.head)
                sizes.add(there)
        out = tuple(tuple(q for q, other in enumerate(queries.out) if other & mine) for mine in heads.out)
        return Listed(
            name,
            count,
            heads.size,
            said,
            tuple(tuple(sorted(found)) for found in left.values()),
            tuple(sorted(sizes)),
            out,
        )

    def _unclear(self) -> Iterator[str]:
        for (name, _), why in self.structure.unclear.items():
            if name in self._listed:
                yield f"{name.removesuffix('.weight')}: {why}"
        for name in sorted(self._unknown):
            yield f"{name}: it is used in a way that is not followed"

    def _unjudged(self) -> Iterator[str]:
        for (name, dim), why in self.structure.unclear.items():
            if name not in self._listed and self._makes((name, dim)):
                yield f"{name.removesuffix('.weight')}: {why}, and it is not listed in num_heads"
        for name in self.call_facts.more:
            yield f"{name} was given: how many channels it leaves was not looked at"

    def _makes(self, side: Side) -> bool:
        """Return whether a side is the outputs of a layer that a pruner can start from."""
        layer = self._layers.get(side[0])
        return isinstance(layer, nn.Linear | _CONVOLUTION) and side not in self._summed and side[0].endswith("weight")

    def _ignored(self, sides: Iterable[Side]) -> str:
        """Return a layer that makes one of these sides, and is ignored, by itself, its type or what holds it."""
        given = self._given.get("ignored_layers") or ()
        kinds = tuple(item for item in given if isinstance(item, type))
        inside = {module for item in given if isinstance(item, nn.Module) for module in item.modules()}
        for name, _ in sides:
            layer = self._layers[name]
            if layer in inside or isinstance(layer, kinds):
                return self.name_of(layer)
        return ""

    def _ratio(self, own: str, plain: str, sides: Sequence[Side]) -> tuple[float, tuple[bool, bool]]:
        """Return the ratio for what these sides make, whether it is theirs alone, and whether several share it."""
        for layers, ratio in (self._given.get(own) or {}).items():
            each = layers if isinstance(layers, tuple | list) else (layers,)
            inside = {module for item in each if isinstance(item, nn.Module) for module in item.modules()}
            if any(self._layers[name] in inside for name, _ in sides):
                return _number(ratio, 0.0), (True, len(each) > 1)
        return getattr(self.call_facts, plain), (False, False)

    # --- the pruned network, called again ----------------------------------------------------------

    def forward(self, own: Any, *, first: bool) -> tuple[Any, Exception | None]:
        """Call the pruned network with its head counts updated. Return its output, or what it raised.

        Args:
            own: the file's function that updates it, if it has one.
            first: call it as it is before anything is tried.
        """
        self.net.eval()
        if own is not None:
            try:
                own(self.net, self._pruner)
                with torch.no_grad():
                    output = self._called(self.net, self._inputs)
            except Exception as error:  # noqa: BLE001 - a broken network may raise anything
                return None, error
            self.pruned = replace(self.pruned, updated=("update()",))
            return output, None
        failure: Exception | None = None
        tries = update.settings(self.net, self._counts())
        if not first and len(tries) > 1:
            del tries[""]
        for words, chosen in tries.items():
            try:
                with update.made(chosen), torch.no_grad():
                    output = self._called(self.net, self._inputs)
            except Exception as error:  # noqa: BLE001 - as above
                failure = error  # that of the most that was set
                self.pruned = replace(self.pruned, settings=self._set(chosen))
            else:
                updated = (words,) if words else ()
                self.pruned = replace(self.pruned, updated=updated, settings=self._set(chosen))
                return output, None
        return None, failure

    def _set(self, chosen: Iterable[update.Setting]) -> tuple[Setting, ...]:
        return tuple(Setting(self.name_of(module), attribute, value) for module, attribute, value in chosen)

    def _counts(self) -> dict[nn.Module, tuple[int, int, int, int]]:
        """Return listed layer -> its heads and channels in a part, before and now, as the pruner counts the heads."""
        counts = {}
        for heads in (heads for found in self.structure.attentions for heads in found):
            layer, count = self._listed[heads.parameter]
            parts = max(len(heads.parts) // count, 1)
            left = len(self.net.get_parameter(heads.parameter)) if heads.parameter else 0
            now = int(self._pruner.num_heads.get(layer, count))
            counts[layer] = (count, count * heads.size, now, left // parts)
        return counts

    def gap(self, output: Any) -> float | None:
        """Return how far an output is from the dense network's with what went masked; None if that tells nothing."""
        gap, why = None, self._incomparable()
        if not why:
            gone = {
                side: np.flatnonzero(np.isin(numbers, self._lost)) for side, numbers in self.structure.outputs.items()
            }
            gap = masked.gap(output, self._dense, self.call_dense, masked.Gone(self._gone, gone))
            why = "it has another shape" if gap is None else ""
        self.pruned = replace(self.pruned, output=why)
        return gap

    def _incomparable(self) -> str:
        """Return why an output would tell nothing; "" if it tells something."""
        listed = [listed for attention in self.pruned.attentions for listed in attention.listed]
        if any(size != each.size for each in listed for size in each.sizes):
            return "channels of heads went, and the network may divide by how many there are"
        if self.pruned.weights or any(dimension.torn for dimension in self.pruned.dimensions):
            return "what is left does not fit together"
        return "half precision is too coarse" if self._is_half() else ""

    def _is_half(self) -> bool:
        return any(whole.dtype is not torch.float32 for whole in self._whole.values())


def _whole(item: Any) -> Any:
    return item.float() if isinstance(item, torch.Tensor) and item.is_floating_point() else item


def _has_scale(layer: nn.Module) -> bool:
    return isinstance(layer, _BATCH_NORM) and bool(layer.affine)


def _missing(place: Sequence[int], size: int) -> list[int]:
    return sorted(set(range(size)) - set(place))


def _shown(side: Side) -> str:
    return f"{side[0]}:{side[1]}"


def _number(value: Any, otherwise: float) -> float:
    return otherwise if value is None else float(value)
