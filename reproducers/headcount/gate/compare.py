"""Is a candidate fit for release? What got worse, better or otherwise against a base, from the rows of both.

A pure function of results, so that the shards of several machines amount to what one would have said.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from headcount.matrix import cells as matrix
from headcount.errors import ExitCode
from headcount.observation import MACHINES_FAULT, Ending, Observation
from headcount.oracle.expectation import expect
from headcount.results import Row
from headcount.oracle.verdict import Kind, broken

#: What survived, and what the pruner and the model say of it: in these, two runs that are both fine may differ.
_SURVIVORS = ("kept", "reported", "output_shape", "strays")


class Sort(StrEnum):
    """What became of a cell, the worst first."""

    REGRESSED = "regressed"  # it was fine, or failed in fewer ways
    FLAKY = "flaky"  # one of the two failed, and did not again in a fresh process
    INDETERMINATE = "indeterminate"  # one of the two cannot be tested
    CHANGED = "changed"  # both fine or both failing, and not in the same way
    FIXED = "fixed"
    STILL_FAILING = "still failing"
    STILL_OK = "still ok"
    NOT_COMPARED = "not compared"  # the base never promised such a parameter, or that it goes is meant


@dataclass(frozen=True)
class Difference:
    """One cell on both builds."""

    cell: str
    base: Row
    candidate: Row
    sort: Sort

    @property
    def is_untestable(self) -> bool:
        """Whether one of the two builds cannot be tested."""
        return Kind.UNTESTABLE in (self.base["verdict"], self.candidate["verdict"])

    @property
    def what(self) -> str:
        """In one line: from what to what."""
        before, after = (_said(row) for row in (self.base, self.candidate))
        if self.candidate["verdict"] == Kind.UNTESTABLE:  # whatever the base did
            return after
        if self.base["verdict"] == Kind.UNTESTABLE:
            return f"the base: {before}"
        if before != after:
            return f"{before} -> {after}"
        return f"{after}, but other weights survive" if self.sort is Sort.CHANGED else after


@dataclass(frozen=True)
class Breach:
    """A public name that the candidate removed or changed.

    Attributes:
        path: as the base had it, from the package on.
        removed: whether it is gone, or one of its parameters is.
        what: in words.
        allowed: whether someone says that it is meant.
    """

    path: str
    removed: bool
    what: str
    allowed: bool = False

    @property
    def name(self) -> str:
        """The last part of the path: a parameter, or a name without what it stands in."""
        plain, _, parameter = self.path.rstrip(")").partition("(")
        return parameter or plain.rpartition(".")[2]

    @property
    def lost(self) -> bool:
        """Whether it is gone, and no one says that it is meant."""
        return self.removed and not self.allowed


@dataclass(frozen=True)
class Verdict:
    """All of it, for one line of transformers.

    Attributes:
        doubts: what keeps a clean run from being green, in words: a version that is taken, a build that was edited.
        reproducers: a failure, as `failure` has it -> a file that shows it, for the first few.
    """

    base: Mapping[str, Any]
    candidate: Mapping[str, Any]
    environment: Mapping[str, str]
    differences: tuple[Difference, ...]
    breaches: tuple[Breach, ...] = ()
    doubts: tuple[str, ...] = ()
    strict: bool = False
    reproducers: Mapping[str, str] = field(default_factory=dict)

    def of(self, sort: Sort) -> tuple[Difference, ...]:
        """The cells of one sort."""
        return tuple(difference for difference in self.differences if difference.sort is sort)

    @property
    def counts(self) -> Mapping[Sort, int]:
        """How many cells of each sort, the worst first."""
        return counted(self.differences)

    @property
    def exit_code(self) -> ExitCode:
        """A regression is one whatever else is unsure; nothing that is unsure is green."""
        lost = any(breach.lost for breach in self.breaches)
        if self.of(Sort.REGRESSED) or lost or (self.strict and self.of(Sort.CHANGED)):
            return ExitCode.REGRESSION
        unsure = self.of(Sort.INDETERMINATE) or self.of(Sort.FLAKY) or self.doubts or not self.differences
        return ExitCode.INDETERMINATE if unsure else ExitCode.CLEAN


def counted(differences: Iterable[Difference]) -> dict[Sort, int]:
    """How many cells of each sort, the worst first."""
    found = Counter(difference.sort for difference in differences)
    return {sort: found[sort] for sort in Sort if found[sort]}


def compare(
    base: Iterable[Row],
    candidate: Iterable[Row],
    cells: Iterable[str] = (),
    pardoned: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> tuple[Difference, ...]:
    """Each cell that either build was asked: in the order of `cells`, then of the candidate's.

    Args:
        cells: those that both should have been asked; what one was not asked is indeterminate.
        pardoned: those that use names which are meant to go; that they fail by one of these is no regression.
    """
    before = {row["cell"]: row for row in base}
    after = {row["cell"]: row for row in candidate}
    found = []
    for cell in {**dict.fromkeys(cells), **after, **before}:
        one, other = before.get(cell, _missing(cell)), after.get(cell, _missing(cell))
        sorted_ = sort(one, other)
        spared = sorted_ is Sort.REGRESSED and any(f"'{name}'" in other["reason"] for name in pardoned.get(cell, ()))
        found.append(Difference(cell, one, other, Sort.NOT_COMPARED if spared else sorted_))
    return tuple(found)


def sort(base: Row, candidate: Row) -> Sort:  # noqa: PLR0911 - one for each sort
    """What became of a cell."""
    kinds = (base["verdict"], candidate["verdict"])
    if Kind.UNTESTABLE in kinds:
        return Sort.INDETERMINATE
    was_ok, is_ok = map(is_fine, (base, candidate))
    if kinds[0] == Kind.NOT_APPLICABLE and not was_ok:
        return Sort.NOT_COMPARED
    if kinds[1] == Kind.NOT_APPLICABLE and not is_ok:
        return Sort.INDETERMINATE  # by its version it is older than the base
    if not base.get("repeats", True):
        return Sort.FLAKY
    if is_machines(base):
        return Sort.INDETERMINATE
    if not is_ok and (was_ok or _breaks_more(base, candidate)):
        return Sort.REGRESSED if candidate.get("repeats", True) else Sort.FLAKY
    if is_ok and not was_ok:
        return Sort.FIXED
    if not same(base, candidate):
        return Sort.CHANGED
    return Sort.STILL_OK if is_ok else Sort.STILL_FAILING


def is_fine(row: Row) -> bool:
    """Whether a build did all that can be asked of it, though the model's own code may then not run."""
    return row["verdict"] == Kind.OK or (row["verdict"] == Kind.NOT_APPLICABLE and "cannot_run" in row["observation"])


