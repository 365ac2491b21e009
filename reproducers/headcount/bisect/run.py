"""A history searched for a failure: releases, or the commits of a clone; what was asked, and what came of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

from headcount import builds
from headcount.bisect.search import Change, History, State, beginnings, changes, pasts, search
from headcount.builds import RELEASES, Overlay
from headcount.builds.git import Clone, Commit
from headcount.isolation.engine import Engine
from headcount.errors import ExitCode, HeadcountError, UsageError
from headcount.bisect.probe import Answer, Subject
from headcount.oracle.verdict import normalised

#: With fewer distinct builds than this, all are asked: it takes a minute, and is right on any history.
SCANNED_BELOW = 300

#: In more wordings than this, what neighbours say tells no more than their first: a script may print the time.
_WORDINGS = 8

_SWAPPED = "--good names the older end and --bad the newer; with --find fixed, the other way round"


class Find(StrEnum):
    """Which changes are looked for."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    ALL = "all"

    @property
    def after(self) -> tuple[State, ...]:
        """What a point becomes by such a change."""
        return {Find.INTRODUCED: (State.BAD,), Find.FIXED: (State.GOOD,)}.get(self, (State.BAD, State.GOOD))

    @property
    def one(self) -> State:
        """The only one of these.

        Raises:
            UsageError: there are two.
        """
        if self is Find.ALL:
            raise UsageError("a binary search finds one change", "--find introduced or --find fixed, or --scan for all")
        return self.after[0]


class UntestableError(HeadcountError):
    """Nothing can be said: an end of the range, or all of it, cannot be tested."""

    exit_code = ExitCode.INDETERMINATE


@dataclass(frozen=True)
class Span:
    """What is searched.

    Attributes:
        history: from `older` on, the points in question; before it, those that branches of the range begin at.
        keys: point -> what tells its build from others; points with one key are one build.
        titles: point -> what people call it.
        commits: point -> its commit; empty for releases.
        prepare: installs a point's build.
    """

    history: History
    older: str
    keys: Mapping[str, str]
    titles: Mapping[str, str]
    prepare: Callable[[str], Overlay]
    commits: Mapping[str, Commit] = field(default_factory=dict)

    @property
    def newer(self) -> str:
        """The last point."""
        return self.history.points[-1]

    @property
    def points(self) -> tuple[str, ...]:
        """The points in question, the older end first."""
        return self.history.points[self.history.points.index(self.older) :]

    @property
    def boundary(self) -> tuple[str, ...]:
        """Where branches that were merged inside the range begin, before it."""
        return self.history.points[: self.history.points.index(self.older)]


@dataclass(frozen=True)
class Bisection:
    """What a search or a scan came to.

    Attributes:
        find: which changes were looked for.
        asked: point -> the answer; after a scan, of all points.
        changes: oldest first.
        begins: known points that may have become so before anything is known of their lines.
        ends: the last known points, if a change that was looked for may lie after them.
    """

    subject: str
    span: Span
    find: Find
    scanned: bool
    asked: Mapping[str, Answer]
    changes: tuple[Change, ...]
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """The points in question of which something can be told, oldest first."""
        return tuple(p for p in self.span.points if p in self.asked and self.asked[p].state is not State.SKIP)

    @property
    def exit_code(self) -> ExitCode:
        """Indeterminate where a change that was looked for is hidden, or may be."""
        hidden = any(len(change.suspects) > 1 for change in self.changes)
        return ExitCode.INDETERMINATE if hidden or self.begins or self.ends else ExitCode.CLEAN


def releases(older: str = RELEASES[0], newer: str = RELEASES[-1]) -> Span:
    """The releases from one to another.

    Raises:
        UsageError: one is no release with head pruning, or they are swapped or equal.
    """
    for name in (older, newer):
        if name not in RELEASES:
            plain = name.removeprefix("v")
            hint = f"they are {RELEASES[0]} to {RELEASES[-1]}; a commit, tag or branch needs --repo CLONE"
            raise UsageError(f"{name} is no release with head pruning", f"{plain} is" if plain in RELEASES else hint)
    first, last = RELEASES.index(older), RELEASES.index(newer)
    if first == last:
        raise UsageError(f"both ends are {older}", "name two")
    if first > last:
        raise UsageError(f"{older} is not older than {newer}", _SWAPPED)
    points = RELEASES[first : last + 1]
    same = {release: release for release in points}
    return Span(History.line(points), older, same, same, lambda release: builds.prepare(builds.parse(release)))


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
            raise UsageError(f"{older} is newer than {newer}", _SWAPPED)
        raise UsageError(f"{older} is not an ancestor of {newer}", "git merge-base finds one that is")
    inside = (start, *clone.commits(start.sha, end.sha, first_parent=first_parent))
    if first_parent and inside[1].parents[0] != start.sha:
        raise UsageError(f"{older} is not on the line of {newer}'s first parents", "leave out --first-parent")
    boundary = () if first_parent else clone.boundary(inside[1:])
    found = {commit.sha: commit for commit in (*(c for c in boundary if c.sha != start.sha), *inside)}
    parents = {sha: commit.parents[:1] if first_parent else commit.parents for sha, commit in found.items()}
    outside = {commit.sha: () for commit in (*boundary, start)}
    # The tree alone is not enough: what a version never promised is not asked of it.
    keys = {sha: f"{commit.tree} {commit.version}" for sha, commit in found.items()}
    titles = {sha: commit.short for sha, commit in found.items()}
    titles |= {c.sha: f"{ref} ({c.short})" for ref, c in ((older, start), (newer, end)) if not c.sha.startswith(ref)}

    def prepare(point: str) -> Overlay:
        commit = found[point]
        return builds.prepare_tree(clone.path, commit.tree, commit.version, commit.short)

    return Span(History(tuple(found), {**parents, **outside}), start.sha, keys, titles, prepare, found)


