"""What belongs together in a network of which nothing is known: channels that must go together, and heads.

It comes from the dense network alone (see `reach`), and never from the pruner's own graph.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import combinations, islice
from math import comb

import numpy as np
import numpy.typing as npt
from torch import nn

from headcount.check.reach import OUTPUT, Flags, Network, Side

#: Indices that are looked at one by one, at most: of more, a code alone must tell them apart.
ONE_BY_ONE = 1_536

#: Equal parts that one layer may hold side by side: two of a gated MLP, six of adaptive norms.
_PARTS = (1, 2, 3, 4, 6)

Ints = npt.NDArray[np.int64]

#: One index of one side.
Node = tuple[Side, int]


@dataclass(frozen=True)
class Part:
    """One run of a listed layer's rows that belongs to one head.

    Attributes:
        rows: of the layer's weight.
        head: its number, in the order of the rows.
        reads: whether its channels come out as they are, as those of values do; those of queries and keys do not.
    """

    rows: tuple[int, ...]
    head: int
    reads: bool


@dataclass(frozen=True)
class Heads:
    """The heads of one listed layer.

    Attributes:
        parameter: its weight's name.
        count: how many heads it has.
        parts: its rows, a part at a time.
        out: of each head, the channels that read it.
    """

    parameter: str
    count: int
    parts: tuple[Part, ...]
    out: tuple[frozenset[Node], ...]

    @property
    def size(self) -> int:
        """Channels of a head, in one part."""
        return len(self.parts[0].rows)


@dataclass(frozen=True)
class Group:
    """Channels of the same sides: one dimension of the network, as its width is, or one MLP's.

    Attributes:
        sides: those that have them.
        classes: the number of each channel.
        of_heads: they are channels of heads.
    """

    sides: tuple[Side, ...]
    classes: tuple[int, ...]
    of_heads: bool

    @property
    def size(self) -> int:
        """How many channels there are."""
        return len(self.classes)


@dataclass
class Structure:
    """What was found.

    Attributes:
        channels: side -> the number of the class that each of its indices belongs to. Indices of one class go together.
        outputs: a dimension of what the network gives -> the number of each index's class, -1 where it has none.
        heads: listed layer's weight -> its heads.
        tables: sides with an index for each head -> the weight of a layer with these heads.
        unclear: sides of which it is not known what belongs together, and why.
        fixed: sides that nothing may prune: kernels, and what reads the network's own input.
    """

    channels: dict[Side, Ints] = field(default_factory=dict)
    outputs: dict[Side, Ints] = field(default_factory=dict)
    heads: dict[str, Heads] = field(default_factory=dict)
    tables: dict[Side, str] = field(default_factory=dict)
    unclear: dict[Side, str] = field(default_factory=dict)
    fixed: set[Side] = field(default_factory=set)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return 1 + max((int(numbers.max()) for numbers in self.channels.values()), default=-1)

    @cached_property
    def attentions(self) -> tuple[tuple[Heads, ...], ...]:
        """The listed layers whose heads the same channels read, those with the most heads first."""
        found: list[tuple[frozenset[Node], list[Heads]]] = []
        for heads in self.heads.values():
            every = frozenset().union(*heads.out)
            for out, others in found:
                if every & out:
                    others.append(heads)
                    break
            else:
                found.append((every, [heads]))
        return tuple(tuple(sorted(others, key=lambda heads: -heads.count)) for _, others in found)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The dimensions of the network, each with the sides that have it."""
        members: dict[int, Counter[Side]] = defaultdict(Counter)
        for side, numbers in self.channels.items():
            for number in numbers.tolist():
                members[number][side] += 1
        alike: dict[frozenset[tuple[Side, int]], list[int]] = defaultdict(list)
        for number, sides in members.items():
            alike[frozenset(sides.items())].append(number)
        listed = {(name, 0) for name in self.heads}
        listed |= {side for heads in self.heads.values() for out in heads.out for side, _ in out}
        return tuple(
            Group(tuple(side for side, _ in sorted(sides)), tuple(numbers), any(side in listed for side, _ in sides))
            for sides, numbers in alike.items()
        )


