"""Random calls on a build that does all that is documented: each of them must be fine, or say what it cannot judge."""

from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import pytest

import miniatures
from headcount import oracle, wording
from headcount.examine import Pool
from headcount.explore import draws
from headcount.matrix import Then
from headcount.matrix.config import HALVES
from headcount.matrix.validity import why_invalid
from headcount.models import FAMILIES


@pytest.mark.parametrize("families", [("vit",), tuple(FAMILIES)], ids=["vit", "all"])
def test_a_correct_build_passes_random_calls(tmp_path: Path, families: tuple[str, ...]) -> None:
    with Pool() as pool:
        seen = [*pool.examine(miniatures.build(tmp_path), [*islice(draws(20, families), 150)], recall=False)]
    wrong = {found.cell.id: wording.verdict(found.verdict) for found in seen if found.verdict.is_failure}
    assert not wrong
    assert sum(found.verdict.kind is oracle.Kind.OK for found in seen) > 100


def test_a_correct_build_passes_random_calls_in_half_precision(tmp_path: Path) -> None:
    drawn = islice(draws(21, tuple(FAMILIES)), 120)
    half = (
        replace(cell, config=replace(cell.config, then=Then.NOTHING, precision=precision))
        for cell, precision in zip(drawn, cycle(HALVES), strict=False)
    )
    with Pool() as pool:
        cells = [cell for cell in half if not why_invalid(cell)]
        seen = [*pool.examine(miniatures.build(tmp_path), cells, recall=False)]
    assert {found.cell.id: wording.verdict(found.verdict) for found in seen if found.verdict.is_failure} == {}
    assert sum(found.verdict.kind is oracle.Kind.OK for found in seen) > 80
