"""Emitted files, for failing cells drawn at random over all releases, are run as a stranger runs them."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from headcount import builds
from headcount.defects import defect
from headcount.defects.remedies import cured
from headcount.examine import Examined, Pool, examine
from headcount.explore import cures
from headcount.isolation import Engine
from headcount.matrix.cells import default_cells
from headcount.models import ENDING
from headcount.reproduce import emit
from headcount.reproduce.prove import run


def failing(engine: Engine, seed: str) -> Examined:
    """The first failing cell in a shuffled order of all cells on all releases."""
    order = random.Random(seed)  # noqa: S311 - which cells are drawn is no secret
    cells = default_cells()
    while True:
        overlay = builds.prepare(builds.parse(order.choice(builds.RELEASES)))
        found = examine(engine, overlay, order.choice(cells))
        if found.verdict.is_failure:
            return found


def test_an_emitted_file_shows_the_failure(
    draw: int, recalling: Engine, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Its exit status is 1, and the exception is that of the cell, or an assertion that says what is expected."""
    found = failing(recalling, f"{pytestconfig.option.seed}/{draw}")
    path = tmp_path / "reproducer.py"
    path.write_text(emit(recalling, found.build, found.cell, lambda _: None))
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(found.build.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    failure = found.verdict.failure
    where = f"{found.build.label}-{found.cell.id}"
    assert done.returncode == 1, where
    assert (failure.exception if failure else "AssertionError: ") in done.stderr, where
    assert failure or "expected" in done.stderr.splitlines()[-1], where
    assert "headcount" not in path.read_text()


def test_an_emitted_file_shows_nothing_where_its_defect_is_cured(draw: int, pytestconfig: pytest.Config) -> None:
    """Of each family a failing call on the newest release, and a copy that has the fewest remedies that it needs."""
    build = builds.prepare(builds.parse(builds.RELEASES[-1]))
    order = random.Random(f"{pytestconfig.option.seed}/{draw}")  # noqa: S311 - which cells are drawn is no secret
    family = order.choice([*ENDING])
    cells = [cell for cell in default_cells() if cell.model.family == family]
    order.shuffle(cells)
    with Pool() as pool:
        failing = (found for found in pool.examine(build, cells, recall=True) if found.verdict.is_failure)
        if (found := next(failing, None)) is None:
            pytest.skip("the family's calls are all right")
        with pool.engine() as engine:
            text = emit(engine, build, found.cell, lambda _: None)
        cured_by = cures(pool, build, [found])[found.cell]
        with pool.engine() as engine:
            done = run(engine, cured(build, [defect(name) for name in cured_by]), text)
    assert (done.status, done.said) == (0, done.said), found.cell.id
