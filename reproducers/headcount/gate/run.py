"""A gate's run: every cell on both builds, on all cores, each regression once more, and all of it written down."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from packaging.version import Version

from headcount import results
from headcount.builds import Overlay, is_whole
from headcount.environment import harness_digest, source_digest
from headcount.errors import UsageError
from headcount.examine import Examined, Pool
from headcount.gate.api import api_breaks
from headcount.gate.compare import (
    ApiBreak,
    Change,
    GateVerdict,
    change_between,
    compare,
    failure_of,
    is_unexplained,
)
from headcount.isolation import Cache, Engine, landlock
from headcount.matrix import Cell, Pruner
from headcount.matrix.cells import ISSUE_410, default_cells
from headcount.results import Footer, Results, Row, Writer
from headcount.untrusted import checked, plain

#: Cell -> seconds of a build's own work, as `nox -s bench -- --record` has written them.
_DURATIONS: Mapping[str, float] = json.loads(files("headcount.gate").joinpath("durations.json").read_text("utf-8"))

#: Seconds that a cell is taken to last if its time is not recorded.
_UNRECORDED = 0.05

Tell = Callable[[Row], None]


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
    """

    base: Overlay
    candidate: Overlay
    allow_api: tuple[str, ...] = ()
    strict: bool = False
    same_version: bool = False
    seed: int | None = None
    shard: tuple[int, int] = (1, 1)
    fresh: bool = False

    @property
    def recalls(self) -> bool:
        """Whether what was observed before may be looked up: a candidate that nothing confined may have forged it."""
        return not self.fresh and landlock.version() > 0


def request(base: Overlay, candidate: Overlay, **options: Any) -> Request:
    """Return a request in which the two builds have two names, though they may be one."""
    if base.label == candidate.label:
        base = replace(base, label=f"{base.label}~base")
    return Request(base, candidate, **options)


# --- cells ---------------------------------------------------------------------------------------


def every_cell() -> list[Cell]:
    """Return what all shards together run."""
    return [ISSUE_410, *default_cells()]


def cells(wanted: Request) -> list[Cell]:
    """Return the cells of a shard. They are dealt out by their recorded times, the longest first."""
    number, shards = wanted.shard
    loads, own = [0.0] * shards, set()
    for cell in sorted(every_cell(), key=lambda cell: (-_DURATIONS.get(cell.id, 0.0), cell.id)):
        lightest = loads.index(min(loads))
        loads[lightest] += _DURATIONS.get(cell.id, _UNRECORDED)
        if lightest == number - 1:
            own.add(cell)
    found = [cell for cell in every_cell() if cell in own]
    if wanted.seed is not None:
        random.Random(wanted.seed).shuffle(found)  # noqa: S311 - an order is no secret
    return found


# --- the header ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """What a run's results say besides rows: the same in all its shards, but for their number and doubts."""

    shard: int
    shards: int
    strict: bool
    api_breaks: tuple[ApiBreak, ...]
    doubts: tuple[str, ...]


def header(wanted: Request) -> Header:
    """Return the header of a run.

    Raises:
        UsageError: a build's source cannot be read.
    """
    with Cache() as cache, Engine(cache=cache, fresh=not wanted.recalls) as engine:
        broken, unlisted = api_breaks(engine, wanted.base, wanted.candidate, wanted.allow_api)
    unknown = (f"what {label} offers once it is imported cannot be listed" for label in unlisted)
    return Header(*wanted.shard, wanted.strict, broken, (*_version_doubts(wanted), *unknown))


def _version_doubts(wanted: Request) -> tuple[str, ...]:
    base, candidate = wanted.base, wanted.candidate
    before, now = Version(base.version), Version(candidate.version)
    if wanted.same_version or now > before or (now == before and candidate.digest == base.digest):
        return ()
    older = f"which is older than {base.version}"
    why = older if now < before else f"as {base.label} does, and has other code"
    hint = "(a release needs a new version; --same-version for a pull request)"
    return (f"{candidate.label} says that it is {candidate.version}, {why} {hint}",)


def opened(wanted: Request, path: Path) -> Writer:
    """Open a run's results file.

    Raises:
        UsageError: a build's source cannot be read.
        OSError: the file cannot be created.
    """
    return Writer(path, (wanted.base, wanted.candidate), gate=plain(header(wanted)))


# --- the run -------------------------------------------------------------------------------------


