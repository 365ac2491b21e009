"""Is a candidate fit for release? What got worse, better or different against a base, from the rows of both.

This is a pure function of results, so that the shards of several machines give the verdict that one would have given.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from operator import attrgetter

from headcount import errors, matrix, observation, oracle, results
from headcount.gate.exercise import Exercised, Fate
from headcount.matrix.cells import known_cells


class Change(StrEnum):
    """What became of a cell, the worst first."""

    REGRESSED = "regressed"  # it was fine, or failed in fewer ways
    FLAKY = "flaky"  # one of the two failed, and did not again in a fresh process
    INDETERMINATE = "indeterminate"  # one of the two cannot be tested, or was not run
    CHANGED = "changed"  # both fine or both failing, and not in the same way
    FIXED = "fixed"
    STILL_FAILING = "still failing"
    STILL_OK = "still ok"
    NOT_COMPARED = "not compared"  # the base never promised such a parameter, or it is meant to go


@dataclass(frozen=True)
class Difference:
    """One cell on both builds; a side is None where it was not run.

    Attributes:
        mended: the rows are of copies of the builds without known defects, which hide what became of it.
    """

    cell: str
    base: results.Row | None
    candidate: results.Row | None
    change: Change
    mended: bool = False

    @property
    def into(self) -> str:
        """The known defect that a cell hits now that got further than before; "" if that is not so."""
        if self.change is not Change.CHANGED or self.base is None or self.candidate is None:
            return ""
        further = self.base.seen.ending is not observation.Ending.FINISHED
        return next(iter(_defects(self.candidate)), "") if further and not is_fine(self.candidate) else ""

    @property
    def sides(self) -> tuple[results.Row | None, ...]:
        """The rows to show: both, or only the one that was not run or cannot be tested; the candidate's first."""
        untested = [
            row for row in (self.candidate, self.base) if row is None or row.verdict.kind is oracle.Kind.UNTESTABLE
        ]
        return tuple(untested[:1]) or (self.base, self.candidate)


@dataclass(frozen=True)
class ApiBreak:
    """A public name that the candidate removed or changed.

    Attributes:
        path: as the base has it, from the package on.
        removed: whether it is gone, or one of its parameters is.
        what: how it changed, in griffe's words.
        allowed: whether the call says that it is meant.
    """

    path: str
    removed: bool
    what: str
    allowed: bool = False

    @property
    def lost(self) -> bool:
        """Whether it is gone, and not meant to."""
        return self.removed and not self.allowed


@dataclass(frozen=True)
class Cause:
    """Cells that got worse in the same way.

    Attributes:
        failure: what the candidate does in all of them.
        cells: them, the simplest first; those of the matrix before those that were drawn.
        functions: the changed functions that run in all of them, but for those of which none is known to run: the
            base fails before it gets there.
    """

    failure: oracle.Signature
    cells: tuple[Difference, ...]
    functions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ending:
    """What a gate's run adds to its rows, at its end.

    Attributes:
        doubts: what keeps a clean run from being green: a version that is taken, a build that was edited.
        reproducers: a cause's failure -> a file that shows it, or the command that does.
        exercised: every change of the source, and what became of it.
        traced: the calls in which it was looked for what ran.
        functions: cell that got worse -> the changed functions that ran in it.
        drawn: the ids of the random calls that were run on both builds.
        draws: how many calls were drawn; those that run no change are left out.
    """

    doubts: tuple[str, ...] = ()
    reproducers: Mapping[str, str] = field(default_factory=dict)
    exercised: tuple[Exercised, ...] = ()
    traced: tuple[str, ...] = ()
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()
    draws: int = 0


