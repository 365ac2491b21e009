"""What judges users' networks, without an adapter, finds what is known of the families to be wrong, and no more."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from headcount.builds import Overlay
from headcount.isolation import Engine
from headcount.isolation.engine import unpromised
from headcount.matrix import Cell, Then
from headcount.matrix.cells import families
from headcount.oracle import Kind

SCRIPT = Path(__file__).with_name("both_judges.py")

RELEASES = ("1.4.0", "1.6.1")

#: The part of the failing cells that must be found. One that is not judged is not found.
FOUND = 0.9

#: The cell of a family that is taken is so many further on than that of the family before.
STRIDE = 5


def sample() -> list[Cell]:
    """A plain call for each family: together they are plain calls of all kinds."""
    plain = [cell for cell in families(everything=True) if cell.config.then is Then.NOTHING and _lists_heads(cell)]
    each = [[*cells] for _, cells in groupby(sorted(plain, key=_family), _family)]
    return [cells[STRIDE * number % len(cells)] for number, cells in enumerate(each)]


def _lists_heads(cell: Cell) -> bool:
    """Return whether the call has layers in num_heads: without, a user's file is refused."""
    return not (cell.config.documented and cell.model.traits.uses_multihead_attention)


def _family(cell: Cell) -> str:
    return cell.model.family


def judged(build: Overlay) -> Mapping[tuple[str, str], Mapping[str, str]]:
    """What both judges say of a release's cells, but for those that nothing is promised of."""
    names = " ".join(cell.id for cell in sample() if not unpromised(build.version, cell))
    with Engine(script_timeout=600) as engine:
        run = engine.run_script(build, SCRIPT, environment={"CELLS": names})
    assert run.status == 0, run.printed
    said = json.loads(run.answer)
    return {(build.label, name): each for name, each in said.items() if each["known"] != Kind.NOT_APPLICABLE}


def test_both_judges_agree(releases: Mapping[str, Overlay]) -> None:
    with ThreadPoolExecutor() as pool:
        both = {at: each for part in pool.map(judged, map(releases.__getitem__, RELEASES)) for at, each in part.items()}
    failing = {at for at, each in both.items() if each["known"] != Kind.OK}
    accused = {at for at, each in both.items() if each["found"] != Kind.OK}
    assert accused <= failing
    assert len(failing) > len(both) / 4
    assert len(accused) >= FOUND * len(failing), failing - accused
