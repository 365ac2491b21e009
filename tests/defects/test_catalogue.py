"""The catalogue: every entry is well-formed, shows where it says, and has its file."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from check import problems
from headcount.builds import RELEASES
from headcount.defects import DEFECTS, REPRODUCERS, Defect, heads, recorded, releases_of, versions
from headcount.defects.defect import Breaks, NeverEnds, Raises
from headcount.matrix import Cell, Second
from headcount.matrix.cells import default_cells, known_cells
from headcount.oracle import Kind

RECORDED = [recorded(version) for version in versions()]


def test_the_catalogue_is_whole() -> None:
    assert list(problems(RECORDED)) == []
    assert {path.name for path in REPRODUCERS.glob("*.py")} == {defect.reproducer.file for defect in DEFECTS}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_an_entry_says_what_it_breaks(defect: Defect) -> None:
    assert defect.breaks
    assert defect.source
    assert defect.hits
    assert defect.cause.endswith(".")
    assert re.fullmatch(r"[a-z0-9-]{3,21}", defect.id), "ids are the labels of a table"
    assert not defect.upstream or defect.id.startswith(defect.upstream.rpartition("/")[2])
    assert defect.signature
    assert defect.examples
    assert defect.reproducer.bad in releases_of(defect.id)
    assert defect.reproducer.good in ("", *RELEASES)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_what_is_recorded_bears_the_signature_s_kind(defect: Defect) -> None:
    """A token of a crash needs a pattern of an exception, and so with all others; and its call must fit."""
    patterns = {type(pattern) for pattern in defect.signature}
    for version in versions():
        for id_ in recorded(version).cells.get(defect.id, ()):
            cell = known_cells()[id_]
            assert defect.may_show.holds(cell), id_
            tokens = {t for t in recorded(version).tokens[id_].values() if t.defect == defect.id}
            for token in tokens:
                raises = token.kind in (Kind.CRASH, Kind.BROKEN_FORWARD) or ":" not in token.found
                needed = NeverEnds if token.kind == Kind.TIMEOUT else Raises if raises else Breaks
                assert needed in patterns, f"{id_}: {token}"


def test_no_entry_may_show_everywhere() -> None:
    for defect in DEFECTS:
        assert not all(defect.may_show.holds(cell) for cell in default_cells()), defect.id


def test_a_second_pruner_may_take_all_of_what_the_first_one_left() -> None:
    """2/5 of 7 dims are 2 or 3, and 2/5 of 2 are less than one, though 4/25 of 7 are more."""
    call = Cell.parse("vit4h1b7d8m2c-local-prunenum-prunedims-heads1of2-chan3of5-steps1-second_same")
    takes_all = next(defect for defect in DEFECTS if defect.id == "takes-all-channels")
    assert takes_all.may_show.holds(call)
    assert not takes_all.may_show.holds(replace(call, config=replace(call.config, second=Second.NONE)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "nothing-such"}, "nothing-such: no cell shows it"),
        ({"examples": ("vit-no-such-cell",)}, "the matrix has no cell vit-no-such-cell"),
        ({"examples": ("vit-local-keepnum-keepdims-heads0-chan1of2-steps1",)}, "does not show it"),
        ({"over": ("nothing",)}, "it stands over nothing, which is no defect"),
    ],
)
def test_a_malformed_catalogue(changes: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = heads.DEFECTS
    broken = replace(first, **changes)  # type: ignore[arg-type]
    monkeypatch.setattr(heads, "DEFECTS", (broken, *others))
    problem = next(problems(RECORDED))
    assert says in problem
    assert re.match(r"heads\.py, line \d+: ", problem)


def test_a_defect_without_a_file_or_with_another_s_id(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *others = heads.DEFECTS
    lost = replace(first, reproducer=replace(first.reproducer, file="lost.py"))
    monkeypatch.setattr(heads, "DEFECTS", (lost, replace(second, id=lost.id, examples=lost.examples), *others))
    found = list(problems(RECORDED))
    assert any("there is no file reproducers/lost.py" in problem for problem in found)
    assert any("the id is there twice" in problem for problem in found)
    assert all(Path(problem.partition(",")[0]).name == "heads.py" for problem in found)
