"""What Headcount says of causes: a remedy is a small edit, and with it the calls that show its defect pass."""

import difflib

import pytest

from headcount import builds
from headcount.defects import DEFECTS, Defect, defect, releases_of
from headcount.defects.remedies import patched, remedied
from headcount.examine import Examined, Pool
from headcount.explore import cures
from headcount.matrix import Cell

#: Old and new.
RELEASES = ("1.6.1", "1.5.0", "1.4.2", "1.4.0", "1.3.1")


#: Two mistakes that went in one release.
GROUPED = ("grouped-unknown", "grouped-scattered")


@pytest.mark.parametrize("release", RELEASES)
def test_a_remedy_is_a_small_edit(release: str) -> None:
    build = builds.prepare(builds.parse(release))
    for known in remedied(build):
        added = 0
        for before, after in patched(build, [known]).values():
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
            added += sum(line.startswith("+") and not line.startswith("+++") for line in lines)
        assert 0 < added <= 15, (release, known.id)


def test_every_open_defect_of_the_newest_release_has_a_remedy() -> None:
    build = builds.prepare(builds.parse(RELEASES[0]))
    fitting = {known.id for known in remedied(build)}
    assert not {known.id for known in DEFECTS if RELEASES[0] in releases_of(known.id)} - fitting


def test_queries_that_share_keys_are_cured_in_releases_that_do_not_know_of_them() -> None:
    """Where the graph knows nothing of them, and where heads are ranked whichever keys they read."""
    for release in ("1.4.2", "1.3.1"):
        build = builds.prepare(builds.parse(release))
        with Pool() as pool:
            shown = [found for id_ in GROUPED for found in _shown(pool, build, defect(id_))]
            cured = cures(pool, build, shown)
        assert shown
        assert not [found.cell.id for found in shown if not cured.get(found.cell, set()) & {*GROUPED}]


def test_what_cures_the_examples_has_their_remedy() -> None:
    build = builds.prepare(builds.parse(RELEASES[0]))
    with Pool() as pool:
        shown = [found for known in remedied(build) for found in _shown(pool, build, known)]
        cured = cures(pool, build, shown)
    assert not [found.cell.id for found in shown if not cured.get(found.cell)]


@pytest.mark.parametrize("release", RELEASES)
def test_without_its_remedy_a_call_is_not_cured(release: str) -> None:
    build = builds.prepare(builds.parse(release))
    call = Cell.parse("vit-local-prunenum-keepdims-heads1of2-chan3of4-steps1")  # most of the width goes
    with Pool() as pool:
        shown = [*pool.examine(build, [call], recall=True)]
        assert cures(pool, build, shown) == {call: {"layernorm-order"}}
        assert cures(pool, build, shown, without=("layernorm-order",)) == {}


def _shown(pool: Pool, build: builds.Overlay, known: Defect) -> list[Examined]:
    """Return the examples that show a defect in a build."""
    found = pool.examine(build, [Cell.parse(id_) for id_ in known.examples], recall=True)
    return [one for one in found if one.verdict.is_failure and known.looks_like(one.cell, one.verdict)]