def found(network: Network, listed: Mapping[str, int], *, dims: bool = False) -> Structure:
    """Return a network's structure.

    Args:
        listed: the weights of the layers in `num_heads`, and how many heads each has.
        dims: channels of heads may go one by one: it is looked for which of them queries and keys turn together.
    """
    return _Search(network, listed, dims=dims).found()


class _Search:
    def __init__(self, network: Network, listed: Mapping[str, int], *, dims: bool) -> None:
        self._network, self._listed, self._dims = network, listed, dims
        self._result = Structure()
        self._with_weight = _biases(network)
        self._partners: dict[int, list[tuple[int, int]]] = {}  # head size -> places that go together
        self._leader: dict[Node, Node] = {}

    def found(self) -> Structure:
        for parameter, count in self._listed.items():
            heads = _heads(self._network, parameter, count)
            if heads is None:
                self._result.unclear[parameter, 0] = f"no {count} heads of equal size were found in it"
            else:
                self._result.heads[parameter] = heads
        for side in self._sources():
            self._follow(side)
        for side, size in self._network.sides.items():
            for index in range(size):
                self._join((side, index))
        self._pair()
        self._number()
        return self._result

    def _sources(self) -> Iterator[Side]:
        """Yield the dimensions of parameters that may be pruned: all but those that a product sums over."""
        for name, parameter in self._network.parameters.items():
            for dim, size in enumerate(parameter.shape):
                if (name, dim) not in self._network.contracted and size > 1:
                    yield name, dim

    def _follow(self, side: Side) -> None:
        """Join each index of a side with the channels that it reaches."""
        size = self._network.parameters[side[0]].shape[side[1]]
        for index in range(size):
            self._join((side, index))
        if (weight := self._with_weight.get(side)) is not None:
            if weight in self._result.unclear:
                self._result.unclear[side] = self._result.unclear[weight]
            for index in range(size):
                self._join((side, index), (weight, index))
            return
        heads = self._result.heads.get(side[0]) if side[1] == 0 else None
        if heads is not None:
            # What several heads of queries read stays as long as one of them does.
            shared = any(
                other < own for own in heads.out for known in self._result.heads.values() for other in known.out
            )
            reading = [row for part in heads.parts if part.reads for row in part.rows]
            if reading and not shared:
                self._ties(side, reading)
        elif not self._ties(side, range(size)):
            self._of_heads(side, size)

    def _ties(self, side: Side, rows: Sequence[int]) -> bool:
        """Join rows with what each alone reaches. Return whether that was clear."""
        reached = _each(self._network, side, rows)
        if reached is not None and not self._is_table(side, reached):
            for row, channels in reached.items():
                self._join((side, row), *channels)
        return reached is not None

    def _is_table(self, side: Side, reached: Mapping[int, frozenset[Node]]) -> bool:
        """Note it if a side has an index for each head of some layer, and return whether it has."""
        for heads in self._result.heads.values():
            if len(heads.parts[0].rows) > 1 and heads.out == tuple(reached.values()):
                self._result.tables[side] = heads.parameter
                return True
        return False

    def _of_heads(self, side: Side, size: int) -> None:
        """Note that a side has an index for each head, or that it is not clear what it has."""
        for heads in self._result.heads.values():
            if heads.count == size:
                reached = {index: _channels(self._network.reached(*side, [index])) for index in range(size)}
                if self._is_table(side, reached):
                    return
        self._result.unclear[side] = "a channel of it reaches many channels at once"

    def _pair(self) -> None:
        """Join the channels of queries with those of the keys that they meet, which have the same place in a head."""
        meeting = [
            (heads.out[part.head], heads.parameter, part)
            for heads in self._result.heads.values()
            for part in heads.parts
            if not part.reads
        ]
        for number, (out, parameter, one) in enumerate(meeting):
            for other_out, other_parameter, other in meeting[number + 1 :]:
                if self._dims and (out <= other_out or other_out <= out) and len(one.rows) == len(other.rows):
                    self._turned((parameter, one), (other_parameter, other))
                if out == other_out and len(one.rows) == len(other.rows):
                    for row, met in zip(one.rows, other.rows, strict=True):
                        self._join(((parameter, 0), row), ((other_parameter, 0), met))

    def _turned(self, queries: tuple[str, Part], keys: tuple[str, Part]) -> None:
        """Join the channels of a head that rotary positions turn together: queries of one meet keys of the other."""
        if (size := len(queries[1].rows)) not in self._partners:
            self._partners[size] = _partners(self._network, queries, keys)
        for place, partner in self._partners[size]:
            for parameter, part in (queries, keys):
                self._join(((parameter, 0), part.rows[place]), ((parameter, 0), part.rows[partner]))

    def _join(self, one: Node, *others: Node) -> None:
        first = self._first(one)
        for other in others:
            self._leader[self._first(other)] = first

    def _first(self, node: Node) -> Node:
        leader = self._leader.setdefault(node, node)
        while leader != (above := self._leader[leader]):
            self._leader[node] = leader = above
        return leader

    def _number(self) -> None:
        """Give each class a number, and note what the network gives, and what only its own input reaches."""
        result, numbers = self._result, dict[Node, int]()
        sides: dict[Side, dict[int, int]] = defaultdict(dict)
        made: set[int] = set()
        read = {side for heads in result.heads.values() for out in heads.out for side, _ in out}
        for node in [*self._leader]:
            side, index = node
            number = numbers.setdefault(self._first(node), len(numbers))
            sides[side][index] = number
            if not side[0].startswith(OUTPUT) and (side not in self._network.contracted or side in read):
                made.add(number)
        for side, own in sides.items():
            if side in result.unclear or side in result.tables:
                continue
            numbered = np.array([own.get(index, -1) for index in range(max(own) + 1)])
            if side[0].startswith(OUTPUT):
                result.outputs[side] = numbered
            elif made.isdisjoint(own.values()):
                result.fixed.add(side)
            else:
                result.channels[side] = numbered
        result.fixed |= self._network.contracted - self._network.sides.keys()


