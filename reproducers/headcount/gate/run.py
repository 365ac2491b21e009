"""A gate run: both builds asked every cell, on all cores, each regression once more, and all of it written down."""

import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from queue import SimpleQueue
from typing import Any, Self

from packaging.version import Version

from headcount import builds, results
from headcount.isolation import landlock as confinement
from headcount.gate import compare as gate
from headcount.gate import api as interface
from headcount.matrix import cells as matrix
from headcount.builds import Overlay
from headcount.matrix.config import Pruner
from headcount.isolation.engine import Engine
from headcount.environment import harness_digest, source_digest
from headcount.errors import UsageError
from headcount.untrusted import checked
from headcount.gate.compare import Breach, Sort, Verdict
from headcount.matrix import Cell
from headcount.results import Results, Row, Writer, judged
from headcount.isolation.cache import Store

#: Cells that one process is asked at a time: few enough that none waits long for another at the end.
_AT_ONCE = 8

#: Seconds that a cell is taken to last which no one has recorded.
_UNRECORDED = 0.05

Tell = Callable[[Row], None]


@dataclass(frozen=True)
class Request:
    """What is asked of a candidate.

    Attributes:
        allow_api: removals of names that are meant.
        same_version: whether it may bear the base's version: a pull request, not a release.
        seed: of the order in which cells are asked; None for the matrix's.
        shard: which part of the cells: (1, 3) is the first of three.
        fresh: ask anew what was observed before.
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
        return not self.fresh and confinement.version() > 0


def request(base: Overlay, candidate: Overlay, **options: Any) -> Request:
    """A request in which the two builds have two names, though they may be one."""
    if base.label == candidate.label:
        base = replace(base, label=f"{base.label}~base")
    return Request(base, candidate, **options)


def cells(asked: Request) -> list[Cell]:
    """The cells of a shard. They are dealt out by how long each took when it was last recorded, the longest first."""
    number, shards = asked.shard
    loads = [0.0] * shards
    own = set()
    for cell in sorted(every_cell(), key=lambda cell: (-_durations().get(cell.id, 0.0), cell.id)):
        lightest = loads.index(min(loads))
        loads[lightest] += _durations().get(cell.id, _UNRECORDED)
        if lightest == number - 1:
            own.add(cell)
    found = [cell for cell in every_cell() if cell in own]
    if asked.seed is not None:
        random.Random(asked.seed).shuffle(found)  # noqa: S311 - an order is no secret
    return found


def every_cell() -> list[Cell]:
    """What all shards together are asked."""
    return [matrix.ISSUE_410, *matrix.default_cells()]


@cache
def _durations() -> Mapping[str, float]:
    """Cell -> seconds of a build's own work, as `nox -s bench -- --record` has written them."""
    found: dict[str, float] = json.loads(files("headcount").joinpath("durations.json").read_text("utf-8"))
    return found


@dataclass(frozen=True)
class Header:
    """What a run's results say besides rows; the same for all its shards, but for their number and doubts."""

    base: str
    candidate: str
    shard: int
    shards: int
    strict: bool
    breaches: tuple[Breach, ...]
    doubts: tuple[str, ...]


def header(asked: Request) -> dict[str, Any]:
    """The header of a run, as plain values.

    Raises:
        UsageError: a build's source cannot be read.
    """
    base, candidate = asked.base.label, asked.candidate.label
    breaches, unknown = _breaches(asked)
    return asdict(Header(base, candidate, *asked.shard, asked.strict, breaches, (*_doubts(asked), *unknown)))


def _header(shard: Results) -> Header:
    """A shard's header, read back.

    Raises:
        UsageError: it is none of a gate's.
    """
    try:
        found = checked(Header, shard.header.get("gate"), "what it says of a gate")
    except ValueError as error:
        raise UsageError(f"these are no results of a gate: {error}", "give those of headcount gate") from error
    listed = {build["label"] for build in shard.header["builds"]}
    if (
        found.base == found.candidate
        or not {found.base, found.candidate} <= listed
        or not 1 <= found.shard <= found.shards
    ):
        raise UsageError("these are no results of a gate: its header is none", "give those of headcount gate")
    return found


