"""Search a history for a failure: the releases, or the commits of a clone."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

from headcount import builds, errors, isolation, observation, oracle
from headcount.bisect.probe import Answer, Subject
from headcount.bisect.search import Change, History, State, beginnings, changes, pasts, search

#: With fewer distinct builds than this, all are tested: it takes a minute, and is right on any history.
SCANNED_BELOW = 300

#: If neighbours that are the same say it in more ways than this, the first speaks for all: a script may print the time.
_WORDINGS = 8

_SWAPPED = "--good names the older end and --bad the newer; with --find fixed, the other way round"


class Find(StrEnum):
    """Which changes are searched for."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    ALL = "all"


#: What a point becomes by such a change.
_AFTER = {Find.INTRODUCED: (State.BAD,), Find.FIXED: (State.GOOD,), Find.ALL: (State.BAD, State.GOOD)}


class UntestableError(errors.HeadcountError):
    """Nothing can be said: an end of the range, or all of it, cannot be tested."""

    exit_code = errors.ExitCode.INDETERMINATE


@dataclass(frozen=True)
class Span:
    """What is searched.

    Attributes:
        history: all points: the boundary, then the range.
        points: those of the range, the older end first.
        boundary: those before the range at which branches begin that were merged inside it.
        keys: point -> the key of its build; points with one key have the same build.
        titles: point -> its name in reports.
        prepare: installs a point's build.
        commits: point -> its commit; empty for releases.
    """

    history: History
    points: tuple[str, ...]
    boundary: tuple[str, ...]
    keys: Mapping[str, str]
    titles: Mapping[str, str]
    prepare: Callable[[str], builds.Overlay]
    commits: Mapping[str, builds.Commit] = field(default_factory=dict)

    @property
    def distinct_builds(self) -> int:
        """How many distinct builds there are."""
        return len(set(self.keys.values()))


@dataclass(frozen=True)
class Bisection:
    """The result of a search or a scan.

    Attributes:
        subject: the name of what was searched for.
        answers: point -> its build's answer; after a scan, of all points.
        changes: oldest first.
        begins: known points that may have become so before anything is known of their lines.
        ends: the last known points, if a change that was searched for may lie after them.
    """

    subject: str
    span: Span
    answers: Mapping[str, Answer]
    changes: Sequence[Change]
    begins: Sequence[str] = ()
    ends: Sequence[str] = ()
    scanned: bool = False

    @property
    def exit_code(self) -> errors.ExitCode:
        """Indeterminate where a change that was searched for is hidden, or may be."""
        hidden = any(len(change.suspects) > 1 for change in self.changes)
        return errors.ExitCode.INDETERMINATE if hidden or self.begins or self.ends else errors.ExitCode.CLEAN


def releases(older: str = "", newer: str = "") -> Span:
    """Return the releases from one to another; from the first, or to the newest that the index has, if not given.

    Raises:
        UsageError: one is no release with head pruning, or they are swapped or equal.
    """
    known = builds.released().all
    older, newer = older or known[0], newer or known[-1]
    for name in (older, newer):
        if name not in known:
            hint = f"they are {known[0]} to {known[-1]}; a commit, tag or branch needs --repo CLONE"
            plain = name.removeprefix("v")
            raise errors.UsageError(
                f"{name} is no release with head pruning", f"{plain} is" if plain in known else hint
            )
    if older == newer:
        raise errors.UsageError(f"both ends are {older}", "name two")
    points = known[known.index(older) : known.index(newer) + 1]
    if not points:
        raise errors.UsageError(f"{older} is not older than {newer}", _SWAPPED)
    same = {release: release for release in points}
    return Span(History.line(points), points, (), same, same, lambda release: builds.prepare(builds.parse(release)))