@dataclass(frozen=True)
class GateVerdict:
    """The answer, for one transformers version.

    Attributes:
        ending: what the run found in addition to the differences.
        strict: a cell that only changed fails too.
        chosen: only cells that were named were run.
        seed: of the random calls.
        require_exercised: a change that did not run is a doubt.
        waived: cell -> why it may get worse.
    """

    base: results.Build
    candidate: results.Build
    environment: Mapping[str, str]
    differences: tuple[Difference, ...]
    api_breaks: tuple[ApiBreak, ...] = ()
    ending: Ending = Ending()
    strict: bool = False
    chosen: bool = False
    seed: int = 0
    require_exercised: bool = False
    waived: Mapping[str, str] = field(default_factory=dict)

    def of(self, change: Change) -> tuple[Difference, ...]:
        """Return the cells of which this became."""
        return tuple(difference for difference in self.differences if difference.change is change)

    @property
    def lost(self) -> tuple[ApiBreak, ...]:
        """The names and parameters that are gone, and not meant to."""
        return tuple(api_break for api_break in self.api_breaks if api_break.lost)

    @property
    def worse(self) -> tuple[Difference, ...]:
        """The cells that got worse, and may not."""
        return tuple(d for d in self.of(Change.REGRESSED) if d.cell not in self.waived)

    @cached_property
    def causes(self) -> tuple[Cause, ...]:
        """What made cells worse, what explains most of them first."""
        return tuple(_causes(self.worse, self.ending.functions, {*self.ending.drawn}))

    @property
    def fixed(self) -> Sequence[tuple[str, int]]:
        """Known defect -> the cells that it hit and that are fine now; "" for those of none."""
        return Counter(d.base.explanation.defect for d in self.of(Change.FIXED) if d.base).most_common()

    @property
    def not_run(self) -> tuple[Exercised, ...]:
        """The changes that no call ran."""
        return tuple(change for change in self.ending.exercised if change.fate is Fate.NOT_RUN)

    @property
    def exit_code(self) -> errors.ExitCode:
        """A regression is one whatever else is in doubt; nothing that is in doubt is green."""
        if self.worse or self.lost or (self.strict and self.of(Change.CHANGED)):
            return errors.ExitCode.REGRESSION
        unsure = self.of(Change.INDETERMINATE) or self.of(Change.FLAKY) or self.ending.doubts or not self.differences
        unseen = self.require_exercised and self.not_run
        return errors.ExitCode.INDETERMINATE if unsure or unseen else errors.ExitCode.CLEAN


def _causes(
    worse: Iterable[Difference], functions: Mapping[str, tuple[str, ...]], drawn: Collection[str]
) -> Iterator[Cause]:
    """Yield what made cells worse: those that fail alike, and have a changed function in common, are one."""
    alike: dict[oracle.Signature, list[Difference]] = defaultdict(list)
    for difference in worse:
        if difference.candidate:
            alike[failure_of(difference.candidate)].append(difference)
    found = [
        cause
        for failure, group in alike.items()
        for cause in _with_functions(
            failure, sorted(group, key=lambda d: (_hidden(d), d.cell in drawn, len(d.cell))), functions
        )
    ]
    yield from sorted(found, key=lambda cause: -len(cause.cells))


def _hidden(difference: Difference) -> bool:
    """Return whether a cell shows what it does only behind another failure: others are better examples."""
    return difference.mended or difference.base is None or not is_fine(difference.base)


def _with_functions(
    failure: oracle.Signature, cells: Sequence[Difference], functions: Mapping[str, tuple[str, ...]]
) -> Iterator[Cause]:
    """Yield one cause where its cells have a changed function in common; else one for each set of functions."""
    sets = [functions.get(difference.cell, ()) for difference in cells]
    known = [each for each in sets if each]
    shared = tuple(name for name in known[0] if all(name in each for each in known)) if known else ()
    if shared or not known:
        yield Cause(failure, tuple(cells), shared)
        return
    for each in dict.fromkeys(sets):
        yield Cause(failure, tuple(d for d, ran in zip(cells, sets, strict=True) if ran == each), each)


def counted(differences: Iterable[Difference]) -> dict[Change, int]:
    """Return how many cells there are of each change, the worst first."""
    found = Counter(difference.change for difference in differences)
    return {change: found[change] for change in Change if found[change]}


def compare(
    base: Iterable[results.Row],
    candidate: Iterable[results.Row],
    cells: Mapping[str, Collection[str]] = {},
    key: Callable[[results.Row], str] = attrgetter("cell"),
) -> tuple[Difference, ...]:
    """Return what became of each cell that either build ran: in the order of `cells`, then of the candidate's.

    Args:
        cells: each that both should have run -> the names that it uses and that are meant to go. One that either did
            not run is indeterminate.
        key: what a row is found by in the other results, and shown as.
    """
    before, after = ({key(row): row for row in rows} for rows in (base, candidate))
    pairs = {cell: (before.get(cell), after.get(cell)) for cell in dict.fromkeys((*cells, *after, *before))}
    return tuple(Difference(cell, *pair, change_between(*pair, cells.get(cell, ()))) for cell, pair in pairs.items())