def run(asked: Request, writer: Writer, tell: Tell, more: Callable[[int], None] = lambda _: None) -> dict[str, Cell]:
    """Ask both builds every cell; the rows are written as they come, and last what makes them doubtful.

    Args:
        tell: called with each row.
        more: called with the number of cells that are asked once more, before they are.

    Returns:
        A failure, as `gate.failure` has it -> a cell in which the candidate got worse so.

    Raises:
        SetupError: processes cannot be started.
    """
    with _Pool() as pool:
        wanted = cells(asked)
        # All of the base first: nothing that a candidate does to the machine can change what is seen of it.
        base = {row["cell"]: row for row in pool.rows(asked.base, wanted, tell, recall=asked.recalls)}
        # One and the same build would be compared with what it was.
        recall = asked.recalls and asked.candidate.digest != asked.base.digest
        found = {row["cell"]: row for row in pool.rows(asked.candidate, wanted, tell, recall=recall)}
        differences = gate.compare(base.values(), found.values())
        worse = {d.cell for d in differences if d.sort is Sort.REGRESSED}
        # What fails on the base, and no known defect explains, may be the machine's fault: it must hide nothing.
        odd = {d.cell for d in differences if _is_odd(d.base) and d.sort is not Sort.NOT_COMPARED}
        for build, rows, cells_ in ((asked.candidate, found, worse), (asked.base, base, odd)):
            more(len(cells_))
            again = [cell for cell in wanted if cell.id in cells_]
            # What a base did for no known reason is never taken for granted.
            for cell, row in pool.again(build, again, recall=recall and build is asked.candidate):
                tell(row)
                if build is asked.candidate:
                    repeats = gate.sort(base[cell.id], row) is Sort.REGRESSED
                else:  # it must fail as it did: that it fails in some way may be the machine's doing, twice
                    repeats = gate.failure(row) == gate.failure(rows[cell.id])
                rows[cell.id]["repeats"] = repeats
                if not repeats:
                    pool.forget(build, cell)
    for row in base.values():
        writer.write(row)
    for row in found.values():
        writer.write(row)
    edited = [o.label for o in (asked.base, asked.candidate) if not builds.is_whole(o)]
    edited += ["headcount itself"] if source_digest() != harness_digest() else []
    writer.closing["doubts"] = [f"{name} was edited while it ran" for name in edited]
    # Of those that were worse, the ones that still are, now that it is known which failures repeat.
    still = [cell for cell in wanted if cell.id in worse and gate.sort(base[cell.id], found[cell.id]) is Sort.REGRESSED]
    firsts: dict[str, Cell] = {}
    for cell in still:
        firsts.setdefault(gate.failure(found[cell.id]), cell)
    return firsts


def summed_up(shards: Sequence[Results], *, strict: bool = False) -> Verdict:
    """The verdict on a run's results: of one machine, or the shards of several.

    Args:
        strict: a change fails too, though the run was not asked to say so.

    Raises:
        UsageError: they are not all shards of one run: one is missing, cut off, there twice, or of another run.
    """
    whole = results.merge(shards)
    headers = [_header(shard) for shard in shards]
    first = headers[0]
    for name in ("base", "candidate", "shards", "strict", "breaches"):
        if any(getattr(found, name) != getattr(first, name) for found in headers):
            raise UsageError(f"the results come from different gates: {name} differs", "merge the shards of one run")
    if any(shard.header["builds"] != shards[0].header["builds"] for shard in shards):
        raise UsageError("the results come from different builds", "merge the shards of one run")
    numbers = sorted(found.shard for found in headers)
    if len(numbers) < first.shards:
        missing = next(n for n in range(1, first.shards + 1) if n not in numbers)
        raise UsageError(f"shard {missing} of {first.shards} is missing", "give the results of all shards")
    if len(set(numbers)) < len(numbers):
        raise UsageError("a shard is there twice", "give each once")
    by_label = {build["label"]: build for build in whole.header["builds"]}
    rows = {label: [row for row in whole.rows if row["build"] == label] for label in by_label}
    doubts = [doubt for found in headers for doubt in found.doubts]
    meant = {breach.name for breach in first.breaches if breach.removed and breach.allowed and _is_the_calls(breach)}
    doubts += [doubt for shard in shards for doubt in (shard.footer or {}).get("doubts", ())]
    return Verdict(
        base=by_label[first.base],
        candidate=by_label[first.candidate],
        environment=whole.header["environment"],
        differences=gate.compare(
            rows[first.base],
            rows[first.candidate],
            [cell.id for cell in every_cell()],
            {cell.id: cell.config.uses(meant) for cell in every_cell()},
        ),
        breaches=first.breaches,
        doubts=tuple(dict.fromkeys(doubts)),
        strict=strict or first.strict,
        reproducers={f: text for s in shards for f, text in (s.footer or {}).get("reproducers", {}).items()},
    )


