"""Emitted files, for failing cells drawn at random over all releases, are run as a stranger runs them."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headcount import builds, matrix, reproduction, scripts
from headcount.builds import Overlay
from headcount.engine import Engine
from headcount.matrix import Cell
from headcount.oracle import expect
from headcount.store import Store
from headcount.verdicts import Kind, Verdict, judge


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Store() as store, Engine(store=store) as running:
        yield running


def failing(engine: Engine, seed: str) -> tuple[Overlay, Cell, Verdict]:
    """The first failing cell in a shuffled order of all cells on all releases."""
    order = random.Random(seed)  # noqa: S311 - which cells are drawn is no secret
    while True:
        overlay = builds.prepare(builds.parse(order.choice(builds.RELEASES)))
        cell = order.choice(matrix.default_cells())
        verdict = judge(expect(cell.model, cell.config), engine.run(overlay, cell))
        if verdict.kind not in (Kind.OK, Kind.NOT_APPLICABLE):
            return overlay, cell, verdict


def test_an_emitted_file_shows_the_failure(
    draw: int, engine: Engine, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    overlay, cell, verdict = failing(engine, f"{pytestconfig.option.seed}/{draw}")
    path = tmp_path / "reproducer.py"
    path.write_text(reproduction.emit(engine, overlay, cell, lambda _: None))
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(overlay.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert scripts.unproven(verdict, done.returncode, done.stdout + done.stderr) == "", f"{overlay.label}-{cell.id}"
    assert "headcount" not in path.read_text()
