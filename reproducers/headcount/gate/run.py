"""A gate's run: every cell on both builds, what ran of what changed, random calls, and what got worse once more."""

import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from packaging.version import Version

from headcount import builds, environment, errors, examine, matrix, results, untrusted
from headcount.gate.api import api_breaks
from headcount.explore.draw import draws
from headcount.gate import exercise, source
from headcount.gate.compare import (
    ApiBreak,
    Change,
    Difference,
    Ending,
    GateVerdict,
    change_between,
    compare,
    failure_of,
    is_fine,
    is_unexplained,
)
from headcount.gate.exercise import Exercised
from headcount.isolation import Cache, Engine, landlock
from headcount.matrix.cells import ISSUE_410, default_cells
from headcount.models import FAMILIES, Model
from headcount.observation import Observation

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
    "seed": "gates with different seeds",
    "require_exercised": "gates with --require-exercised and without",
}

#: Random calls that are drawn at a time; most of them; and after how many the search is given up if none reaches
#: what changed.
_BATCH = 16
_MOST_DRAWS = 2000
_IN_VAIN = 64

#: Where a smaller share of the cells runs what changed, random calls are asked first whether they do.
_RARE = 0.5

#: Cells of one cause of failure that are run again before its others are believed.
_VERIFIED = 3

#: What became of a cell in which two builds differ.
_DIFFERENT = (Change.REGRESSED, Change.FLAKY, Change.CHANGED, Change.FIXED)

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
        looks: find out which changes of the source ran.
        budget: seconds for random calls; 0 for none.
        draws: so many random calls, in place of the budget; 0 for as many as the budget allows.
        require_exercised: a change that did not run is a doubt.
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
    looks: bool = True
    budget: float = 0.0
    draws: int = 0
    require_exercised: bool = False

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
    with Cache() as cache, Engine(cache=cache, fresh=not wanted.recalls) as engine:
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
    return results.Writer(path, (wanted.base, wanted.candidate), gate=untrusted.plain(header(wanted)))


class Watcher:
    """Is told what a run does. Subclass and override what is to be shown."""

    def row(self, row: results.Row) -> None:
        """Hear of a finished row."""

    def traced(self, observation: Observation) -> None:
        """Hear of a finished call on a build's copy."""

    def more(self, number: int) -> None:
        """Hear that so many calls are run in addition, before they are."""

    def say(self, line: str) -> None:
        """Hear what is done next."""


# --- the run -------------------------------------------------------------------------------------


def run_both(
    wanted: Request, writer: results.Writer, watcher: Watcher | None = None
) -> tuple[Ending, Mapping[str, Sequence[matrix.Cell]]]:
    """Run every cell on both builds, and random calls; look for what ran of what changed; write it all.

    Returns:
        What it adds to its rows; and the candidate's failure, as text -> the cells in which it got worse so, the most
        frequent failure first, and first in each the cells that were fine.

    Raises:
        SetupError: processes cannot be started, or the disk fails.
    """
    with examine.Pool() as pool:
        run = _Run(wanted, pool, watcher or Watcher(), cells(wanted))
        run.both()
        run.look()
        run.draw()
        run.verify()
    for row in run.rows:
        writer.write(row)
    whole = {
        wanted.base.label: builds.is_whole(wanted.base),
        wanted.candidate.label: builds.is_whole(wanted.candidate),
        "headcount itself": environment.source_digest() == environment.harness_digest(),
    }
    run.doubts += [f"{name} was edited while it ran" for name, is_whole in whole.items() if not is_whole]
    ending = run.ended()
    writer.gate = untrusted.plain(ending)
    worse: dict[str, list[matrix.Cell]] = defaultdict(list)
    for cell in (*run.cells, *run.drawn):
        if run.is_worse(cell.id):  # still, now that it is known which failures repeat
            worse[str(failure_of(run.after[cell.id]))].append(cell)
    return ending, {
        failure: sorted(cells, key=lambda cell: (not is_fine(run.before[cell.id]), len(cell.id)))
        for failure, cells in sorted(worse.items(), key=lambda pair: -len(pair[1]))
    }