def _breaks_more(base: Row, candidate: Row) -> bool:
    """Whether a cell that failed now fails in a way, too, in which it did not: what was hidden is not known."""
    cell = matrix.known_cells().get(str(candidate.get("id", candidate["cell"])))
    if cell is None:
        return False
    expectation = expect(cell.model, cell.config)
    before, after = (Observation.from_json(row["observation"]) for row in (base, candidate))
    return before.ending is Ending.FINISHED and not broken(expectation, after) <= broken(expectation, before)


def is_machines(row: Row) -> bool:
    """Whether it may be the machine that failed: no defect explains it, and memory, disk or time was short."""
    short = MACHINES_FAULT.search(row["reason"]) or row["verdict"] in (Kind.TIMEOUT, Kind.KILLED)
    return row["verdict"] != Kind.OK and row.get("defect") is None and bool(short)


def same(one: Row, other: Row) -> bool:
    """Whether two builds did the same with a cell: the same failure, the same survivors."""
    return failure(one) == failure(other) and all(
        _alike(one["observation"].get(name), other["observation"].get(name)) for name in _SURVIVORS
    )


def failure(row: Row) -> str:
    """A row's signature, wherever the code now stands: functions move between files."""
    return re.sub(r"(?:\w+\.)+(\w+|<\w+>)$", r"\1", row["signature"])


def _said(row: Row) -> str:
    return f"{row['verdict']}: {row['reason']}" if row["reason"] else str(row["verdict"])


def was_asked(row: Row) -> bool:
    """Whether it is a row, and does not stand for one that is missing."""
    return "build" in row


def _missing(cell: str) -> Row:
    return {"cell": cell, "verdict": Kind.UNTESTABLE, "reason": "it was not asked", "signature": "", "observation": {}}


def _alike(one: Any, other: Any) -> bool:
    return bool(one == other) or _plain(one) == _plain(other)


def _plain(value: Any) -> Any:
    """As it comes back from JSON: a row that was read is like one that was just made."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
