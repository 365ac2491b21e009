"""A gate's run: every cell on both builds, on all cores, each regression once more, and all of it written down."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from headcount import builds, environment, errors, examine, matrix, results, untrusted
from headcount.gate.api import api_breaks
from headcount.gate.compare import ApiBreak, Change, GateVerdict, change_between, compare, failure_of, is_unexplained
from headcount.isolation import Cache, Engine, landlock
from headcount.matrix.cells import ISSUE_410, default_cells

#: Cell -> seconds of a build's own work, as `nox -s bench -- --record` has written them.
_DURATIONS: Mapping[str, float] = json.loads(Path(__file__).with_name("durations.json").read_text("utf-8"))

#: Seconds that a cell is taken to last if its time is not recorded.
_UNRECORDED = 0.05

#: What shards of one run have in common, and what is wrong with others.
_DIFFERENCES = {
    "builds": "different builds",
    "shards": "gates with different numbers of shards",
    "strict": "gates with --strict and without",
    "api_breaks": "gates that found different public names",
    "chosen": "gates of different cells",
}

_PRUNERS = "|".join(matrix.Pruner)

#: The path of a name that a cell's call uses: a pruner's parameter, a pruner, or a criterion.
_USED = re.compile(rf"\b({_PRUNERS}|BasePruner)\b.*\(|^[^(]*(\b({_PRUNERS})|Importance)$")


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

    @property
    def recalls(self) -> bool:
        """Whether what was observed before may be looked up: a candidate that nothing confined may have forged it."""
        return not self.fresh and landlock.version() > 0


def request(base: builds.Overlay, candidate: builds.Overlay, **options: Any) -> Request:
    """Return a request in which the two builds have two names, though they may be one."""
    label = f"{base.label}~base" if base.label == candidate.label else base.label
    return Request(replace(base, label=label), candidate, **options)


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
    """

    shard: int
    shards: int
    strict: bool
    api_breaks: tuple[ApiBreak, ...]
    doubts: tuple[str, ...]
    chosen: tuple[str, ...] = ()


def header(wanted: Request) -> Header:
    """Return the header of a run.

    Raises:
        UsageError: a build's source cannot be read.
    """
    with Cache() as cache, Engine(cache=cache, fresh=not wanted.recalls) as engine:
        broken, unlisted = api_breaks(engine, wanted.base, wanted.candidate, wanted.allow_api)
    doubts = [
        _version_doubt(wanted),
        *(f"what {label} offers once it is imported cannot be listed" for label in unlisted),
    ]
    chosen = tuple(cell.id for cell in wanted.chosen)
    return Header(*wanted.shard, wanted.strict, broken, tuple(filter(None, doubts)), chosen)


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
    return results.Writer(path, (wanted.base, wanted.candidate), gate=untrusted.plain(header(wanted)))


# --- the run -------------------------------------------------------------------------------------


def run_both(
    wanted: Request,
    writer: results.Writer,
    tell: Callable[[results.Row], None],
    more: Callable[[int], None] = lambda _: None,
) -> dict[str, matrix.Cell]:
    """Run every cell on both builds, then once more what may not repeat; write the rows, and what is doubtful.

    Args:
        tell: called with each row.
        more: called with the number of cells that are run once more, before they are.

    Returns:
        The candidate's failure, as text -> the first cell in which it got worse so.

    Raises:
        SetupError: processes cannot be started.
    """
    with examine.Pool() as pool:
        run = _Run(pool, cells(wanted), tell, more)
        # All of the base first: nothing that a candidate does to the machine can change what is seen of it.
        base = run.rows(wanted.base, recall=wanted.recalls)
        # A build against itself would be compared with what was seen before.
        recall = wanted.recalls and wanted.candidate.digest != wanted.base.digest
        found = run.rows(wanted.candidate, recall=recall)

        def is_worse(row: results.Row) -> bool:
            return change_between(base[row.cell], row) is Change.REGRESSED

        def is_odd(row: results.Row) -> bool:
            return is_unexplained(row) and change_between(row, found[row.cell]) is not Change.NOT_COMPARED

        def fails_alike(row: results.Row) -> bool:
            return failure_of(base[row.cell]) == failure_of(row)

        run.again(wanted.candidate, found, is_worse, is_worse, recall=recall)
        # The machine may be at fault for what fails on the base unexplained: it must hide nothing.
        # It must fail as it did, and nothing is looked up: to fail in some way may be the machine's doing, twice.
        run.again(wanted.base, base, is_odd, fails_alike, recall=False)
    for row in (*base.values(), *found.values()):
        writer.write(row)
    whole = {
        wanted.base.label: builds.is_whole(wanted.base),
        wanted.candidate.label: builds.is_whole(wanted.candidate),
        "headcount itself": environment.source_digest() == environment.harness_digest(),
    }
    writer.doubts = tuple(f"{name} was edited while it ran" for name, is_whole in whole.items() if not is_whole)
    firsts: dict[str, matrix.Cell] = {}
    for cell in run.cells:
        if is_worse(row := found[cell.id]):  # still, now that it is known which failures repeat
            firsts.setdefault(str(failure_of(row)), cell)
    return firsts


