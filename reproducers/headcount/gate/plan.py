"""What is to be compared, and how: the request, its cells, and the header of its results."""

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from headcount import builds, canary, matrix, results, untrusted
from headcount.defects import Defect, remedies
from headcount.gate import source
from headcount.gate.api import api_breaks
from headcount.gate.compare import ApiBreak
from headcount.isolation import Cache, landlock
from headcount.matrix.cells import ISSUE_410, default_cells

#: Cell -> seconds of a build's own work, as `nox -s bench -- --record` has written them.
_DURATIONS: Mapping[str, float] = json.loads(Path(__file__).with_name("durations.json").read_text("utf-8"))

#: Seconds that a cell is taken to last if its time is not recorded.
_UNRECORDED = 0.05


@dataclass(frozen=True)
class Request:
    """What is to be compared, and how.

    Attributes:
        allow_api: removals of names that are meant.
        strict: a cell that only changed fails too.
        same_version: whether the candidate may have the base's version: a pull request, not a release.
        seed: of the order in which cells are run; None for the matrix's.
        shard: which part of the cells: (1, 3) is the first of three.
        fresh: run again what was observed before.
        chosen: exactly these cells; () for the matrix.
        budget: seconds for random calls; 0 for none.
        draws: so many random calls, in place of the budget; 0 for as many as the budget allows.
        require_exercised: a change that did not run is a doubt.
        mended: copies of both builds without the known defects that both have; () where they are not compared.
    """

    base: builds.Overlay
    candidate: builds.Overlay
    allow_api: tuple[str, ...] = ()
    strict: bool = False
    same_version: bool = False
    seed: int | None = None
    shard: tuple[int, int] = (1, 1)
    fresh: bool = False
    chosen: tuple[matrix.Cell, ...] = ()
    budget: float = 0.0
    draws: int = 0
    require_exercised: bool = False
    mended: tuple[builds.Overlay, ...] = ()

    @property
    def drawn_by(self) -> int:
        """The seed of the random calls."""
        return 1 if self.seed is None else self.seed

    @property
    def recalls(self) -> bool:
        """Whether what was observed before may be looked up: a candidate that nothing confined may have forged it."""
        return not self.fresh and landlock.version() > 0


def request(base: builds.Overlay, candidate: builds.Overlay, **options: Any) -> Request:
    """Return a request in which the two builds have two names, though they may be one."""
    label = f"{base.label}~base" if base.label == candidate.label else base.label
    return Request(replace(base, label=label), candidate, **options)


def with_mended(wanted: Request) -> Request:
    """Return a request that has copies of both builds without the defects that both have, to see what these hide.

    Without changes, or of the fixed cells alone, it is not worth its time: the request stays as it is.

    Raises:
        SetupError: the disk fails.
    """
    both, changes = (wanted.base, wanted.candidate), source.changes(wanted.base, wanted.candidate)
    if not (wanted.draws or wanted.budget or wanted.chosen) or not changes:
        return wanted
    plain = (len(changes.gone), len(changes.new))
    shared = [defect for defect in remedies.remedied(wanted.base) if _fits_alike(both, defect)]
    if not _mends_alike(both, shared, plain):  # one by one: it takes its time
        shared = [defect for defect in shared if _mends_alike(both, [defect], plain)]
        if not _mends_alike(both, shared, plain):
            return wanted
    if not shared:
        return wanted
    copies = tuple(replace(remedies.cured(b, shared), label=f"{b.label}, mended") for b in both)
    return replace(wanted, mended=copies)


def _fits_alike(both: tuple[builds.Overlay, builds.Overlay], defect: Defect) -> bool:
    return len({remedies.fitting(build, defect) for build in both}) == 1


def _mends_alike(both: tuple[builds.Overlay, builds.Overlay], mended: Sequence[Defect], plain: tuple[int, int]) -> bool:
    """Return whether remedies do the same to both builds: what they do to one alone would look like the candidate's.

    They touch as many pieces of each, and the builds differ in as many pieces as before.
    """
    with suppress(remedies.NoPlaceError, SyntaxError):
        after, touched = [], set[tuple[int, int]]()
        for build in both:
            whole = source.source(build)
            texts = {name: text for name, (_, text) in remedies.patched(build, mended).items()}
            after.append([*source.edited(whole, texts)])
            touched.add(_differing(whole.pieces, after[-1]))
        return len(touched) == 1 and _differing(*after) == plain
    return False


def _differing(one: Sequence[source.Piece], other: Sequence[source.Piece]) -> tuple[int, int]:
    """Return how many pieces of each source the other lacks."""
    changes = source.compared(one, other)
    return len(changes.gone), len(changes.new)


# --- cells ---------------------------------------------------------------------------------------


def every_cell() -> list[matrix.Cell]:
    """Return what all shards together run."""
    return [ISSUE_410, *default_cells()]


def cells(wanted: Request) -> list[matrix.Cell]:
    """Return the cells of a shard. They are dealt out by their recorded times, the longest first."""
    number, shards = wanted.shard
    every = wanted.chosen or every_cell()
    parts: list[list[matrix.Cell]] = [[] for _ in range(shards)]
    for cell in sorted(every, key=lambda cell: (-_DURATIONS.get(cell.id, 0.0), cell.id)):
        min(parts, key=lambda part: sum(_DURATIONS.get(each.id, _UNRECORDED) for each in part)).append(cell)
    own = set(parts[number - 1])
    found = [cell for cell in every if cell in own]
    if wanted.seed is not None:
        random.Random(wanted.seed).shuffle(found)  # noqa: S311 - an order is no secret
    return found


# --- the header ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """What a run's results hold in addition to rows. Its shards differ in their number and doubts only.

    Attributes:
        chosen: the ids of the cells that were named; () for the matrix.
        seed: of the random calls.
        require_exercised: a change that did not run is a doubt.
    """

    shard: int
    shards: int
    strict: bool
    api_breaks: tuple[ApiBreak, ...]
    doubts: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    seed: int = 1
    require_exercised: bool = False


def header(wanted: Request) -> Header:
    """Return the header of a run.

    Raises:
        UsageError: a build's source cannot be read.
    """
    with Cache() as cache, canary.Engine(cache=cache, fresh=not wanted.recalls) as engine:
        broken, unlisted = api_breaks(engine, wanted.base, wanted.candidate, wanted.allow_api)
    doubts = [
        _version_doubt(wanted),
        *(f"what {label} offers once it is imported cannot be listed" for label in unlisted),
    ]
    chosen = tuple(cell.id for cell in wanted.chosen)
    return Header(
        *wanted.shard,
        wanted.strict,
        broken,
        tuple(filter(None, doubts)),
        chosen,
        wanted.drawn_by,
        wanted.require_exercised,
    )


def _version_doubt(wanted: Request) -> str:
    base, candidate = wanted.base, wanted.candidate
    before, now = Version(base.version), Version(candidate.version)
    if wanted.same_version or now > before or (now == before and candidate.digest == base.digest):
        return ""
    why = f"which is older than {before}" if now < before else f"as {base.label} does, and has other code"
    return (
        f"{candidate.label} says that it is {candidate.version}, {why}"
        " (a release needs a new version; --same-version for a pull request)"
    )


def opened(wanted: Request, path: Path) -> results.Writer:
    """Open a run's results file.

    Raises:
        UsageError: a build's source cannot be read.
        OSError: the file cannot be created.
    """
    return results.Writer(path, (wanted.base, wanted.candidate, *wanted.mended), gate=untrusted.plain(header(wanted)))
