"""What Headcount says of causes: a remedy is a small edit, and with it the calls that show its defect pass."""

import difflib

import pytest

from headcount import builds, oracle
from headcount.defects import DEFECTS, Defect, releases_of
from headcount.defects.remedies import cured, patched, remedied
from headcount.examine import Pool
from headcount.matrix import Cell

#: Old and new: in each of them every open defect has a remedy, or a reason why it has none.
RELEASES = ("1.6.1", "1.5.0", "1.4.2", "1.4.0", "1.3.1")


@pytest.mark.parametrize("release", RELEASES)
def test_a_remedy_is_a_small_edit(release: str) -> None:
    build = builds.prepare(builds.parse(release))
    for defect in remedied(build):
        added = 0
        for before, after in patched(build, [defect]).values():
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
            added += sum(line.startswith("+") and not line.startswith("+++") for line in lines)
        assert 0 < added <= 15, (release, defect.id)


def test_every_open_defect_of_the_newest_release_has_a_remedy() -> None:
    build = builds.prepare(builds.parse(RELEASES[0]))
    fitting = {defect.id for defect in remedied(build)}
    assert {defect.id for defect in DEFECTS if RELEASES[0] in releases_of(defect.id)} - fitting == set(WITHOUT)


#: Those that no small edit mends.
WITHOUT: tuple[str, ...] = ()


def test_the_examples_pass_with_their_remedy() -> None:
    build = builds.prepare(builds.parse(RELEASES[0]))
    with Pool() as pool:
        failing = {defect.id: _failing(pool, build, defect) for defect in remedied(build)}
        assert {id_: names for id_, names in failing.items() if names} == {}


def _failing(pool: Pool, build: builds.Overlay, defect: Defect) -> list[str]:
    """Return the examples that show a defect in a build, and still fail with its remedy as they did."""
    cells = [Cell.parse(id_) for id_ in defect.examples]
    shown = [
        found.cell
        for found in pool.examine(build, cells, recall=True)
        if found.verdict.is_failure and defect.looks_like(found.cell, found.verdict)
    ]
    return [
        found.cell.id
        for found in pool.examine(cured(build, [defect]), shown, recall=True)
        if found.verdict.kind is not oracle.Kind.OK and defect.looks_like(found.cell, found.verdict)
    ]
