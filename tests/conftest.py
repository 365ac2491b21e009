"""What every test of the harness shares: one engine, and miniatures to run on it."""

from collections.abc import Callable, Iterator

import pytest

import miniatures
from headcount.builds import OFFLINE, Overlay
from headcount.invocation import CALLED_BY
from headcount.isolation import Cache, Engine


@pytest.fixture(scope="session", autouse=True)
def _fixed() -> Iterator[None]:
    """No release that the index has today changes what a test sees, nor what it is called by."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OFFLINE, "1")
        patch.setenv(CALLED_BY, "nox")
        yield


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine(cell_timeout=5.0) as running:
        yield running


@pytest.fixture(scope="session")
def recalling() -> Iterator[Engine]:
    """An engine that looks up what was observed before."""
    with Cache() as cache, Engine(cache=cache) as running:
        yield running


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Overlay]:
    """The fake build of a name, made when first asked for."""
    folder = tmp_path_factory.mktemp("miniatures")
    made: dict[str, Overlay] = {}

    def _miniature(name: str) -> Overlay:
        if name not in made:
            made[name] = miniatures.build(folder, name)
        return made[name]

    return _miniature
