"""Where a history changes: a binary search and a scan, as pure functions of a graph and of what is at each point.

A point is a release or a commit, and comes after its parents. The search tests few points and assumes that
what was once bad stays bad. The scan tests all and assumes nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a point is, for the failure that is searched for."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"  # unknown: it fails in another way, or cannot be tested

    @property
    def opposite(self) -> "State":
        """Return good for bad, bad for good."""
        return {State.GOOD: State.BAD, State.BAD: State.GOOD}.get(self, self)


@dataclass(frozen=True)
class History:
    """Points, each after its parents. Parents that are no points stand for the older end."""

    points: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]

    @classmethod
    def line(cls, points: Sequence[str]) -> "History":
        """Return points of which each has the one before as its parent."""
        return cls(tuple(points), {p: (points[i - 1],) if i else () for i, p in enumerate(points)})

    def inside(self, point: str) -> tuple[str, ...]:
        """Return a point's parents, without those outside."""
        return tuple(parent for parent in self.parents[point] if parent in self.parents)


def search(history: History, state: Callable[[str], State]) -> tuple[str, ...]:
    """Return the first bad point, where the last is bad and what is outside is good.

    Each step tests the point that halves the suspects best, as git bisect does.

    Args:
        state: called at most once for each point.

    Returns:
        The culprit; or, where skipped points hide which it is, all suspects.
    """
    index = {point: i for i, point in enumerate(history.points)}
    reach = _reach(history, index)
    suspects = reach[-1]
    skipped = 0
    worst = len(history.points) - 1  # known to be bad
    while True:
        open_ = [i for i in _bits(suspects & ~skipped) if i != worst]
        if not open_:
            return tuple(history.points[i] for i in _bits(suspects))
        total = suspects.bit_count()
        middle = max(open_, key=lambda i: (min(n := (reach[i] & suspects).bit_count(), total - n), -i))
        match state(history.points[middle]):
            case State.BAD:
                worst, suspects = middle, suspects & reach[middle]
            case State.GOOD:
                suspects &= ~reach[middle]
            case State.SKIP:
                skipped |= 1 << middle


def _reach(history: History, index: Mapping[str, int]) -> list[int]:
    """Return, for each point, itself and its ancestors, as a set of bits."""
    reach: list[int] = []
    for i, point in enumerate(history.points):
        bits = 1 << i
        for parent in history.inside(point):
            bits |= reach[index[parent]]
        reach.append(bits)
    return reach


def _bits(number: int) -> Iterable[int]:
    return (place for place in range(number.bit_length()) if number >> place & 1)


@dataclass(frozen=True)
class Past:
    """What is known of what came before a point.

    Attributes:
        nearest: on each line, the last known point before it.
        hidden: the skipped points since.
        unknown: whether a line leads out of the history without a known point.
    """

    nearest: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    unknown: bool = False


@dataclass(frozen=True)
class Change:
    """Where a state becomes another.

    Attributes:
        point: the first that is known to be so.
        suspects: `point`, and the skipped ones before it that may already be so.
        last: the nearest known points before, which are not so.
        merged: the point is a merge of a line that was so and one that was not.
    """

    point: str
    suspects: tuple[str, ...]
    last: tuple[str, ...]
    merged: bool = False


def pasts(history: History, states: Mapping[str, str]) -> dict[str, Past]:
    """Return what is known of each point's past. Nothing is known of a point whose state is `State.SKIP`."""
    found: dict[str, Past] = {}
    for point in history.points:
        parents = history.inside(point)
        past = [found[p] if states[p] == State.SKIP else Past(frozenset({p})) for p in parents]
        skipped = {p for p in parents if states[p] == State.SKIP}
        found[point] = Past(
            frozenset().union(*(p.nearest for p in past)),
            frozenset(skipped).union(*(p.hidden for p in past)),
            len(parents) < max(len(history.parents[point]), 1) or any(p.unknown for p in past),
        )
    return found


def beginnings(history: History, states: Mapping[str, str]) -> list[str]:
    """Return the points that may have been so before anything is known of their lines."""
    past = pasts(history, states)
    return [
        point
        for point in history.points
        if states[point] != State.SKIP
        and past[point].unknown
        and not any(states[p] == states[point] for p in past[point].nearest)
    ]


def changes(history: History, states: Mapping[str, str]) -> list[Change]:
    """Return every point that differs from what is known of its past, oldest first.

    A merge that is like one of its lines and unlike another is a change, unless the first became so after
    they parted. A point is no change if nothing is known of one of its lines and no line is like it.

    Args:
        states: good and bad, or a finer distinction; `State.SKIP` where nothing is known.
    """
    index = {point: i for i, point in enumerate(history.points)}
    reach = _reach(history, index)
    past = pasts(history, states)
    found: list[Change] = []
    for point in history.points:
        if states[point] == State.SKIP:
            continue
        nearest, hidden = past[point].nearest, past[point].hidden
        alike = {p for p in nearest if states[p] == states[point]}
        unlike = set(nearest - alike)
        if alike:
            # A line that became so after they parted has its own change already.
            same = [index[c.point] for c in found if states[c.point] == states[point]]
            here = reach[index[point]]
            unlike = {p for p in unlike if not any(here & ~reach[index[p]] & 1 << i for i in same)}
            hidden = frozenset()
        if unlike and (alike or not past[point].unknown):
            order = sorted(hidden, key=index.__getitem__)
            found.append(Change(point, (*order, point), tuple(sorted(unlike, key=index.__getitem__)), bool(alike)))
    return found
