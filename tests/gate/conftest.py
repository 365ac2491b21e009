"""The gate on two cells, and fake builds for it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from headcount.builds import Overlay
from headcount.matrix.cells import known_cells
from helpers import ISSUE_410, PLAIN, fake_build

CELLS = [known_cells()[name] for name in (PLAIN, ISSUE_410)]


@pytest.fixture(autouse=True)
def _cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: CELLS)
    monkeypatch.setattr("headcount.examine.os.cpu_count", lambda: 1)  # one process runs both
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Overlay]:
    """A fake build of a name, and of a version."""
    return partial(fake_build, tmp_path)