def _breaches(asked: Request) -> tuple[tuple[Breach, ...], tuple[str, ...]]:
    """What the source says, and what the imported package says; and what of the latter cannot be told."""
    both = (asked.base, asked.candidate)
    with Store() as store, Engine(store=store, fresh=not asked.recalls) as engine:
        offered, offers = (interface.listed(engine.run_script(o, interface.LISTING, recall=True).answer) for o in both)
        if offers and (unlisted := offered.keys() - offers.keys()):
            question = interface.question(unlisted)
            run = engine.run_script(asked.candidate, interface.LISTING, recall=True, environment=question)
            offers = {**offers, **interface.listed(run.answer)}
    unknown = tuple(
        f"what {overlay.label} offers once it is imported cannot be told"
        for overlay, names in zip(both, (offered, offers), strict=True)
        if not names
    )
    return interface.breaches(asked.base, asked.candidate, asked.allow_api, offered, offers), unknown


def _is_the_calls(breach: Breach) -> bool:
    """Whether a name is one that a call uses: a pruner, a parameter of one, or a criterion."""
    if "(" in breach.path:
        return re.search(rf"\b({'|'.join(Pruner)}|BasePruner)\b", breach.path) is not None
    return breach.name.endswith("Importance") or breach.name in set(Pruner)


def _is_odd(row: Row) -> bool:
    """Whether it fails, and no known defect says why."""
    return not gate.is_fine(row) and row["defect"] is None


def _doubts(asked: Request) -> list[str]:
    """What is doubtful before anything is run."""
    base, candidate = asked.base, asked.candidate
    if (
        Version(candidate.version) == Version(base.version)
        and candidate.digest != base.digest
        and not asked.same_version
    ):
        taken = f"{candidate.label} says that it is {candidate.version}, as {base.label} does, and has other code"
        return [f"{taken} (a release needs a new version; --same-version for a pull request)"]
    if Version(candidate.version) < Version(base.version) and not asked.same_version:
        older = f"{candidate.label} says that it is {candidate.version}, which is older than {base.version}"
        return [f"{older} (a release needs a new version; --same-version for a pull request)"]
    return []


class _Pool:
    """Engines, one for each core, and threads that wait for their answers."""

    def __init__(self, cores: int = os.cpu_count() or 1) -> None:
        self._stores = [Store() for _ in range(cores)]
        self._all = [Engine(store=store) for store in self._stores]
        self._free: SimpleQueue[Engine] = SimpleQueue()
        for engine in self._all:
            self._free.put(engine)
        self._threads = ThreadPoolExecutor(cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for engine in self._all:
            engine.close()
        self._threads.shutdown()
        for store in self._stores:
            store.close()

    def rows(self, overlay: Overlay, wanted: Sequence[Cell], tell: Tell, *, recall: bool) -> list[Row]:
        """What a build does with these cells, in their order."""

        def ask(part: Sequence[Cell]) -> list[Row]:
            with self._engine() as engine:
                return [judged(overlay, cell, engine.run(overlay, cell, recall=recall)) for cell in part]

        found = []
        parts = [wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE)]
        for part in self._threads.map(ask, parts):
            for row in part:
                tell(row)
                found.append(row)
        return found

    def again(self, overlay: Overlay, wanted: Sequence[Cell], *, recall: bool) -> Iterable[tuple[Cell, Row]]:
        """What a build does with each in a process that has run nothing else."""

        def ask(cell: Cell) -> tuple[Cell, Row]:
            with self._engine() as engine:
                return cell, judged(overlay, cell, engine.run(overlay, cell, alone=True, recall=recall))

        return self._threads.map(ask, wanted)

    def forget(self, overlay: Overlay, cell: Cell) -> None:
        """Let no later run look up what a build did with a cell."""
        with self._engine() as engine:
            engine.forget(overlay, cell)

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)