@dataclass(frozen=True)
class _Run:
    """Cells on builds, each row reported."""

    pool: examine.Pool
    cells: Sequence[matrix.Cell]
    tell: Callable[[results.Row], None]
    more: Callable[[int], None]

    def rows(self, build: builds.Overlay, *, recall: bool) -> dict[str, results.Row]:
        return {row.cell: row for row in map(self._row, self.pool.examine(build, self.cells, recall=recall))}

    def again(
        self,
        build: builds.Overlay,
        rows: dict[str, results.Row],
        needs: Callable[[results.Row], bool],
        holds: Callable[[results.Row], bool],
        *,
        recall: bool,
    ) -> None:
        """Run the cells that need it again, each in a fresh process, and note in their rows whether they repeat."""
        cells = [cell for cell in self.cells if needs(rows[cell.id])]
        self.more(len(cells))
        for examined in self.pool.again(build, cells, recall=recall):
            repeats, id_ = holds(self._row(examined)), examined.cell.id
            rows[id_] = replace(rows[id_], repeats=repeats)
            if not repeats:
                with self.pool.engine() as engine:
                    engine.forget(build, examined.cell)  # no later run may look it up

    def _row(self, examined: examine.Examined) -> results.Row:
        self.tell(row := results.Row.of(examined))
        return row


# --- the verdict ---------------------------------------------------------------------------------


def summed_up(shards: Sequence[results.Results], *, strict: bool = False) -> GateVerdict:
    """Return the verdict on a run's results: of one machine, or the shards of several.

    Args:
        strict: a change fails too, though the run did not say so.

    Raises:
        UsageError: they are not all shards of one run: one is missing, cut off, there twice, or of another run.
    """
    whole = results.merge(shards)
    headers = _headers(shards)
    footers = [shard.footer for shard in shards if shard.footer]
    base, candidate = whole.header.builds
    before, after = ([row for row in whole.rows if row.build == build.label] for build in (base, candidate))
    meant = {
        re.findall(r"\w+", each.path)[-1]
        for each in headers[0].api_breaks
        if each.removed and each.allowed and _USED.search(each.path)
    }
    doubts = [header.doubts for header in headers] + [footer.doubts for footer in footers]
    return GateVerdict(
        base,
        candidate,
        whole.header.environment,
        compare(before, after, {cell.id: cell.config.uses(meant) for cell in _run_by(headers[0])}),
        headers[0].api_breaks,
        tuple(dict.fromkeys(doubt for found in doubts for doubt in found)),
        strict or headers[0].strict,
        {failure: text for footer in footers for failure, text in footer.reproducers.items()},
        bool(headers[0].chosen),
    )


def _run_by(header: Header) -> list[matrix.Cell]:
    """Return what all shards of a run together run.

    Raises:
        UsageError: a cell that was named is none.
    """
    try:
        return [matrix.Cell.parse(id_) for id_ in header.chosen] or every_cell()
    except (ValueError, ZeroDivisionError) as error:
        raise errors.UsageError(f"these are no results of a gate: {error}", "give those of headcount gate") from error


def _headers(shards: Sequence[results.Results]) -> list[Header]:
    """Return what the shards say of the gate.

    Raises:
        UsageError: they are not all shards of one run.
    """
    try:
        headers = [untrusted.checked(Header, shard.header.gate, "the gate's header") for shard in shards]
    except ValueError as error:
        raise errors.UsageError(f"these are no results of a gate: {error}", "give those of headcount gate") from error
    said = [{"builds": s.header.builds, **vars(h)} for s, h in zip(shards, headers, strict=True)]
    for name, difference in _DIFFERENCES.items():
        if any(each[name] != said[0][name] for each in said):
            raise errors.UsageError(f"the results come from {difference}", "merge the shards of one run")
    numbers, wanted = sorted(header.shard for header in headers), range(1, headers[0].shards + 1)
    if missing := next((number for number in wanted if number not in numbers), 0):
        raise errors.UsageError(f"shard {missing} of {len(wanted)} is missing", "give the results of all shards")
    if numbers != [*wanted] or len({build.label for build in shards[0].header.builds}) != len(("base", "candidate")):
        raise errors.UsageError(
            "these are no results of a gate: a shard too many, or not two builds", "give each shard once"
        )
    return headers
