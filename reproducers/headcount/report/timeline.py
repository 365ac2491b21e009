"""Over the builds, where a defect shows, where it does not, and where nobody can tell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from headcount.builds import RELEASES
from headcount.defects import Defect, catalogue
from headcount.matrix import Cell
from headcount.results import Row
from headcount.oracle.verdict import Kind

_NOT_ASKED = (Kind.UNTESTABLE, Kind.NOT_APPLICABLE)


class Mark(StrEnum):
    """What a build says of a defect."""

    SHOWS = "shows"
    FINE = "fine"  # a cell that could show it is ok
    HIDDEN = "hidden"  # every cell that could show it fails in another way
    UNKNOWN = "unknown"  # no cell that could show it was asked, or none could be tested


@dataclass(frozen=True)
class Timeline:
    """One defect over the builds, in their order: a mark and the number of cells that show it for each."""

    defect: Defect
    marks: tuple[Mark, ...]
    cells: tuple[int, ...]
    story: str


def timelines(rows: Iterable[Row], builds: Sequence[str], known: Mapping[str, Cell]) -> tuple[Timeline, ...]:
    """A line for each defect that some row shows.

    Args:
        builds: in the order in which they are told.
        known: cell ids -> the cells, as far as there are any.
    """
    rows = list(rows)
    shown = {row["defect"] for row in rows if row["defect"]}
    return tuple(_timeline(defect, rows, builds, known) for defect in catalogue().defects if defect.id in shown)


def _timeline(defect: Defect, rows: Sequence[Row], builds: Sequence[str], known: Mapping[str, Cell]) -> Timeline:
    lines = {row["transformers"] for row in rows}
    concerned = {(line, id_) for line in lines for id_, cell in known.items() if defect.could_show(cell, line)}
    asked: dict[str, list[Row]] = {build: [] for build in builds}
    for row in rows:
        could = (row["transformers"], row["cell"]) in concerned and row["verdict"] not in _NOT_ASKED
        if could or row["defect"] == defect.id:
            asked[row["build"]].append(row)
    marks = tuple(_mark(defect, asked[build]) for build in builds)
    cells = tuple(sum(_shows(defect, row) for row in asked[build]) for build in builds)
    return Timeline(defect, marks, cells, story(builds, marks))


def _mark(defect: Defect, asked: Sequence[Row]) -> Mark:
    if any(_shows(defect, row) for row in asked):
        return Mark.SHOWS
    if any(row["verdict"] == Kind.OK for row in asked):
        return Mark.FINE
    return Mark.HIDDEN if asked else Mark.UNKNOWN


def _shows(defect: Defect, row: Row) -> bool:
    """Whether a row shows it; where it was foretold and is not there, the row names it too."""
    return bool(row["defect"] == defect.id) and row["verdict"] != Kind.OK


def story(builds: Sequence[str], marks: Sequence[Mark]) -> str:
    """Where it came and went, in words; of builds that are not releases in their order, only where it shows."""
    if list(builds) != [release for release in RELEASES if release in builds]:
        return f"in {', '.join(build for build, mark in zip(builds, marks, strict=True) if mark is Mark.SHOWS)}"
    told = [(b, mark) for b, mark in zip(builds, marks, strict=True) if mark in (Mark.SHOWS, Mark.FINE)]
    first, mark = told[0]
    parts = [f"there {'from' if first == RELEASES[0] else 'by'} {first}"] if mark is Mark.SHOWS else []
    for (one, before), (other, after) in pairwise(told):
        if before is after:
            continue
        word = "introduced" if after is Mark.SHOWS else "fixed"
        next_ = RELEASES.index(other) == RELEASES.index(one) + 1
        parts.append(f"{word} in {other}" if next_ else f"{word} after {one}, in {other} or before")
    return ", ".join(parts)