def run_both(
    wanted: Request, writer: Writer, tell: Tell, more: Callable[[int], None] = lambda _: None
) -> dict[str, Cell]:
    """Run every cell on both builds, then once more what may not repeat; write the rows, and what is doubtful.

    Args:
        tell: called with each row.
        more: called with the number of cells that are run once more, before they are.

    Returns:
        The candidate's failure, as text -> the first cell in which it got worse so.

    Raises:
        SetupError: processes cannot be started.
    """
    with Pool() as pool:
        run = _Run(pool, cells(wanted), tell, more)
        # All of the base first: nothing that a candidate does to the machine can change what is seen of it.
        base = run.rows(wanted.base, recall=wanted.recalls)
        # A build against itself would be compared with what was seen before.
        recall = wanted.recalls and wanted.candidate.digest != wanted.base.digest
        found = run.rows(wanted.candidate, recall=recall)
        compared = [d for d in compare(base.values(), found.values()) if d.change is not Change.NOT_COMPARED]

        def is_worse(row: Row) -> bool:
            return change_between(base[row.cell], row) is Change.REGRESSED

        def fails_alike(row: Row) -> bool:
            return failure_of(base[row.cell]) == failure_of(row)

        worse = {d.cell for d in compared if d.change is Change.REGRESSED}
        # The machine may be at fault for what fails on the base unexplained: it must hide nothing.
        odd = {d.cell for d in compared if is_unexplained(base[d.cell])}
        found |= run.again(wanted.candidate, found, worse, is_worse, recall=recall)
        # It must fail as it did, and nothing is looked up: to fail in some way may be the machine's doing, twice.
        base |= run.again(wanted.base, base, odd, fails_alike, recall=False)
    for row in (*base.values(), *found.values()):
        writer.write(row)
    edited = [build.label for build in (wanted.base, wanted.candidate) if not is_whole(build)]
    edited += ["headcount itself"] if source_digest() != harness_digest() else []
    writer.doubts = tuple(f"{name} was edited while it ran" for name in edited)
    firsts: dict[str, Cell] = {}
    for cell in run.cells:
        if cell.id in worse and is_worse(row := found[cell.id]):  # still, now that it is known which failures repeat
            firsts.setdefault(failure_of(row), cell)
    return firsts


@dataclass(frozen=True)
class _Run:
    """Cells on builds, each row reported."""

    pool: Pool
    cells: Sequence[Cell]
    tell: Tell
    more: Callable[[int], None]

    def rows(self, build: Overlay, *, recall: bool) -> dict[str, Row]:
        """Return what a build does with every cell."""
        return {row.cell: row for row in map(self._row, self.pool.examine(build, self.cells, recall=recall))}

    def again(
        self, build: Overlay, rows: Mapping[str, Row], ids: set[str], holds: Callable[[Row], bool], *, recall: bool
    ) -> dict[str, Row]:
        """Run some cells again, each in a fresh process, and return their rows with whether they repeat."""
        self.more(len(ids))
        found = {}
        for examined in self.pool.again(build, [cell for cell in self.cells if cell.id in ids], recall=recall):
            repeats, id_ = holds(self._row(examined)), examined.cell.id
            found[id_] = replace(rows[id_], repeats=repeats)
            if not repeats:
                with self.pool.engine() as engine:
                    engine.forget(build, examined.cell)  # no later run may look it up
        return found

    def _row(self, examined: Examined) -> Row:
        self.tell(row := Row.of(examined))
        return row


# --- the verdict ---------------------------------------------------------------------------------


def summed_up(shards: Sequence[Results], *, strict: bool = False) -> GateVerdict:
    """Return the verdict on a run's results: of one machine, or the shards of several.

    Args:
        strict: a change fails too, though the run did not say so.

    Raises:
        UsageError: they are not all shards of one run: one is missing, cut off, there twice, or of another run.
    """
    whole = results.merge(shards)
    headers = _headers(shards)
    footers = [shard.footer or Footer(0) for shard in shards]
    base, candidate = whole.header.builds
    before, after = ([row for row in whole.rows if row.build == build.label] for build in (base, candidate))
    every, broken = every_cell(), headers[0].api_breaks
    meant = {each.name for each in broken if each.removed and each.allowed and _is_of_a_call(each)}
    uses = {cell.id: cell.config.uses(meant) for cell in every}
    doubts = [*(d for header in headers for d in header.doubts), *(d for footer in footers for d in footer.doubts)]
    return GateVerdict(
        base,
        candidate,
        whole.header.environment,
        compare(before, after, uses, uses),
        broken,
        tuple(dict.fromkeys(doubts)),
        strict or headers[0].strict,
        {failure: text for footer in footers for failure, text in footer.reproducers.items()},
    )


def _headers(shards: Sequence[Results]) -> list[Header]:
    """Return what the shards say of the gate.

    Raises:
        UsageError: they are not all shards of one run.
    """
    try:
        headers = [checked(Header, shard.header.gate, "the gate's header") for shard in shards]
    except ValueError as error:
        raise UsageError(f"these are no results of a gate: {error}", "give those of headcount gate") from error
    if len({shard.header.builds for shard in shards}) > 1:
        raise UsageError("the results come from different builds", "merge the shards of one run")
    for name in ("shards", "strict", "api_breaks"):
        if len({getattr(header, name) for header in headers}) > 1:
            raise UsageError(f"the results come from different gates: {name} differs", "merge the shards of one run")
    numbers, count = [header.shard for header in headers], headers[0].shards
    if missing := next((number for number in range(1, count + 1) if number not in numbers), 0):
        raise UsageError(f"shard {missing} of {count} is missing", "give the results of all shards")
    if len(numbers) != count or len({build.label for build in shards[0].header.builds}) != len(("base", "candidate")):
        raise UsageError("these are no results of a gate: a shard too many, or not two builds", "give each shard once")
    return headers


def _is_of_a_call(broken: ApiBreak) -> bool:
    """Return whether a name is one that a call uses: a pruner, a parameter of one, or a criterion."""
    if "(" in broken.path:
        return re.search(rf"\b({'|'.join(Pruner)}|BasePruner)\b", broken.path) is not None
    return broken.name.endswith("Importance") or broken.name in set(Pruner)
