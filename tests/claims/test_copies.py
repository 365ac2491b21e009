"""The copies of a release that a gate makes: with probes, and without known defects."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from headcount import builds, gate
from headcount.builds import RELEASES, Overlay
from headcount.examine import Pool
from headcount.gate import exercise, probes
from headcount.matrix.cells import default_cells

NEWEST = RELEASES[-1]


def test_a_release_with_probes_does_what_it_does(releases: Mapping[str, Overlay]) -> None:
    cells = [cell for cell in default_cells()[::25] if not cell.model.full_size]
    copy = probes.probed(releases[NEWEST])
    with Pool() as pool:
        both = [list(pool.observe(build, cells, recall=True)) for build in (releases[NEWEST], copy)]
    for (cell, before), (_, after) in zip(*both, strict=True):
        assert exercise.alike(cell, before, after)
        assert after.probes
        assert not before.probes


def renamed(release: Overlay, *names: str) -> Overlay:
    """A release with helpers of its pruner renamed."""

    def change(folder: Path) -> None:
        path = folder / "torch_pruning/pruner/algorithms/base_pruner.py"
        text = path.read_text()
        for name in names:
            assert name in text
            text = text.replace(name, f"{name}_of")
        path.write_text(text)

    return builds.edited(release, "renamed", f"renamed-{'-'.join(names)}", change)


@pytest.mark.parametrize("names", [("_is_atten_group",), ("_round_to", "_check_pruning_ratio")])
def test_known_defects_are_mended_alike_or_not_at_all(releases: Mapping[str, Overlay], names: tuple[str, ...]) -> None:
    """A remedy that finds a place in one build alone would make a harmless candidate look worse."""
    request = gate.request(releases[NEWEST], renamed(releases[NEWEST], *names), same_version=True, budget=1.0)
    mended = gate.with_mended(request).mended
    cells = [cell for cell in default_cells()[::40] if not cell.model.full_size]
    with Pool() as pool:
        rows = [list(pool.observe(build, cells, recall=True)) for build in mended]
    assert mended
    assert all(exercise.alike(cell, before, after) for (cell, before), (_, after) in zip(*rows, strict=True))