def _partners(network: Network, queries: tuple[str, Part], keys: tuple[str, Part]) -> list[tuple[int, int]]:
    """Return the places in a head of which the one's queries meet the other's keys, none where that is not clear.

    Of queries that are 0 but in one channel, keys matter only in the channels that it meets.
    """
    (parameter, one), (other_parameter, other) = queries, keys
    pairs = []
    for place, row in enumerate(one.rows):
        with network.muted(parameter, [r for r in one.rows if r != row]) as alone:
            met = [p for p, key in enumerate(other.rows) if _channels(alone.reached(other_parameter, 0, [key]))]
        if len(met) > 2:  # noqa: PLR2004 - a pair
            return []
        pairs += [(place, partner) for partner in met if partner != place]
    return pairs


def _biases(network: Network) -> dict[Side, Side]:
    """Return bias -> the dimension of the weight in the same layer that it is as long as, and that it is added to."""
    found: dict[Side, Side] = {}
    for name in network.parameters:
        prefix, _, last = name.rpartition(".")
        weight = f"{prefix}.{last.replace('bias', 'weight')}"
        if (
            last.endswith("bias")
            and weight in network.parameters
            and (weight in network.used or _is_norm(network, name))
        ):
            outs = [
                dim
                for dim, size in enumerate(network.parameters[weight].shape)
                if (weight, dim) not in network.contracted and size == len(network.parameters[name])
            ]
            if len(outs) == 1 and network.parameters[name].dim() == 1:
                found[name, 0] = (weight, outs[0])
    return found


