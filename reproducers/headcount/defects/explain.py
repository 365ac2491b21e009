"""Which known defect explains a verdict: by what is recorded for the cell, or by what it looks like."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from headcount import matrix, oracle
from headcount.defects.catalogue import DEFECTS
from headcount.defects.catalogue import defect as defect_of
from headcount.defects.defect import Defect
from headcount.defects.expectations import column, recorded, versions


class Outcome(StrEnum):
    """A verdict compared with what is recorded."""

    EXPECTED = "expected"
    UNEXPECTED_FAILURE = "unexpected-failure"
    UNEXPECTEDLY_FIXED = "unexpectedly-fixed"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Explanation:
    """A verdict seen through the catalogue.

    Attributes:
        defect: the recorded one, which this is, or which should show and does not; "" if there is none.
        looks_like: known defects that a failure looks like, where none is recorded.
    """

    outcome: Outcome
    defect: str = ""
    looks_like: tuple[str, ...] = ()


def explain(cell: matrix.Cell, verdict: oracle.Verdict, version: str, transformers: str) -> Explanation:
    """Return how a verdict compares with what is recorded.

    A release is held to its own column; any other build to the column of the release that it comes after.

    Args:
        version: the build's.
        transformers: the version that is installed.
    """
    if verdict.kind is oracle.Kind.NOT_APPLICABLE:
        return Explanation(Outcome.EXPECTED)
    if verdict.kind is oracle.Kind.UNTESTABLE:
        return Explanation(Outcome.INDETERMINATE)
    token = recorded(transformers).token(cell, column(version))
    defect = token.defect if token else ""
    if verdict.kind is oracle.Kind.OK:
        return Explanation(Outcome.UNEXPECTEDLY_FIXED if defect else Outcome.EXPECTED, defect)
    # What was found names no message: another exception of the class in the function must not pass for the known one.
    if defect and token is not None and token.matches(verdict) and defect_of(defect).looks_like(cell, verdict):
        return Explanation(Outcome.EXPECTED, defect)
    return Explanation(Outcome.UNEXPECTED_FAILURE, "", tuple(d.id for d in looks_like(cell, verdict, column(version))))


def looks_like(cell: matrix.Cell, verdict: oracle.Verdict, release: str = "") -> tuple[Defect, ...]:
    """Return the known defects that a failure looks like; two where two do, and neither stands over the other.

    Args:
        release: only those that it shows, on some transformers version; all if it is "".
    """
    found = [d for d in DEFECTS if d.looks_like(cell, verdict) and (not release or release in releases_of(d.id))]
    return ranked(found)


def ranked(found: Iterable[Defect]) -> tuple[Defect, ...]:
    """Return those that no other one of them stands over."""
    found = tuple(found)
    beaten = {id_ for defect in found for id_ in defect.over}
    return tuple(defect for defect in found if defect.id not in beaten)


def releases_of(id_: str) -> frozenset[str]:
    """Return the releases that show a defect, on whatever transformers version."""
    return frozenset().union(*(recorded(version).releases.get(id_, ()) for version in versions()))
