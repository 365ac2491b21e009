"""A history searched for a failure: releases, or the commits of a clone; what was asked, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headcount import builds
from headcount.bisector import Change, History, State, changes, search
from headcount.builds import RELEASES, Overlay
from headcount.clones import Clone, Commit
from headcount.engine import Engine
from headcount.errors import ExitCode, HeadcountError, UsageError
from headcount.probing import Answer, Subject

#: With fewer distinct builds than this, all are asked: it takes a minute, and is right on any history.
SCANNED_BELOW = 300


class Find(StrEnum):
    """Which changes are looked for."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    ALL = "all"

    @property
    def after(self) -> tuple[State, ...]:
        """What a point becomes by such a change."""
        return {Find.INTRODUCED: (State.BAD,), Find.FIXED: (State.GOOD,)}.get(self, (State.BAD, State.GOOD))


class UntestableError(HeadcountError):
    """Nothing can be said: an end of the range, or all of it, cannot be tested."""

    exit_code = ExitCode.INDETERMINATE


@dataclass(frozen=True)
class Span:
    """What is searched: points in order, the first of them the older end.

    Attributes:
        keys: point -> what tells its build from others; points with one key are one build.
        titles: point -> what people call it.
        commits: point -> its commit; empty for releases.
        prepare: installs a point's build.
    """

    history: History
    keys: Mapping[str, str]
    titles: Mapping[str, str]
    prepare: Callable[[str], Overlay]
    commits: Mapping[str, Commit] = field(default_factory=dict)

    @property
    def older(self) -> str:
        """The first point."""
        return self.history.points[0]

    @property
    def newer(self) -> str:
        """The last point."""
        return self.history.points[-1]


