"""The catalogue: every entry is well-formed, matches a cell on each release it names, and is strict both ways."""

import re
from collections.abc import Mapping

import pytest
from packaging.version import Version

from headcount import builds
from headcount.matrix import cells as matrix
from headcount.matrix.config import Config
from headcount.defects import Catalogue, Defect, Outcome, catalogue, parse
from headcount.isolation.engine import unpromised
from headcount.matrix import Cell
from headcount.models import Model
from headcount.oracle.verdict import Kind, Signature, Verdict

DEFECTS = catalogue().defects
LINE = "4.57.6"
CELLS: Mapping[str, tuple[Cell, ...]] = {
    release: tuple(c for c in matrix.default_cells() if not unpromised(release, c.config))
    for release in builds.RELEASES
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_an_entry_hits_a_cell_on_every_release_it_names(defect: Defect) -> None:
    affected = [release for release in builds.RELEASES if defect.affects(release, LINE)]
    assert affected, "it names no release with head pruning"
    for release in affected:
        assert any(defect.hits(cell, release) for cell in CELLS[release]), f"no cell can show it on {release}"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_an_entry_says_what_it_breaks(defect: Defect) -> None:
    assert defect.breaks
    assert defect.source
    assert defect.cause.endswith(".")
    assert re.fullmatch(r"[a-z0-9-]{3,21}", defect.id), "ids are the labels of a table"
    assert not defect.upstream or defect.id.startswith(defect.upstream.rpartition("/")[2])
    assert Kind.OK not in defect.kinds
    assert defect.kinds


def test_no_entry_explains_everything() -> None:
    """Some cell on the newest release is free of each entry: none is a blanket."""
    for defect in DEFECTS:
        assert not all(defect.hits(cell, builds.RELEASES[-1]) for cell in matrix.default_cells()), defect.id


ENTRY = """
[[defect]]
id = "one"
title = "t"
kinds = ["crash"]
exception = "AttributeError"
message = "^no attribute"
cause = "c"
breaks = "b"
source = "s"
reproducer = { file = "f.py", bad = "1.4.1" }
shows = [{ releases = ">=1.4,<1.5", when = "not global_pruning" }]
"""

LOCAL, GLOBAL = (Cell(Model(), Config(global_pruning=flag)) for flag in (False, True))
CRASH = Verdict(Kind.CRASH, "r", Signature(Kind.CRASH, "AttributeError", "no attribute 'x'", "pruner._prune"))
OTHER = Verdict(Kind.CRASH, "r", Signature(Kind.CRASH, "IndexError", "no attribute 'x'", "pruner._prune"))
FINE = Verdict(Kind.OK)


@pytest.mark.parametrize(
    ("verdict", "cell", "release", "outcome"),
    [
        (CRASH, LOCAL, "1.4.1", Outcome.EXPECTED),
        (FINE, GLOBAL, "1.4.1", Outcome.EXPECTED),
        (CRASH, GLOBAL, "1.4.1", Outcome.UNEXPECTED_FAILURE),
        (CRASH, LOCAL, "1.5.0", Outcome.UNEXPECTED_FAILURE),
        (OTHER, LOCAL, "1.4.1", Outcome.UNEXPECTED_FAILURE),
        (FINE, LOCAL, "1.4.1", Outcome.UNEXPECTEDLY_FIXED),
        (FINE, LOCAL, "1.5.0", Outcome.EXPECTED),
        (Verdict(Kind.UNTESTABLE), LOCAL, "1.4.1", Outcome.INDETERMINATE),
        (Verdict(Kind.NOT_APPLICABLE), LOCAL, "1.4.1", Outcome.EXPECTED),
    ],
)
def test_strict_both_ways(verdict: Verdict, cell: Cell, release: str, outcome: Outcome) -> None:
    assert Catalogue(parse(ENTRY)).compare(verdict, cell, release, LINE).outcome is outcome


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ENTRY + ENTRY, "two defects have the same id"),
        (ENTRY.replace("title", "titel"), r"\['titel', 'title'\] missing or unknown"),
        (ENTRY.replace('"crash"', '"crush"'), "'crush' is not a valid Kind"),
    ],
)
def test_a_malformed_catalogue(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_a_when_that_names_no_field() -> None:
    defect = parse(ENTRY.replace("not global_pruning", "globel_pruning"))[0]
    with pytest.raises(NameError, match="globel_pruning"):
        defect.hits(LOCAL, "1.4.1")


def test_releases_are_in_order() -> None:
    assert sorted(builds.RELEASES, key=Version) == list(builds.RELEASES)
