"""Where a defect came and went, and what may be said of a build that ran none of its cells."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from headcount.builds import RELEASES, Overlay
from headcount.defects import DEFECTS, Explanation, Outcome, defect, recorded, versions
from headcount.examine import Examined
from headcount.matrix.cells import known_cells
from headcount.observation import Ending, Failure, Observation
from headcount.oracle import Kind, Verdict
from headcount.report import timeline
from headcount.report.timeline import Mark
from headcount.results import Row
from helpers import ISSUE_410

FINE, SHOWS, HIDDEN, UNKNOWN = Mark.FINE, Mark.SHOWS, Mark.HIDDEN, Mark.UNKNOWN


@pytest.mark.parametrize(
    ("builds", "marks", "story"),
    [
        (("1.4.0", "1.4.1", "1.4.2"), (FINE, SHOWS, FINE), "introduced in 1.4.1, fixed in 1.4.2"),
        (
            ("1.4.0", "1.4.1", "1.4.2"),
            (SHOWS, UNKNOWN, FINE),
            "there by 1.4.0, fixed after 1.4.0, in 1.4.2 or before",
        ),
        (("1.4.0", "1.4.1", "1.4.2"), (HIDDEN, SHOWS, UNKNOWN), "there by 1.4.1"),
        (("1.3.0", "1.6.1"), (FINE, SHOWS), "introduced after 1.3.0, in 1.6.1 or before"),
        (("1.3.0", "1.3.1", "1.3.2"), (SHOWS, HIDDEN, SHOWS), "there from 1.3.0"),
        (("1.4.1", "my-checkout"), (SHOWS, FINE), "in 1.4.1"),
        (("1.4.2", "1.4.1"), (FINE, SHOWS), "in 1.4.1"),
    ],
)
def test_a_defect_s_story(builds: tuple[str, ...], marks: tuple[Mark, ...], story: str) -> None:
    """A build that ran none of its cells has neither introduced nor fixed anything."""
    assert timeline.Timeline(DEFECTS[0], builds, marks, ()).story == story


def row(build: str, kind: Kind, outcome: Outcome, shown: str = "") -> Row:
    failure = None if kind is Kind.OK else Failure("KeyError")
    found = Examined(
        Overlay(build, Path(), "1.6.1", ""),
        known_cells()[ISSUE_410],
        Observation(Ending.FINISHED),
        Verdict(kind, failure=failure),
        Explanation(outcome, shown),
    )
    return Row.of(found)


def marks(rows: Sequence[Row]) -> tuple[Mark, ...]:
    (found,) = timeline.timelines(rows, [row.build for row in rows])
    return found.marks


def test_a_mark_needs_a_cell_that_was_run() -> None:
    fine = row("fine", Kind.OK, Outcome.EXPECTED)
    shows = row("shows", Kind.CRASH, Outcome.EXPECTED, "410-total-heads")
    untestable = row("other", Kind.UNTESTABLE, Outcome.INDETERMINATE)
    another = row("other", Kind.WRONG_HEADS, Outcome.UNEXPECTED_FAILURE)
    assert marks([fine, untestable, shows]) == (FINE, UNKNOWN, SHOWS)
    assert marks([fine, another, shows]) == (FINE, HIDDEN, SHOWS)


def test_builds_that_are_no_releases_are_listed_one_by_one() -> None:
    shows = row("wrong-heads", Kind.WRONG_HEADS, Outcome.EXPECTED, "steps-compound")
    (found,) = timeline.timelines([shows], ["correct", "wrong-heads"])
    assert (found.defect.id, found.story) == ("steps-compound", "in wrong-heads")


@pytest.mark.parametrize("transformers", versions())
def test_what_is_recorded_is_what_the_releases_show(transformers: str) -> None:
    for found in timeline.of_releases(DEFECTS, transformers):
        shows = tuple(r for r, mark in zip(RELEASES, found.marks, strict=True) if mark is SHOWS)
        assert shows == recorded(transformers).releases.get(found.defect.id, ())
        assert [bool(cells) for cells in found.cells] == [mark is SHOWS for mark in found.marks]


def test_the_table_of_a_history() -> None:
    found = timeline.of_releases(
        [defect(id_) for id_ in ("410-total-heads", "obdc-transformer", "concat-half")], "5.23.0"
    )
    rows = {line.split()[0]: line.split()[1:] for line in timeline.table(found, "5.23.0").splitlines()[2:5]}
    assert rows == {
        "410-total-heads": [*"·········X········"],
        "obdc-transformer": [*"--------XXXXXXXXXX"],
        "concat-half": [*"??????XXXXXXXXXXXX"],
    }