def commits(clone: builds.Clone, older: str, newer: str, *, first_parent: bool = False) -> Span:
    """Return the commits of a clone from one ref to another, both included.

    Raises:
        UsageError: a ref does not exist, or the one is not an ancestor of the other.
    """
    start, end = clone.commit(older), clone.commit(newer)
    for is_wrong, problem, hint in (
        (start.sha == end.sha, f"{older} and {newer} are the same commit", "name two ends"),
        (clone.is_ancestor(end.sha, start.sha), f"{older} is newer than {newer}", _SWAPPED),
        (
            not clone.is_ancestor(start.sha, end.sha),
            f"{older} is not an ancestor of {newer}",
            "git merge-base finds one that is",
        ),
    ):
        if is_wrong:
            raise errors.UsageError(problem, hint)
    inside = (start, *clone.commits(start.sha, end.sha, first_parent=first_parent))
    if first_parent and inside[1].parents[0] != start.sha:
        raise errors.UsageError(f"{older} is not on the line of {newer}'s first parents", "leave out --first-parent")
    before = [] if first_parent else [commit for commit in clone.boundary(inside[1:]) if commit.sha != start.sha]
    found = {commit.sha: commit for commit in (*before, *inside)}
    starts = {commit.sha: () for commit in (*before, start)}
    parents = {commit.sha: commit.parents[:1] if first_parent else commit.parents for commit in inside[1:]}
    titles = {sha: commit.short for sha, commit in found.items()} | {
        c.sha: f"{ref} ({c.short})" for ref, c in ((older, start), (newer, end)) if not c.sha.startswith(ref)
    }
    return Span(
        History(tuple(found), {**starts, **parents}),
        tuple(commit.sha for commit in inside),
        tuple(commit.sha for commit in before),
        # The tree alone is not enough: a build is not given what its version never promised.
        {sha: f"{commit.tree} {commit.version}" for sha, commit in found.items()},
        titles,
        lambda sha: builds.prepare_tree(clone.path, found[sha].tree, found[sha].version, found[sha].short),
        found,
    )


@dataclass
class Prober:
    """Tests each build once, however many points have it.

    Attributes:
        report: called with the title of each build before it is tested, and again with its answer.
        known: key of a build -> its answer.
        answers: point -> its build's answer.
    """

    engine: isolation.Engine
    subject: Subject
    span: Span
    report: Callable[[str, Answer | None], None] = lambda _title, _answer: None
    known: dict[str, Answer] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)

    def answer(self, point: str) -> Answer:
        """Return the answer of a point's build."""
        key, title = self.span.keys[point], self.span.titles[point]
        if key not in self.known:
            self.report(title, None)
            try:
                self.known[key] = self.subject.answer(self.engine, self.span.prepare(point))
            except errors.UsageError as error:  # no package, or one that does not install: no reason to end a search
                self.known[key] = Answer(
                    State.SKIP,
                    oracle.Kind.UNTESTABLE,
                    oracle.Verdict(oracle.Kind.UNTESTABLE, ending=observation.Ending.NOT_RUN, detail=error.problem),
                )
            self.report(title, self.known[key])
        return self.answers.setdefault(point, self.known[key])

    def narrow(self, answer: Answer) -> None:
        """Search for the failure of a bad answer alone, and skip all others."""
        if answer.state is State.BAD:
            self.subject = replace(self.subject, sought=answer.label)


def verify(prober: Prober, ends: Mapping[str, State]) -> None:
    """Test the ends first.

    Raises:
        UsageError: an end is not what it is said to be.
        UntestableError: an end cannot be tested.
    """
    for point, wanted in ends.items():
        answer, title = prober.answer(point), prober.span.titles[point]
        if answer.state is State.SKIP:
            raise UntestableError(f"{title} cannot be an end: {answer.what}", "name one that can be tested")
        if answer.state is not wanted:
            raise errors.UsageError(
                f"{title} should be {wanted} for {prober.subject.name}, and is {answer.state}: {answer.what}",
                "name other ends, or none to see all changes; with --find fixed the bad one is the older",
            )