def change_between(  # noqa: PLR0911 - one for each change
    base: results.Row | None, candidate: results.Row | None, meant: Collection[str] = ()
) -> Change:
    """Return what became of a cell. To fail for want of a name that is meant to go is no regression."""
    if base is None or candidate is None or oracle.Kind.UNTESTABLE in (base.verdict.kind, candidate.verdict.kind):
        return Change.INDETERMINATE
    was_fine, fine = is_fine(base), is_fine(candidate)
    if base.verdict.kind is oracle.Kind.NOT_APPLICABLE and not was_fine:
        return Change.NOT_COMPARED
    if candidate.verdict.kind is oracle.Kind.NOT_APPLICABLE and not fine:
        return Change.INDETERMINATE  # by its version it is older than the base
    if not base.repeats:
        return Change.FLAKY
    if _may_be_the_machines(base):
        return Change.INDETERMINATE
    if not fine and (was_fine or _breaks_more(base, candidate)):
        change = Change.NOT_COMPARED if _lacks(candidate, meant) else Change.REGRESSED
        return change if candidate.repeats else Change.FLAKY
    if fine and not was_fine:
        return Change.FIXED
    if failure_of(base) != failure_of(candidate) or _survivors(base) != _survivors(candidate):
        return Change.CHANGED
    return Change.STILL_OK if fine else Change.STILL_FAILING


def _survivors(row: results.Row) -> tuple[object, ...]:
    """Return what is left, and what the pruner and the model report: two runs that are both fine may differ in it."""
    if row.config.get("importance") == matrix.Criterion.RANDOM:  # other heads each time
        return ()
    return row.seen.kept, row.seen.reported, row.seen.output_shape, row.seen.unexpected_weights


def is_fine(row: results.Row) -> bool:
    """Return whether a build did all that it can, though the model's own code may then not run."""
    return row.verdict.kind is oracle.Kind.OK or (
        row.seen.cannot_run and row.verdict.kind is oracle.Kind.NOT_APPLICABLE
    )


def is_unexplained(row: results.Row) -> bool:
    """Return whether a build failed, and no recorded defect says why."""
    return not is_fine(row) and not row.explanation.defect


def failure_of(row: results.Row) -> oracle.Signature:
    """Return a row's failure without its module: functions move between files."""
    return row.verdict.signature.unplaced


def _breaks_more(base: results.Row, candidate: results.Row) -> bool:
    """Return whether a cell that failed breaks another promise now, and not by the same known defect.

    What a crash hid is not known, and what the same defect hides shows where it is mended in both.
    """
    cell = known_cells().get(candidate.cell) or _parsed(candidate.cell)
    same = {*_defects(base)} & {*_defects(candidate)}
    if cell is None or same or base.seen.ending is not observation.Ending.FINISHED:
        return False
    before = {_rule(verdict) for verdict in oracle.broken(cell, base.seen)}
    return not {_rule(verdict) for verdict in oracle.broken(cell, candidate.seen)} <= before


def _rule(verdict: oracle.Verdict) -> tuple[str, ...]:
    """Return what is broken, and in which dimension; not in which block, nor by how much."""
    found = verdict.signature.anywhere
    return verdict.kind, found.problem, found.dimension


def _defects(row: results.Row) -> tuple[str, ...]:
    """Return the known defects that a row shows, or looks like."""
    return (row.explanation.defect,) if row.explanation.defect else row.explanation.looks_like


def _parsed(id_: str) -> matrix.Cell | None:
    """Return the cell of an id that is not in the matrix; None if it is the id of none."""
    with suppress(ValueError, ZeroDivisionError):
        return matrix.Cell.parse(id_)
    return None


def _may_be_the_machines(row: results.Row) -> bool:
    """Return whether the machine may have failed: no known defect explains it, and memory, disk or time was short."""
    failure = row.verdict.failure
    short = failure is not None and observation.MACHINES_FAULT.search(f"{failure.exception}: {failure.message}")
    return is_unexplained(row) and (bool(short) or row.verdict.kind in (oracle.Kind.TIMEOUT, oracle.Kind.KILLED))


def _lacks(row: results.Row, names: Collection[str]) -> bool:
    return row.verdict.failure is not None and any(f"'{name}'" in row.verdict.failure.message for name in names)
