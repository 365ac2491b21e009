"""Where a history changes: a binary search and a scan, as pure functions of a graph and of what is at each point.

A point is a release or a commit, and comes after its parents. The search asks few points and believes that
what was once bad stays bad; the scan asks all, and believes nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a point is for the failure that is looked for."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"  # nothing can be said: it fails in another way, or not at all to be tested

    @property
    def opposite(self) -> "State":
        """Good for bad, bad for good."""
        return {State.GOOD: State.BAD, State.BAD: State.GOOD}.get(self, self)


@dataclass(frozen=True)
class History:
    """Points in an order in which each comes after its parents; parents outside count as the older end."""

    points: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]

    @classmethod
    def line(cls, points: Sequence[str]) -> "History":
        """One after the other."""
        return cls(tuple(points), {p: (points[i - 1],) if i else () for i, p in enumerate(points)})

    def inside(self, point: str) -> tuple[str, ...]:
        """A point's parents, without those outside."""
        return tuple(parent for parent in self.parents[point] if parent in self.parents)


@dataclass(frozen=True)
class Found:
    """What a search came to: one culprit, or several suspects where skipped points hide which it is."""

    suspects: tuple[str, ...]
    asked: tuple[str, ...]

    @property
    def culprit(self) -> str | None:
        """The one, if it is known."""
        return self.suspects[0] if len(self.suspects) == 1 else None


def search(history: History, state: Callable[[str], State]) -> Found:
    """The first bad point, where the last is bad and what is outside is good.

    Each question is the one that halves the suspects best, as git bisect's.

    Args:
        state: asked at most once for each point.
    """
    index = {point: i for i, point in enumerate(history.points)}
    reach = _reach(history, index)
    suspects = reach[-1]
    asked: list[str] = []
    skipped = 0
    worst = len(history.points) - 1  # known as bad
    while True:
        open_ = [i for i in _bits(suspects & ~skipped) if i != worst]
        if not open_:
            left = [history.points[i] for i in _bits(suspects)]
            return Found(tuple(left), tuple(asked))
        total = suspects.bit_count()
        middle = max(open_, key=lambda i: (min(n := (reach[i] & suspects).bit_count(), total - n), -i))
        point = history.points[middle]
        asked.append(point)
        match state(point):
            case State.BAD:
                worst, suspects = middle, suspects & reach[middle]
            case State.GOOD:
                suspects &= ~reach[middle]
            case State.SKIP:
                skipped |= 1 << middle


def _reach(history: History, index: Mapping[str, int]) -> list[int]:
    """For each point, itself and its ancestors, as a set of bits."""
    reach: list[int] = []
    for i, point in enumerate(history.points):
        bits = 1 << i
        for parent in history.inside(point):
            bits |= reach[index[parent]]
        reach.append(bits)
    return reach


def _bits(number: int) -> Iterable[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


@dataclass(frozen=True)
class Change:
    """Where a state becomes another.

    Attributes:
        point: the first that is known to be so.
        suspects: `point`, and the skipped ones before it that may already be so.
        last: the nearest points before that are known, and are not so.
    """

    point: str
    suspects: tuple[str, ...]
    last: tuple[str, ...]


def changes(history: History, states: Mapping[str, str], before: str = State.GOOD) -> list[Change]:
    """Every point at which all that is known of its past is unlike it, oldest first.

    Args:
        states: good and bad, or a finer distinction; `State.SKIP` where nothing is known.
        before: the state of what is outside.
    """
    known: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    found = []
    for point in history.points:
        nearest: set[str] = set()
        hidden: set[str] = set()
        outside = len(history.inside(point)) < len(history.parents[point]) or not history.parents[point]
        for parent in history.inside(point):
            if states[parent] == State.SKIP:
                nearest |= known[parent][0]
                hidden |= known[parent][1] | {parent}
            else:
                nearest.add(parent)
        if outside:
            nearest.add("")
        known[point] = (frozenset(nearest), frozenset(hidden))
        past = {before if name == "" else states[name] for name in nearest}
        if not past & {State.SKIP, states[point]} and states[point] != State.SKIP:
            order = [p for p in history.points if p in hidden]
            found.append(Change(point, (*order, point), tuple(sorted(nearest - {""}))))
    return found
