"""How many failing cells are drawn, and by which seed."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("headcount", "emitted reproducers")
    group.addoption("--draws", type=int, default=4, metavar="N", help="failing cells to draw (default: 4)")
    group.addoption("--seed", type=int, default=2026, metavar="SEED", help="of the draw (default: 2026)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "draw" in metafunc.fixturenames:
        metafunc.parametrize("draw", range(metafunc.config.option.draws))
