"""Which release shows which defect, as recorded: a table for the terminal, and the same as plain values."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from headcount.builds import RELEASES
from headcount.report.timeline import Mark, Timeline

_MARKS = {Mark.SHOWS: "X", Mark.FINE: "·", Mark.HIDDEN: "?", Mark.UNKNOWN: "-"}

_LEGEND = """X shows it, · a cell that shows it elsewhere is fine, - has no such parameter, criterion or model,
? another defect shows, and may hide it; as recorded with transformers"""


def table(timelines: Sequence[Timeline], transformers: str) -> str:
    """Return defects as rows, releases as columns.

    Args:
        transformers: the version that all this is recorded with.
    """
    width = max(len(timeline.defect.id) for timeline in timelines)
    minors = [release.rpartition(".")[0] for release in RELEASES]
    heads = [minors[0], *(new if new != old else "" for old, new in pairwise(minors))]
    rows = [("", heads), ("", [f".{release.rpartition('.')[2]}" for release in RELEASES])]
    rows += [(timeline.defect.id, [_MARKS[mark] for mark in timeline.marks]) for timeline in timelines]
    lines = [f"{name:<{width}}  {''.join(f'{cell:<4}' for cell in cells)}".rstrip() for name, cells in rows]
    return "\n".join([*lines, "", f"{_LEGEND} {transformers}"])


def to_json(timelines: Iterable[Timeline]) -> dict[str, Any]:
    """Return defect -> release -> its mark, and how many cells show the defect."""
    return {
        timeline.defect.id: {
            release: {"mark": mark, "cells": cells}
            for release, mark, cells in zip(timeline.builds, timeline.marks, timeline.cells, strict=True)
        }
        for timeline in timelines
    }