class _Run:
    """One gate's run: the state that its stages hand on."""

    def __init__(self, wanted: Request, pool: examine.Pool, watcher: Watcher, cells: Sequence[matrix.Cell]) -> None:
        self.wanted, self.pool, self.watcher, self.cells = wanted, pool, watcher, cells
        self.before: dict[str, results.Row] = {}
        self.after: dict[str, results.Row] = {}
        self.drawn: list[matrix.Cell] = []
        self.draws = 0
        self.changes = source.changes(wanted.base, wanted.candidate)
        self.doubts = [f"what changed in {name} is not known: {why}" for name, why in self.changes.unread.items()]
        #: Call -> the probes that ran, of the base and of the candidate.
        self.ran: tuple[dict[str, int], dict[str, int]] = ({}, {})
        # A build against itself would be compared with what was seen before.
        self.recalls = wanted.recalls and wanted.candidate.digest != wanted.base.digest

    @property
    def rows(self) -> Iterator[results.Row]:
        yield from self.before.values()
        yield from self.after.values()

    def is_worse(self, id_: str) -> bool:
        return change_between(self.before[id_], self.after[id_]) is Change.REGRESSED

    # --- the stages ---

    def both(self) -> None:
        # All of the base first: nothing that a candidate does to the machine can change what is seen of it.
        self.before = self._rows(self.wanted.base, self.cells, recall=self.wanted.recalls)
        self.after = self._rows(self.wanted.candidate, self.cells, recall=self.recalls)

    def look(self) -> None:
        """Look for what ran of what changed."""
        if not (self.changes.gone or self.changes.new) or not self.wanted.looks:
            return
        self.watcher.say("looking for what ran of what changed")
        old = source.source(self.wanted.base)
        self._trace(0, self.cells)
        first = exercise.chosen(old, self.changes, self.ran[0], [*self._differing(self.cells), *self.cells])
        self._trace(1, first)
        if unrun := self._unrun():
            others = [cell for cell in self.cells if cell not in first]
            self._trace(1, exercise.chosen(old, unrun, self.ran[0], others))

    def draw(self) -> None:
        """Run random calls on both builds, such as run what changed."""
        wanted = self.wanted
        if not (self.changes.gone or self.changes.new) or not (wanted.draws or wanted.budget):
            return
        self.watcher.say("running random calls that reach what changed")
        most, end = wanted.draws or _MOST_DRAWS, time.monotonic() + wanted.budget
        # Each shard draws its own.
        calls = draws(wanted.drawn_by + 1_000_000 * (wanted.shard[0] - 1), _families())
        while self.draws < most and (wanted.draws or time.monotonic() < end):
            batch = [*islice(calls, min(_BATCH, most - self.draws))]
            self.draws += len(batch)
            self._run_drawn([cell for cell in batch if cell.id not in self.before])
            if self.draws >= _IN_VAIN and not self.drawn:
                return  # no call reaches it

    def _run_drawn(self, batch: list[matrix.Cell]) -> None:
        """Run random calls on both builds. Where few calls run what changed, or none does, others are left out."""
        if self.ran[1] and (self._share() < _RARE or self._unrun()):
            self._trace(1, batch)
            mask = exercise.union(exercise.masks(source.source(self.wanted.candidate), self.changes.new))
            if self.changes.new:
                batch = [cell for cell in batch if self.ran[1].get(cell.id, 0) & mask]
        self.watcher.more(2 * len(batch))
        self.before |= self._rows(self.wanted.base, batch, recall=self.wanted.recalls)
        self.after |= self._rows(self.wanted.candidate, batch, recall=self.recalls)
        self.drawn += batch

    def verify(self) -> None:
        """Run what may not repeat once more, in fresh processes: of each cause of failure a few cells first."""
        groups: dict[str, list[matrix.Cell]] = defaultdict(list)
        for cell in (*self.cells, *self.drawn):
            if self.is_worse(cell.id):
                groups[str(failure_of(self.after[cell.id]))].append(cell)
        self._trace(0, [cell for cell in self.drawn if self.ran[0] and self.is_worse(cell.id)])
        for group in groups.values():
            few = group[:_VERIFIED]
            if not self._again(self.wanted.candidate, self.after, few, self.is_worse_row, recall=self.recalls):
                rest = group[_VERIFIED:]
                self._again(self.wanted.candidate, self.after, rest, self.is_worse_row, recall=self.recalls)

        def is_odd(row: results.Row) -> bool:
            return is_unexplained(row) and change_between(row, self.after[row.cell]) is not Change.NOT_COMPARED

        def fails_alike(row: results.Row) -> bool:
            return failure_of(self.before[row.cell]) == failure_of(row)

        # The machine may be at fault for what fails on the base unexplained: it must hide nothing.
        # It must fail as it did, and nothing is looked up: to fail in some way may be the machine's doing, twice.
        # (A random call's failure is recorded nowhere: it is compared as it was seen.)
        odd = [cell for cell in self.cells if is_odd(self.before[cell.id])]
        self._again(self.wanted.base, self.before, odd, fails_alike, recall=False)

    def is_worse_row(self, row: results.Row) -> bool:
        return change_between(self.before[row.cell], row) is Change.REGRESSED

    def ended(self) -> Ending:
        """Return what this run adds to its rows."""
        differing = {id_ for id_ in self.after if self._differs(id_)}
        both = (self.wanted.base, self.wanted.candidate)
        functions = exercise.by_function(source.source(self.wanted.base), self.changes)
        return Ending(
            doubts=tuple(self.doubts),
            exercised=exercise.exercised(both, self.changes, self.ran, differing) if self.ran[0] else (),
            traced=tuple(self.ran[1]),
            functions={
                id_: tuple(name for name, mask in functions.items() if self.ran[0].get(id_, 0) & mask)
                for id_ in self.after
                if self.is_worse(id_)
            },
            drawn=tuple(cell.id for cell in self.drawn),
            draws=self.draws,
        )

    # --- what the stages have in common ---

    def _rows(self, build: builds.Overlay, cells: Sequence[matrix.Cell], *, recall: bool) -> dict[str, results.Row]:
        return {row.cell: row for row in map(self._row, self.pool.examine(build, cells, recall=recall))}

    def _row(self, examined: examine.Examined) -> results.Row:
        self.watcher.row(row := results.Row.of(examined))
        return row

    def _again(
        self,
        build: builds.Overlay,
        rows: dict[str, results.Row],
        cells: Sequence[matrix.Cell],
        holds: Callable[[results.Row], bool],
        *,
        recall: bool,
    ) -> bool:
        """Run cells again, each in a fresh process, note in their rows whether they repeat, and return if all do."""
        self.watcher.more(len(cells))
        for examined in self.pool.again(build, cells, recall=recall):
            repeats, id_ = holds(self._row(examined)), examined.cell.id
            rows[id_] = replace(rows[id_], repeats=repeats)
            if not repeats:
                with self.pool.engine() as engine:
                    engine.forget(build, examined.cell)  # no later run may look it up
        return all(rows[cell.id].repeats for cell in cells)

    def _trace(self, which: int, cells: Sequence[matrix.Cell]) -> None:
        """Run cells on a build's copy with probes."""
        build, rows = ((self.wanted.base, self.before), (self.wanted.candidate, self.after))[which]
        defaults = [piece for piece in self.changes.new if piece.kind is source.Kind.DEFAULT] if which else ()
        new = [cell for cell in cells if cell.id not in self.ran[which]]
        self.watcher.more(len(new))
        seen = {id_: row.seen for id_, row in rows.items()}
        if not new:
            return
        recall = self.recalls if which else self.wanted.recalls
        trace = exercise.traced(self.pool, build, new, seen, defaults=defaults, recall=recall, done=self.watcher.traced)
        self.ran[which].update(trace.ran)
        if trace.unlike:
            self.doubts.append(
                f"the copy of {build.label} that says what ran does something else"
                f" in {len(trace.unlike)} calls, as {trace.unlike[0]}"
            )

    def _unrun(self) -> source.Changes | None:
        """Return the candidate's changes that no call has run; None if there are none."""
        new = self.changes.new
        masks = exercise.masks(source.source(self.wanted.candidate), new)
        left = tuple(p for p, mask in zip(new, masks, strict=True) if not any(n & mask for n in self.ran[1].values()))
        return replace(self.changes, gone=(), new=left) if left else None

    def _share(self) -> float:
        """Return the share of the cells that run what changed, as the base's copy says."""
        functions = exercise.by_function(source.source(self.wanted.base), self.changes)
        mask = exercise.union(functions.values())
        return sum(bool(number & mask) for number in self.ran[0].values()) / max(len(self.ran[0]), 1)

    def _differs(self, id_: str) -> bool:
        return change_between(self.before[id_], self.after[id_]) in _DIFFERENT

    def _differing(self, cells: Sequence[matrix.Cell]) -> list[matrix.Cell]:
        return [cell for cell in cells if self._differs(cell.id)]


