"""Emitted files, for failing cells drawn at random over all releases, are run as a stranger runs them."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from headcount import builds
from headcount.examine import Examined, examine
from headcount.isolation import Engine
from headcount.matrix.cells import default_cells
from headcount.reproduce import emit, is_writable


def failing(engine: Engine, seed: str) -> Examined:
    """The first failing cell in a shuffled order of all cells on all releases."""
    order = random.Random(seed)  # noqa: S311 - which cells are drawn is no secret
    cells = list(filter(is_writable, default_cells()))
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
    assert (failure.exception if failure else "AssertionError: ") in done.stderr.splitlines()[-1], where
    assert failure or "expected" in done.stderr.splitlines()[-1], where
    assert "headcount" not in path.read_text()
