"""How many failing cells are drawn, and by which seed; the releases that the claims are about."""

from collections.abc import Mapping

import pytest

from headcount import builds
from headcount.builds import Overlay


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("headcount", "emitted reproducers")
    group.addoption("--draws", type=int, default=4, metavar="N", help="failing cells to draw (default: 4)")
    group.addoption("--seed", type=int, default=2026, metavar="SEED", help="of the draw (default: 2026)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "draw" in metafunc.fixturenames:
        metafunc.parametrize("draw", range(metafunc.config.option.draws))


@pytest.fixture(scope="session")
def releases() -> Mapping[str, Overlay]:
    """Every release, by its number, oldest first."""
    return {release: builds.prepare(builds.parse(release)) for release in builds.RELEASES}