def _families() -> tuple[str, ...]:
    """Return the families that are drawn from: ViT as often as all others together."""
    others = tuple(name for name in FAMILIES if name != Model.family)
    return (Model.family,) * len(others) + others


# --- the verdict ---------------------------------------------------------------------------------


def summed_up(shards: Sequence[results.Results], *, strict: bool = False) -> GateVerdict:
    """Return the verdict on a run's results: of one machine, or the shards of several.

    Args:
        strict: a change fails too, though the run did not say so.

    Raises:
        UsageError: they are not all shards of one run: one is missing, cut off, there twice, or of another run.
    """
    whole = results.merge(shards)
    headers, endings = _headers(shards), _endings(shards)
    base, candidate = whole.header.builds
    before, after = ([row for row in whole.rows if row.build == build.label] for build in (base, candidate))
    meant = {
        re.findall(r"\w+", each.path)[-1]
        for each in headers[0].api_breaks
        if each.removed and each.allowed and _USED.search(each.path)
    }
    ending = merged(endings, [doubt for header in headers for doubt in header.doubts])
    differences = compare(before, after, {cell.id: cell.config.uses(meant) for cell in _run_by(headers[0])})
    return GateVerdict(
        base,
        candidate,
        whole.header.environment,
        tuple(_as_drawn(each) if each.cell in ending.drawn else each for each in differences),
        headers[0].api_breaks,
        ending,
        strict or headers[0].strict,
        bool(headers[0].chosen),
        headers[0].seed,
        headers[0].require_exercised,
    )


