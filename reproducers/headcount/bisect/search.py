"""Where a history changes: a binary search and a scan, as pure functions of a graph and of what is at each point.

A point is a release or a commit, and comes after its parents. The search tests few points and assumes that
what was once bad stays bad. The scan tests all and assumes nothing.
"""

from collections.abc import Callable, Container, Mapping, Sequence
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

    def ordered(self, some: Container[str]) -> tuple[str, ...]:
        """Return some of the points, each after its parents."""
        return tuple(point for point in self.points if point in some)

    def ancestors(self) -> dict[str, frozenset[str]]:
        """Return each point's ancestors, with the point itself."""
        found: dict[str, frozenset[str]] = {}
        for point in self.points:
            found[point] = frozenset({point}).union(*(found[parent] for parent in self.inside(point)))
        return found


def search(history: History, state: Callable[[str], State], sought: State = State.BAD) -> tuple[str, ...]:
    """Return the first point in the state that is searched for, where the last is in it and what is outside is not.

    Each step tests the point that halves the suspects best, as git bisect does.

    Args:
        state: called at most once for each point.
        sought: good or bad.

    Returns:
        The culprit; or, where skipped points hide which it is, all suspects.
    """
    ancestors = history.ancestors()
    known = {history.points[-1]: sought}
    suspects = ancestors[history.points[-1]]
    while untested := history.ordered(suspects - known.keys()):
        middle = max(untested, key=lambda point: min(n := len(ancestors[point] & suspects), len(suspects) - n))
        known[middle] = state(middle)
        if known[middle] is sought:
            suspects &= ancestors[middle]
        elif known[middle] is not State.SKIP:
            suspects -= ancestors[middle]
    return history.ordered(suspects)


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
        skipped = frozenset(p for p in parents if states[p] == State.SKIP)
        found[point] = Past(
            (frozenset(parents) - skipped).union(*(found[p].nearest for p in skipped)),
            skipped.union(*(found[p].hidden for p in skipped)),
            len(parents) < max(len(history.parents[point]), 1) or any(found[p].unknown for p in skipped),
        )
    return found


def beginnings(history: History, states: Mapping[str, str]) -> list[str]:
    """Return the points that may have been so before anything is known of their lines."""
    return [
        point
        for point, past in pasts(history, states).items()
        if states[point] != State.SKIP and past.unknown and not any(states[p] == states[point] for p in past.nearest)
    ]


def changes(history: History, states: Mapping[str, str]) -> list[Change]:
    """Return every point that differs from what is known of its past, oldest first.

    A merge that is like one of its lines and unlike another is a change, unless the first became so after
    they parted. A point is no change if nothing is known of one of its lines and no line is like it.

    Args:
        states: good and bad, or a finer distinction; `State.SKIP` where nothing is known.
    """
    ancestors = history.ancestors()
    found: list[Change] = []
    for point, past in pasts(history, states).items():
        alike = {p for p in past.nearest if states[p] == states[point]}
        # A line that became so after they parted has its own change already.
        same = {c.point for c in found if alike and states[c.point] == states[point]} & ancestors[point]
        unlike = {p for p in past.nearest - alike if same <= ancestors[p]}
        if states[point] != State.SKIP and unlike and (alike or not past.unknown):
            suspects = history.ordered({point} if alike else {point, *past.hidden})
            found.append(Change(point, suspects, history.ordered(unlike), bool(alike)))
    return found
