"""Is a candidate fit for release? What got worse, better or different against a base, from the rows of both.

This is a pure function of results, so that the shards of several machines give the verdict that one would have given.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter

from headcount import errors, matrix, observation, oracle, results
from headcount.matrix.cells import known_cells

#: What is left, and what the pruner and the model report: two runs that are both fine may differ in these.
_SURVIVORS = attrgetter("kept", "reported", "output_shape", "unexpected_weights")


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
    """One cell on both builds; a side is None where it was not run."""

    cell: str
    base: results.Row | None
    candidate: results.Row | None
    change: Change

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
class GateVerdict:
    """The answer, for one transformers version.

    Attributes:
        doubts: what keeps a clean run from being green: a version that is taken, a build that was edited.
        strict: a cell that only changed fails too.
        reproducers: the candidate's failure -> a file that shows it, for the first few.
        chosen: only cells that were named were run.
    """

    base: results.Build
    candidate: results.Build
    environment: Mapping[str, str]
    differences: tuple[Difference, ...]
    api_breaks: tuple[ApiBreak, ...] = ()
    doubts: tuple[str, ...] = ()
    strict: bool = False
    reproducers: Mapping[str, str] = field(default_factory=dict)
    chosen: bool = False

    def of(self, change: Change) -> tuple[Difference, ...]:
        """Return the cells of which this became."""
        return tuple(difference for difference in self.differences if difference.change is change)

    @property
    def lost(self) -> tuple[ApiBreak, ...]:
        """The names and parameters that are gone, and not meant to."""
        return tuple(api_break for api_break in self.api_breaks if api_break.lost)

    @property
    def exit_code(self) -> errors.ExitCode:
        """A regression is one whatever else is in doubt; nothing that is in doubt is green."""
        if self.of(Change.REGRESSED) or self.lost or (self.strict and self.of(Change.CHANGED)):
            return errors.ExitCode.REGRESSION
        unsure = self.of(Change.INDETERMINATE) or self.of(Change.FLAKY) or self.doubts or not self.differences
        return errors.ExitCode.INDETERMINATE if unsure else errors.ExitCode.CLEAN


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
    if failure_of(base) != failure_of(candidate) or _SURVIVORS(base.seen) != _SURVIVORS(candidate.seen):
        return Change.CHANGED
    return Change.STILL_OK if fine else Change.STILL_FAILING


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
    """Return whether a cell that failed breaks another promise now. What a crash hid is not known."""
    cell = known_cells().get(candidate.cell) or _parsed(candidate.cell)
    return (
        cell is not None
        and base.seen.ending is observation.Ending.FINISHED
        and not oracle.kinds_broken(cell, candidate.seen) <= oracle.kinds_broken(cell, base.seen)
    )


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
