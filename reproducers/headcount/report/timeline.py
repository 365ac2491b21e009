"""Where a defect shows over the builds, where not, and where that cannot be known: from rows, or as recorded.

What is recorded of the releases is also a table for the terminal, and plain values.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, pairwise

from headcount import builds, defects, oracle, results
from headcount.defects.expectations import FINE, NOT_APPLICABLE, NOT_RUN, Token


class Mark(StrEnum):
    """What a build shows of a defect. The first of these that one of its cells says decides."""

    SHOWS = "shows"
    FINE = "fine"  # a cell that shows it on some release is ok
    HIDDEN = "hidden"  # every cell that shows it on some release fails in another way
    UNKNOWN = "unknown"  # no cell that shows it on some release was run, or none applies or could be tested


_MARKS = {Mark.SHOWS: "X", Mark.FINE: "·", Mark.HIDDEN: "?", Mark.UNKNOWN: "-"}

#: What is no failure, as recorded or as a verdict, and what it says of any defect.
_TOLD = {FINE: Mark.FINE} | dict.fromkeys(
    (NOT_APPLICABLE, NOT_RUN, oracle.Kind.NOT_APPLICABLE, oracle.Kind.UNTESTABLE), Mark.UNKNOWN
)


@dataclass(frozen=True)
class Timeline:
    """One defect over the builds, in their order: a mark for each, and the number of cells that show it."""

    defect: defects.Defect
    builds: tuple[str, ...]
    marks: tuple[Mark, ...]
    cells: tuple[int, ...]

    @property
    def story(self) -> str:
        """Where it came and went, in words; of builds that are not releases in their order, only where it shows."""
        said = [(b, m) for b, m in zip(self.builds, self.marks, strict=True) if m in (Mark.SHOWS, Mark.FINE)]
        order = builds.ordered(self.builds)
        if list(self.builds) != [release for release in order if release in self.builds]:
            return f"in {', '.join(build for build, mark in said if mark is Mark.SHOWS)}"
        first, mark = said[0]
        parts = [f"there {'from' if first == order[0] else 'by'} {first}"] if mark is Mark.SHOWS else []
        for (one, before), (other, after) in pairwise(said):
            if before is not after:
                word = "introduced" if after is Mark.SHOWS else "fixed"
                adjacent = order.index(other) == order.index(one) + 1
                parts.append(f"{word} in {other}" if adjacent else f"{word} after {one}, in {other} or before")
        return ", ".join(parts)


def timelines(rows: Sequence[results.Row], labels: Sequence[str]) -> tuple[Timeline, ...]:
    """Return the timeline over these builds of each defect that some row shows, or should show."""
    shown = {row.explanation.defect for row in rows}
    return tuple(_timeline(found, labels, _tokens(found.id, rows)) for found in defects.DEFECTS if found.id in shown)


def of_releases(wanted: Iterable[defects.Defect], transformers: str) -> tuple[Timeline, ...]:
    """Return what is recorded of these defects on the releases."""
    known = defects.recorded(transformers)
    rows = {defect: [known.tokens[cell] for cell in known.cells.get(defect.id, ())] for defect in wanted}
    return tuple(
        _timeline(defect, builds.RELEASES, {release: [row[release] for row in found] for release in builds.RELEASES})
        for defect, found in rows.items()
    )


def _tokens(defect: str, rows: Iterable[results.Row]) -> Mapping[str, Sequence[Token]]:
    """Return build -> what it did in the cells that show a defect on some release."""
    found: dict[str, list[Token]] = defaultdict(list)
    for row in rows:
        if row.explanation.defect == defect or row.cell in defects.recorded(row.transformers).cells.get(defect, ()):
            found[row.build].append(Token(row.verdict.kind, row.explanation.defect))
    return found


def _timeline(defect: defects.Defect, labels: Sequence[str], tokens: Mapping[str, Sequence[Token]]) -> Timeline:
    each = [[_mark(defect.id, token) for token in tokens.get(label, ())] for label in labels]
    marks = tuple(min(found, key=list(Mark).index, default=Mark.UNKNOWN) for found in each)
    return Timeline(defect, tuple(labels), marks, tuple(found.count(Mark.SHOWS) for found in each))


def _mark(defect: str, token: Token) -> Mark:
    return _TOLD.get(token.kind, Mark.SHOWS if token.defect == defect else Mark.HIDDEN)


#: Columns of a release: a mark, and room.
_STEP = 2


def _minor(release: str) -> str:
    return release.rpartition(".")[0]


def table(timelines: Sequence[Timeline], transformers: str) -> str:
    """Return defects as rows, releases as columns.

    Args:
        transformers: the version that all this is recorded with.
    """
    width = max(len(timeline.defect.id) for timeline in timelines)
    minors = "".join(f"{minor:<{_STEP * len([*same])}}" for minor, same in groupby(map(_minor, builds.RELEASES)))
    patches = "".join(f"{release.rpartition('.')[2]:<{_STEP}}" for release in builds.RELEASES)
    rows = [("", minors), ("", patches)]
    rows += [(t.defect.id, "".join(f"{_MARKS[mark]:<{_STEP}}" for mark in t.marks)) for t in timelines]
    lines = (f"{name:<{width}}  {cells}".rstrip() for name, cells in rows)
    return "\n".join(
        [
            *lines,
            "",
            "X shows it, · a cell that shows it elsewhere is fine, ? another may hide it,",
            "- has no such parameter, criterion or model;",
            f"as recorded with transformers {transformers}",
        ]
    )


def to_json(timelines: Iterable[Timeline]) -> dict[str, dict[str, dict[str, object]]]:
    """Return defect -> release -> its mark, and how many cells show the defect."""
    return {
        timeline.defect.id: {
            release: {"mark": mark, "cells": cells}
            for release, mark, cells in zip(timeline.builds, timeline.marks, timeline.cells, strict=True)
        }
        for timeline in timelines
    }
