"""Emitted files, for failing cells drawn at random over all releases, are run as a stranger runs them."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from headcount import builds
from headcount.matrix import cells as matrix
from headcount.bisect import probe as probing
from headcount.reproduce import prove as reproduction
from headcount.reproduce import script as scripts
from headcount.builds import Overlay
from headcount.isolation.engine import Engine
from headcount.matrix import Cell
from headcount.oracle.verdict import Kind, Verdict


def failing(engine: Engine, seed: str) -> tuple[Overlay, Cell, Verdict]:
    """The first failing cell in a shuffled order of all cells on all releases."""
    order = random.Random(seed)  # noqa: S311 - which cells are drawn is no secret
    while True:
        overlay = builds.prepare(builds.parse(order.choice(builds.RELEASES)))
        cell = order.choice(list(filter(scripts.is_writable, matrix.default_cells())))
        verdict = probing.verdict_on(engine, overlay, cell)
        if verdict.kind not in (Kind.OK, Kind.NOT_APPLICABLE):
            return overlay, cell, verdict


def test_an_emitted_file_shows_the_failure(
    draw: int, recalling: Engine, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    overlay, cell, verdict = failing(recalling, f"{pytestconfig.option.seed}/{draw}")
    path = tmp_path / "reproducer.py"
    path.write_text(reproduction.emit(recalling, overlay, cell, lambda _: None))
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