@dataclass(frozen=True)
class Bisection:
    """What a search or a scan came to.

    Attributes:
        asked: point -> the answer; after a scan, of all points.
        changes: oldest first.
    """

    subject: str
    span: Span
    scanned: bool
    asked: Mapping[str, Answer]
    changes: tuple[Change, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Indeterminate where skipped points hide which one it was, or where none could be tested."""
        known = any(answer.state is not State.SKIP for answer in self.asked.values())
        hidden = any(len(change.suspects) > 1 for change in self.changes)
        return ExitCode.CLEAN if known and not hidden else ExitCode.INDETERMINATE


def releases(older: str = RELEASES[0], newer: str = RELEASES[-1]) -> Span:
    """The releases from one to another.

    Raises:
        UsageError: one is no release with head pruning, or they are swapped or equal.
    """
    for name in (older, newer):
        if name not in RELEASES:
            raise UsageError(f"{name} is no release with head pruning", f"they are {RELEASES[0]} to {RELEASES[-1]}")
    first, last = RELEASES.index(older), RELEASES.index(newer)
    if first >= last:
        raise UsageError(f"{older} is not older than {newer}", "swap them, or look for the other kind with --find")
    points = RELEASES[first : last + 1]
    same = {release: release for release in points}
    return Span(History.line(points), same, same, lambda release: builds.prepare(builds.parse(release)))


def commits(clone: Clone, older: str, newer: str, *, first_parent: bool = False) -> Span:
    """The commits of a clone from one ref to another, both included.

    Raises:
        UsageError: a ref does not exist, or the one is not an ancestor of the other.
    """
    start, end = clone.commit(older), clone.commit(newer)
    if start.sha == end.sha:
        raise UsageError(f"{older} and {newer} are the same commit", "name two ends")
    if not clone.is_ancestor(start.sha, end.sha):
        if clone.is_ancestor(end.sha, start.sha):
            raise UsageError(f"{older} is newer than {newer}", "swap them, or look for the other kind with --find")
        raise UsageError(f"{older} is not an ancestor of {newer}", "git merge-base finds one that is")
    found = {commit.sha: commit for commit in (start, *clone.commits(start.sha, end.sha, first_parent=first_parent))}
    parents = {sha: commit.parents[:1] if first_parent else commit.parents for sha, commit in found.items()}

    def prepare(point: str) -> Overlay:
        commit = found[point]
        return builds.prepare_tree(clone.path, commit.tree, clone.version(commit), commit.short)

    return Span(
        History(tuple(found), {**parents, start.sha: ()}),
        {sha: commit.tree for sha, commit in found.items()},
        {sha: commit.short for sha, commit in found.items()},
        prepare,
        found,
    )


class Prober:
    """Asks each build once, however many points have it."""

    def __init__(self, engine: Engine, subject: Subject, span: Span, tell: Callable[[str, Answer], None]) -> None:
        """Ask nothing yet; `tell` is called with the title and the answer of each build that is asked."""
        self._engine = engine
        self._subject = subject
        self._span = span
        self._tell = tell
        self._known: dict[str, Answer] = {}
        self.asked: dict[str, Answer] = {}

    def ask(self, point: str) -> Answer:
        """What the build of a point says."""
        key = self._span.keys[point]
        if key not in self._known:
            self._known[key] = self._fresh(point)
            self._tell(self._span.titles[point], self._known[key])
        self.asked[point] = self._known[key]
        return self.asked[point]

    def _fresh(self, point: str) -> Answer:
        try:
            return self._subject.ask(self._engine, self._span.prepare(point))
        except UsageError as error:
            # No package there, or one that does not install: no reason to end a search.
            return Answer(State.SKIP, f"untestable: {error.problem}", "untestable")


def verify(prober: Prober, subject: Subject, span: Span, ends: Mapping[str, State]) -> None:
    """Ask the ends first: what is said of them must be so.

    Raises:
        UsageError: an end is not what it is said to be.
        UntestableError: an end cannot be tested.
    """
    for point, wanted in ends.items():
        answer, title = prober.ask(point), span.titles[point]
        if answer.state is State.SKIP:
            raise UntestableError(f"{title} cannot be an end: {answer.what}", "name one that can be tested")
        if answer.state is not wanted:
            raise UsageError(
                f"{title} is {answer.state}, not {wanted}, for {subject.name}: {answer.what}",
                "are the ends swapped, or is it --find fixed?",
            )


def scan(prober: Prober, subject: Subject, span: Span, find: Find) -> Bisection:
    """Ask every point, and find every change.

    Raises:
        UntestableError: nothing in the range can be tested.
    """
    for point in span.history.points:
        prober.ask(point)
    states = {point: answer.state for point, answer in prober.asked.items()}
    if set(states.values()) == {State.SKIP}:
        reasons = sorted({answer.what for answer in prober.asked.values()})
        raise UntestableError(f"nothing in the range can be tested for {subject.name}: {'; '.join(reasons[:3])}")
    found = [c for c in changes(span.history, states, State.SKIP) if c.after in find.after]
    return Bisection(subject.name, span, True, prober.asked, tuple(found))  # noqa: FBT003 - a field


def seek(prober: Prober, subject: Subject, span: Span, find: Find) -> Bisection:
    """Find one change by halving, after both ends are verified.

    Raises:
        UsageError: an end is not what it is said to be, or `find` is all.
        UntestableError: an end cannot be tested.
    """
    if find is Find.ALL:
        raise UsageError("a binary search finds one change", "--find introduced or --find fixed, or --scan for all")
    (after,) = find.after
    verify(prober, subject, span, {span.older: after.opposite, span.newer: after})
    inside = {point: span.history.parents[point] for point in span.history.points[1:]}

    def state(point: str) -> State:
        found = prober.ask(point).state
        return found if after is State.BAD else found.opposite

    found = search(History(span.history.points[1:], inside), state)
    change = Change(found.suspects[-1], after, found.suspects, ())
    return Bisection(subject.name, span, False, prober.asked, (change,))  # noqa: FBT003 - a field


def distinct(span: Span) -> int:
    """How many builds there are to ask."""
    return len(set(span.keys.values()))


def runs(bisection: Bisection) -> list[tuple[str, str, Answer]]:
    """What was asked, in the order of the history; neighbours that say the same as one: first, last, answer."""
    joined: list[tuple[str, str, Answer]] = []
    for point in bisection.span.history.points:
        answer = bisection.asked.get(point)
        if answer is None:
            continue
        if joined and (joined[-1][2].state, joined[-1][2].label) == (answer.state, answer.label):
            joined[-1] = (joined[-1][0], point, joined[-1][2])
        else:
            joined.append((point, point, answer))
    return joined