def last_good(prober: Prober) -> str:
    """Look for a good point before the newer end. Each try goes back twice as far.

    Raises:
        UntestableError: none of these is good.
    """
    points = prober.span.points
    backs = [min(1 << power, len(points) - 1) for power in range(len(points).bit_length() + 1)]
    for back in dict.fromkeys(backs):
        if prober.answer(points[-1 - back]).state is State.GOOD:
            return points[-1 - back]
    first, last = (prober.span.titles[points[end]] for end in (0, -1))
    raise UntestableError(
        f"{prober.subject.name} is good nowhere that was looked at, from {last} back to {first}",
        "it may never have been good; --scan tests all, --good names an end",
    )


def scan(prober: Prober, find: Find) -> Bisection:
    """Test every point, and find every change.

    Raises:
        UntestableError: nothing in the range can be tested.
    """
    span, answers, name = prober.span, prober.answers, prober.subject.name
    after = _AFTER[find]
    tested = [prober.answer(point) for point in (*span.points, *span.boundary)][: len(span.points)]
    telling = [answer for answer in tested if answer.state is not State.SKIP]
    if not telling:
        reasons = "; ".join(sorted({answer.what for answer in tested})[:3])
        raise UntestableError(f"nothing in the range can be tested for {name}: {reasons}")
    if all(answer.doubtful for answer in telling):
        raise UntestableError(
            f"{name} fails on every build, and never inside torch_pruning: {tested[-1].what}",
            "it may be at fault itself: headcount check FILE says what the pruner left; or let it exit with 1",
        )
    states = {point: State.SKIP if a.state is State.SKIP else a.label for point, a in answers.items()}
    found = [
        change
        for change in changes(span.history, states)
        # A line from before the range that a merge leaves behind was never a part of it.
        if answers[change.point].state in after
        and not (change.merged and states[change.point] == State.GOOD and set(change.last) <= set(span.boundary))
    ]
    # Branches of a history stand one after the other, though they grew side by side.
    found.sort(key=lambda change: span.commits[change.point].date if span.commits else "")
    begins = [
        point
        for point in beginnings(span.history, states)
        # What was before these is out of range.
        if point not in (span.points[0], *span.boundary) and answers[point].state in after
    ]
    last = pasts(span.history, states)[span.points[-1]].nearest if states[span.points[-1]] == State.SKIP else ()
    ends = [point for point in span.points if point in last and answers[point].state.opposite in after]
    return Bisection(name, span, answers, found, begins, ends, scanned=True)


def seek(prober: Prober, find: Find) -> Bisection:
    """Find one change by halving, after both ends are verified. What is before a good end is taken for good.

    Args:
        find: not all.

    Raises:
        UsageError: an end is not what it is said to be.
        UntestableError: an end cannot be tested, or there is more than one change.
    """
    span = prober.span
    (after,) = _AFTER[find]
    verify(prober, {span.points[0]: after.opposite, span.points[-1]: after})
    inside = History(span.points[1:], {point: span.history.parents[point] for point in span.points[1:]})
    suspects = search(inside, lambda point: prober.answer(point).state, after)
    before = tuple(dict.fromkeys(p for point in suspects for p in span.history.parents[point] if p not in suspects))
    for point in before:
        if prober.answer(point).state is after:
            raise UntestableError(
                f"{span.titles[point]} is {after} already, and {span.titles[suspects[-1]]} was made on top of it",
                "that is not the history of one change: --scan finds all",
            )
    skipped = [p for p in before if prober.answer(p).state is State.SKIP]
    return Bisection(prober.subject.name, span, prober.answers, [Change(suspects[-1], (*skipped, *suspects), before)])


def runs(bisection: Bisection) -> list[list[str]]:
    """Return the points that were tested, in the order of the history: neighbours that are reported as one together."""
    answers = bisection.answers

    def split(points: Iterable[str], key: Callable[[Answer], Hashable]) -> list[list[str]]:
        return [list(same) for _, same in groupby(points, lambda p: key(answers[p]) if p in answers else None)]

    found: list[list[str]] = []
    for same in split(bisection.span.points, lambda answer: (answer.state, answer.label)):
        parts = split(same, lambda answer: answer.likeness(roughly=False))
        found += parts if len(parts) <= _WORDINGS else split(same, lambda answer: answer.likeness(roughly=True))
    return [run for run in found if run[0] in answers]