def _is_norm(network: Network, name: str) -> bool:
    return isinstance(network.layer_of(name), nn.LayerNorm | nn.GroupNorm | nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - the base of all


def _channels(reached: Mapping[Side, Flags]) -> frozenset[Node]:
    """Return the channels that changed, those of outputs aside."""
    return frozenset(
        (side, int(index))
        for side, flags in reached.items()
        if not side[0].startswith(OUTPUT)
        for index in np.flatnonzero(flags)
    )


def _each(network: Network, side: Side, rows: Sequence[int] | range) -> dict[int, frozenset[Node]] | None:
    """Return what each of these indices reaches alone, or None if several reach the same channels together."""
    every = np.asarray(rows)
    for parts in _PARTS:
        if len(every) % parts == 0 and (parts == 1 or len(every) > parts):  # one row by itself tells nothing
            each = [_by_code(network, side, part) for part in np.split(every, parts)]
            if all(found is not None for found in each):
                return {row: reached for found in each if found for row, reached in found.items()}
    return None


def _by_code(network: Network, side: Side, rows: Ints) -> dict[int, frozenset[Node]] | None:
    """Return what each of these indices reaches alone; None if some channel is reached by several.

    Each index is changed in another half of the runs: what changes in more runs than that has several sources.
    """
    codes = _codes(len(rows))
    counts: dict[Side, Ints] = {}
    times: dict[Side, Ints] = {}
    most = int(codes[0].sum())
    for run, chosen in enumerate(codes.T):
        for reached, flags in network.reached(*side, rows[chosen]).items():
            counts.setdefault(reached, np.zeros(len(flags), np.int64))[flags] |= 1 << run
            often = times.setdefault(reached, np.zeros(len(flags), np.int64))
            often += flags
            if not reached[0].startswith(OUTPUT) and often.max() > most:
                return None
    of_code = {
        sum(1 << int(run) for run in np.flatnonzero(code)): int(row) for row, code in zip(rows, codes, strict=True)
    }
    result: dict[int, set[Node]] = {int(row): set() for row in rows}
    for reached, found in counts.items():
        for index in np.flatnonzero(found):
            if (row := of_code.get(int(found[index]))) is not None:
                result[row].add((reached, int(index)))
            elif not reached[0].startswith(OUTPUT):
                return None
    # Nothing but a token, or all of them, reaches every channel at once: no channel of its own does.
    whole = {reached: len(found) for reached, found in counts.items() if len(found) > 1}
    for channels in result.values():
        sizes = Counter(reached for reached, _ in channels)
        if any(sizes[reached] == size for reached, size in whole.items() if not reached[0].startswith(OUTPUT)):
            return None
    return {row: frozenset(channels) for row, channels in result.items()}


@cache
def _codes(count: int) -> Flags:
    """Return one row of flags for each of `count`, each with as many set, and no two alike."""
    length = next(n for n in range(1, 64) if comb(n, n // 2) >= count)
    chosen = islice(combinations(range(length), length // 2), count)
    codes = np.zeros((count, max(length, 1)), bool)
    for row, runs in zip(codes, chosen, strict=True):
        row[[*runs] or [0]] = True
    return codes


def _heads(network: Network, parameter: str, count: int) -> Heads | None:
    """Return the heads of a layer: its rows in equal runs, each of which reaches the channels of one head."""
    size = network.parameters[parameter].shape[0]
    found = (_in_parts(network, parameter, count, size, parts) for parts in (1, 3, 2))
    return next((heads for heads in found if heads is not None), None)


def _in_parts(network: Network, parameter: str, count: int, size: int, parts: int) -> Heads | None:
    """Return the heads if each has so many runs of rows, each all of values or of none."""
    if size % (parts * count):
        return None
    outs: list[frozenset[Node]] = []
    runs = np.split(np.arange(size), parts * count)
    for run in runs:
        out = _channels(network.reached(parameter, 0, run))
        if not out or any(out != other and out & other for other in outs):
            return None
        outs.append(out)
    heads = [*dict.fromkeys(outs)]
    if len(heads) != count or any(outs.count(head) != parts for head in heads):
        return None
    read = {run: _reads(network, parameter, runs[run], heads[0]) for run in range(len(runs)) if outs[run] == heads[0]}
    if None in read.values():
        return None
    order = [*read.values()]
    places = {head: iter(order) for head in heads}
    made = (Part(tuple(map(int, r)), heads.index(o), bool(next(places[o]))) for r, o in zip(runs, outs, strict=True))
    return Heads(parameter, count, tuple(made), tuple(heads))


def _reads(network: Network, parameter: str, run: Ints, out: frozenset[Node]) -> bool | None:
    """Return whether a head's rows come out channel by channel; None if some do."""
    chosen = {int(run[place]) for place in (0, len(run) // 2, -1)}
    alone = {len(run) == 1 or _channels(network.reached(parameter, 0, [row])) != out for row in chosen}
    return alone.pop() if len(alone) == 1 else None