class Prober:
    """Asks each build once, however many points have it."""

    def __init__(
        self,
        engine: Engine,
        subject: Subject,
        span: Span,
        tell: Callable[[str, Answer | None], None],
        known: Mapping[str, Answer] | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            tell: called with the title of each build before it is asked, and again with its answer after.
            known: point -> what its build has said before.
        """
        self._engine = engine
        self._subject = subject
        self._span = span
        self._tell = tell
        self._known = {span.keys[point]: answer for point, answer in (known or {}).items()}
        self.asked: dict[str, Answer] = {}

    def ask(self, point: str) -> Answer:
        """What the build of a point says."""
        key = self._span.keys[point]
        if key not in self._known:
            self._tell(self._span.titles[point], None)
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
                f"{title} should be {wanted} for {subject.name}, and is {answer.state}: {answer.what}",
                "name other ends, or none: then all changes are told; with --find fixed the bad one is the older",
            )


def scan(prober: Prober, subject: Subject, span: Span, find: Find) -> Bisection:
    """Ask every point, and find every change.

    Raises:
        UntestableError: nothing in the range can be tested.
    """
    for point in (*span.points, *span.boundary):
        prober.ask(point)
    asked = prober.asked
    if all(asked[point].state is State.SKIP for point in span.points):
        reasons = sorted({asked[point].what for point in span.points})
        raise UntestableError(f"nothing in the range can be tested for {subject.name}: {'; '.join(reasons[:3])}")
    if all(asked[point].doubtful for point in span.points if asked[point].state is not State.SKIP):
        raise UntestableError(
            f"{subject.name} fails on every build, and never inside torch_pruning: {asked[span.newer].what}",
            "it may be at fault itself; if it is not, let it catch the exception and exit with 1",
        )
    states = {p: State.SKIP if answer.state is State.SKIP else answer.label for p, answer in asked.items()}
    found = [
        change
        for change in changes(span.history, states)
        # A line of before the range that a merge leaves behind was never a part of it.
        if asked[change.point].state in find.after
        and not (change.merged and states[change.point] == State.GOOD and set(change.last) <= set(span.boundary))
    ]
    given = {span.older, *span.boundary}  # what was before these, no one has asked
    begins = [p for p in beginnings(span.history, states) if p not in given and asked[p].state in find.after]
    last = pasts(span.history, states)[span.newer].nearest if states[span.newer] == State.SKIP else ()
    ends = [p for p in span.points if p in last and asked[p].state.opposite in find.after]
    return Bisection(subject.name, span, find, True, asked, tuple(found), tuple(begins), tuple(ends))  # noqa: FBT003 - a field


def seek(prober: Prober, subject: Subject, span: Span, find: Find) -> Bisection:
    """Find one change by halving, after both ends are verified; what is before a good end is taken for good.

    Raises:
        UsageError: an end is not what it is said to be, or `find` is all.
        UntestableError: an end cannot be tested.
    """
    after = find.one
    verify(prober, subject, span, {span.older: after.opposite, span.newer: after})
    inside = {point: span.history.parents[point] for point in span.points[1:]}

    def state(point: str) -> State:
        found = prober.ask(point).state
        return found if after is State.BAD else found.opposite

    suspects = search(History(span.points[1:], inside), state)
    before = tuple(dict.fromkeys(p for point in suspects for p in span.history.parents[point] if p not in suspects))
    for point in before:
        if prober.ask(point).state is after:
            raise UntestableError(
                f"{span.titles[point]} is {after} already, and {span.titles[suspects[-1]]} was made on top of it",
                "that is not the history of one change: --scan finds all",
            )
    skipped = tuple(p for p in before if prober.ask(p).state is State.SKIP)
    change = Change(suspects[-1], (*skipped, *suspects), before)
    return Bisection(subject.name, span, find, False, prober.asked, (change,))  # noqa: FBT003 - a field


def distinct(span: Span) -> int:
    """How many builds there are to ask."""
    return len(set(span.keys.values()))


def runs(bisection: Bisection) -> list[tuple[str, str, Answer]]:
    """What was asked, in the order of the history; neighbours that say the same as one: first, last, answer.

    What counts as the same may be said in words that differ; where they do so time and again, the first stand for all.
    """
    asked = bisection.asked

    def split(points: Iterable[str], key: Callable[[Answer], object]) -> list[list[str]]:
        return [list(same) for _, same in groupby(points, lambda p: key(asked[p]) if p in asked else None)]

    found = []
    for alike in split(bisection.span.points, lambda said: (said.state, said.label)):
        if alike[0] in asked:
            verbatim = split(alike, lambda said: said.what)
            parts = verbatim if len(verbatim) <= _WORDINGS else split(alike, lambda said: normalised(said.what))
            found += [(part[0], part[-1], _in_short([asked[point] for point in part])) for part in parts]
    return found


def _in_short(alike: Sequence[Answer]) -> Answer:
    others = len({answer.what for answer in alike}) - 1
    return replace(alike[0], what=f"{alike[0].what} (and {others} other wordings)") if others else alike[0]
