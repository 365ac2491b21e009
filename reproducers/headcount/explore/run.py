"""Run random calls on a build: judge them, cure what fails, and keep what no cure explains."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from headcount import builds, matrix, oracle
from headcount.examine import Examined, Pool
from headcount.explore.cure import cures
from headcount.explore.draw import draws
from headcount.explore.group import Group, grouped, shrunk

#: Calls that are drawn at a time, where time decides how many there are.
_BATCH = 50


@dataclass(frozen=True)
class Explored:
    """What random calls came to on one build.

    Attributes:
        ran: every call, as it was drawn.
        cured: call -> the defects whose remedies make it pass, for those that fail.
    """

    build: builds.Overlay
    ran: tuple[Examined, ...]
    cured: Mapping[matrix.Cell, frozenset[str]]

    @property
    def failures(self) -> tuple[Examined, ...]:
        """The calls that fail."""
        return tuple(found for found in self.ran if found.verdict.is_failure)

    @property
    def unexplained(self) -> tuple[Examined, ...]:
        """The failures that no remedy cures."""
        return tuple(found for found in self.failures if found.cell not in self.cured)


@dataclass(frozen=True)
class Request:
    """Which calls.

    Attributes:
        families: the models' families; () for ViT alone.
        number: how many calls; None where `seconds` says it.
        seconds: for how long calls are drawn.
    """

    seed: int
    families: tuple[str, ...] = ()
    number: int | None = 300
    seconds: float | None = None


def ran(pool: Pool, build: builds.Overlay, request: Request) -> Iterator[Examined]:
    """Yield what a build does with a request's calls."""
    for cells in _batches(request):
        yield from pool.examine(build, cells, recall=True)


def explained(pool: Pool, build: builds.Overlay, found: Sequence[Examined]) -> Explored:
    """Return the same with the cure of each failure, where there is one. None is looked for where a call had no end."""
    failing = [one for one in found if one.verdict.is_failure and one.verdict.kind is not oracle.Kind.TIMEOUT]
    return Explored(build, tuple(found), cures(pool, build, failing))


def _batches(request: Request) -> Iterator[Sequence[matrix.Cell]]:
    calls, end = draws(request.seed, request.families), time.monotonic() + (request.seconds or 0)
    if request.seconds is None:
        yield [*islice(calls, request.number)]
    else:
        yield [*islice(calls, _BATCH)]  # some, however short the time is
        while time.monotonic() < end:
            yield [*islice(calls, _BATCH)]


def kinds(pool: Pool, explored: Explored) -> Iterator[Group]:
    """Yield what is unexplained, a kind at a time, each with its smallest call."""
    for kind in grouped(explored.unexplained):
        yield shrunk(pool, kind, lambda found: bool(cures(pool, explored.build, [found])))


def where(pool: Pool, group: Group, releases: Sequence[builds.Overlay]) -> tuple[str, ...]:
    """Return the releases on which a kind's smallest call fails in the same way."""
    shows = []
    for release in releases:
        (found,) = pool.examine(release, [group.smallest.cell], recall=True)
        if found.verdict.is_failure and found.verdict.signature.anywhere == group.signature:
            shows.append(release.label)
    return tuple(shows)
