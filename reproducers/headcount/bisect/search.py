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


def search(history: History, state: Callable[[str], State]) -> tuple[str, ...]:
    """The first bad point, where the last is bad and what is outside is good.

    Each question is the one that halves the suspects best, as git bisect's.

    Args:
        state: asked at most once for each point.

    Returns:
        The culprit; or, where skipped points hide which it is, all suspects.
    """
    index = {point: i for i, point in enumerate(history.points)}
    reach = _reach(history, index)
    suspects = reach[-1]
    skipped = 0
    worst = len(history.points) - 1  # known as bad
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
class Past:
    """What is known of what came before a point.

    Attributes:
        nearest: the last points before it of which something is known, on each line.
        hidden: the skipped ones since.
        unknown: whether a line leads out of the history with nothing known on it.
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
        last: the nearest points before that are known, and are not so.
        merged: the point is a merge, and only one of its lines was otherwise: the other brings the state in.
    """

    point: str
    suspects: tuple[str, ...]
    last: tuple[str, ...]
    merged: bool = False


def pasts(history: History, states: Mapping[str, str]) -> dict[str, Past]:
    """What is known of each point's past, where `State.SKIP` says that nothing is known of a point."""
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
    """The points that may have been so before anything is known of their lines."""
    past = pasts(history, states)
    return [
        point
        for point in history.points
        if states[point] != State.SKIP
        and past[point].unknown
        and not any(states[p] == states[point] for p in past[point].nearest)
    ]


def changes(history: History, states: Mapping[str, str]) -> list[Change]:
    """Every point that is unlike what is known of its past, oldest first.

    A merge that is like one of its lines and unlike another is a change if the first did not become so
    after they parted. A point is no change if nothing is known of one of its lines, and no line is like it.

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
            # Those lines that became so after they parted from the other have told of it already.
            same = [index[c.point] for c in found if states[c.point] == states[point]]
            here = reach[index[point]]
            unlike = {p for p in unlike if not any(here & ~reach[index[p]] & 1 << i for i in same)}
            hidden = frozenset()
        if unlike and (alike or not past[point].unknown):
            order = sorted(hidden, key=index.__getitem__)
            found.append(Change(point, (*order, point), tuple(sorted(unlike, key=index.__getitem__)), bool(alike)))
    return found
