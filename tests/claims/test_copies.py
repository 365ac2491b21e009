"""The copies of a release that a gate makes: with probes, and without known defects."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from headcount import builds, gate
from headcount.builds import RELEASES, Overlay
from headcount.examine import Pool
from headcount.gate import exercise, probes
from headcount.matrix import Cell, Config
from headcount.matrix.cells import default_cells
from headcount.models import small

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


def changed(release: Overlay, changes: Mapping[str, str]) -> Overlay:
    """A release with texts of its pruner replaced."""

    def change(folder: Path) -> None:
        path = folder / "torch_pruning/pruner/algorithms/base_pruner.py"
        text = path.read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    return builds.edited(release, "changed", f"changed-{'-'.join(map(str.strip, changes))}".replace(" ", ""), change)


HARMLESS = (
    {"_is_atten_group": "_attention_of"},
    {"_round_to": "_rounded", "_check_pruning_ratio": "_check_ratio"},
    # An edit of three remedies is about this very line: the base alone would get it.
    {"return min(s, 1)": "return min(s, self.max_pruning_ratio)"},
)


@pytest.mark.parametrize("changes", HARMLESS, ids=lambda changes: next(iter(changes)))
def test_known_defects_are_mended_alike_or_not_at_all(
    releases: Mapping[str, Overlay], changes: Mapping[str, str]
) -> None:
    """A remedy that finds a place in one build alone would make a harmless candidate look worse."""
    request = gate.request(releases[NEWEST], changed(releases[NEWEST], changes), same_version=True, budget=1.0)
    mended = gate.with_mended(request).mended
    tables = small("swin"), Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3))
    cells = [*(cell for cell in default_cells()[::40] if not cell.model.full_size), Cell(*tables)]
    with Pool() as pool:
        rows = [list(pool.observe(build, cells, recall=True)) for build in mended]
    assert mended
    assert all(exercise.alike(cell, before, after) for (cell, before), (_, after) in zip(*rows, strict=True))