def _as_drawn(difference: Difference) -> Difference:
    """Return what became of a random call: of one that the base does not finish, nothing can be said."""
    lost = difference.change is Change.INDETERMINATE and difference.base is not None
    return replace(difference, change=Change.NOT_COMPARED) if lost and not is_fine(difference.base) else difference


def _endings(shards: Sequence[results.Results]) -> list[Ending]:
    """Return what each shard's run adds to its rows.

    Raises:
        UsageError: one has none.
    """
    try:
        return [untrusted.checked(Ending, shard.footer.gate, "the gate's end") for shard in shards if shard.footer]
    except ValueError as error:
        raise errors.UsageError(f"these are no results of a gate: {error}", "give those of headcount gate") from error


def merged(endings: Sequence[Ending], doubts: Sequence[str]) -> Ending:
    """Return the endings of all shards as one, with the doubts of their headers."""
    changes: dict[tuple[object, ...], Exercised] = {}
    for change in (change for ending in endings for change in ending.exercised):
        key = (change.file, change.function, change.first, change.last, change.gone, change.kind)
        known = changes.get(key)
        cells = (*known.cells, *change.cells) if known else change.cells
        changes[key] = replace(
            change,
            cells=cells,
            differ=change.differ + (known.differ if known else 0),
            why="" if cells else change.why,
        )
    return Ending(
        tuple(dict.fromkeys([*doubts, *(doubt for ending in endings for doubt in ending.doubts)])),
        {failure: text for ending in reversed(endings) for failure, text in ending.reproducers.items()},
        tuple(changes.values()),
        tuple(id_ for ending in endings for id_ in ending.traced),
        {id_: names for ending in endings for id_, names in ending.functions.items()},
        tuple(id_ for ending in endings for id_ in ending.drawn),
        sum(ending.draws for ending in endings),
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
