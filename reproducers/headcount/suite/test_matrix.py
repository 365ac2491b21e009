"""The regression suite: every cell on every build, judged, and compared with what is recorded."""

import pytest

from headcount.builds import Overlay
from headcount.examine import examine
from headcount.isolation import Engine
from headcount.matrix import Cell
from headcount.pytest_plugin import report


def test_cell(request: pytest.FixtureRequest, matrix_engine: Engine, overlay: Overlay, cell: Cell) -> None:
    """A cell is fine, or shows exactly the failure that is recorded."""
    report(request.node, examine(matrix_engine, overlay, cell))
