"""A gate's run: every cell on both builds, what ran of what changed, random calls, and what got worse once more."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice

from headcount import builds, environment, examine, matrix, oracle, results, untrusted, wording
from headcount.explore.draw import draws, varied
from headcount.gate import exercise, source
from headcount.gate.compare import Change, Ending, change_between, failure_of, is_fine, is_unexplained
from headcount.gate.plan import Request, cells
from headcount.gate.probes import probed
from headcount.models import ENDING, Model
from headcount.observation import Observation

#: Random calls that are drawn at a time, and at most. If none of the first ones runs a change, no more are drawn.
_BATCH = 16
_MOST_DRAWS = 2000
_IN_VAIN = 64

#: A change is rare if a smaller share of the cells runs it. Then each random call is run on the copies first, to see
#: whether it runs the change.
_RARE = 0.5

#: Cells of one cause of failure that are run again before its others are believed.
_VERIFIED = 3

#: How often a cell is run that did not repeat once, before it counts as fine. What fails half of the times passes all
#: of these in one run of 256, and what fails one time in four in one of ten.
_TIMES = 8

#: What became of a cell in which two builds differ.
_DIFFERENT = (Change.REGRESSED, Change.FLAKY, Change.CHANGED, Change.FIXED)


class Watcher:
    """Hears what a run does. Subclass it, and override what you want to show."""

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
        run.mend()
        run.steady()
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
        # Still, now that it is known which failures repeat. Of what known defects hide no file can be written.
        if run.is_worse(cell.id) and not run.hides_worse(cell.id):
            worse[str(failure_of(run.candidate.rows[cell.id]))].append(cell)
    return ending, {
        failure: sorted(cells, key=lambda cell: (not is_fine(run.base.rows[cell.id]), len(cell.id)))
        for failure, cells in sorted(worse.items(), key=lambda pair: -len(pair[1]))
    }


class _Side:
    """One of the two builds, and what was seen of it.

    Attributes:
        pieces: of its source, those that the other build lacks.
        recalls: whether what was observed before may be looked up.
        notes: whether its copy notes which of these are defaults that a call left out.
        rows: cell -> what the build did.
        ran: cell -> the probes of its copy that ran, as a number.
    """

    def __init__(
        self, build: builds.Overlay, pieces: Sequence[source.Piece], *, recalls: bool, notes: bool = False
    ) -> None:
        self.build, self.pieces, self.recalls, self._notes = build, pieces, recalls, notes
        self.rows: dict[str, results.Row] = {}
        self.ran: dict[str, int] = {}

    @cached_property
    def copy(self) -> builds.Overlay:
        """The build with probes."""
        return probed(self.build, [p for p in self.pieces if p.kind is source.Kind.DEFAULT] if self._notes else ())

    def reached(self) -> list[frozenset[str]]:
        """Return for each piece the cells that ran it."""
        return exercise.calls(source.source(self.build), self.pieces, self.ran, noted=self._notes)


class _Run:
    """One gate's run: the state that its stages hand on."""

    def __init__(self, wanted: Request, pool: examine.Pool, watcher: Watcher, cells: Sequence[matrix.Cell]) -> None:
        self.wanted, self.pool, self.watcher, self.cells = wanted, pool, watcher, cells
        self.changes = source.changes(wanted.base, wanted.candidate)
        # A build against itself would be compared with what was seen before.
        recalls = wanted.recalls and wanted.candidate.digest != wanted.base.digest
        self.base = _Side(wanted.base, self.changes.gone, recalls=wanted.recalls)
        self.candidate = _Side(wanted.candidate, self.changes.new, recalls=recalls, notes=True)
        #: The same of copies without known defects, of the cells that these may hide.
        self.mended = [
            _Side(build, (), recalls=side.recalls)
            for build, side in zip(wanted.mended, (self.base, self.candidate), strict=False)
        ]
        self.drawn: list[matrix.Cell] = []
        self.draws = 0
        self.doubts = [f"what changed in {name} is not known: {why}" for name, why in self.changes.unread.items()]

    @property
    def rows(self) -> Iterator[results.Row]:
        for side in (self.base, self.candidate, *self.mended):
            yield from side.rows.values()

    @cached_property
    def functions(self) -> Mapping[str, int]:
        """Changed function -> the base's probes that say that it ran."""
        return exercise.by_function(source.source(self.base.build), self.changes)

    def is_worse(self, id_: str) -> bool:
        return self.change(id_) is Change.REGRESSED or self.hides_worse(id_)

    def change(self, id_: str) -> Change:
        return change_between(self.base.rows[id_], self.candidate.rows[id_])

    def hides_worse(self, id_: str) -> bool:
        """Return whether a cell that fails on both builds gets worse where known defects are mended."""
        old, new = (side.rows.get(id_) for side in self.mended) if self.mended else (None, None)
        return old is not None and new is not None and change_between(old, new) is Change.REGRESSED

    # --- the stages ---

    def both(self) -> None:
        # All of the base first: nothing that a candidate does to the machine can change what is seen of it.
        for side in (self.base, self.candidate):
            self._see(side, self.cells)

    def look(self) -> None:
        """Look for what ran of what changed."""
        tested = any(row.verdict.kind is not oracle.Kind.UNTESTABLE for row in self.candidate.rows.values())
        if not (self.changes.gone or self.changes.new) or not tested:
            return
        self.watcher.say("looking for what ran of what changed")
        old, differing = source.source(self.base.build), [cell for cell in self.cells if self._differs(cell.id)]
        self._trace(self.base, self.cells)
        first = exercise.chosen(old, self.changes, self.base.ran, [*differing, *self.cells])
        self._trace(self.candidate, first)
        if unrun := self._unrun():
            others = [cell for cell in self.cells if cell not in first]
            self._trace(self.candidate, exercise.chosen(old, unrun, self.base.ran, others))

    def draw(self) -> None:
        """Run random calls on both builds, such as run what changed."""
        wanted = self.wanted
        if not self.candidate.ran or not (wanted.draws or wanted.budget):  # nothing changed, or nothing can be tested
            return
        self.watcher.say("running random calls that reach what changed")
        most, end = wanted.draws or _MOST_DRAWS, time.monotonic() + wanted.budget
        calls, few = self._calls(), self._share() < _RARE
        while self.draws < most and (wanted.draws or time.monotonic() < end):
            batch = [*islice(calls, min(_BATCH, most - self.draws))]
            self.draws += len(batch)
            self._run_drawn([cell for cell in dict.fromkeys(batch) if cell.id not in self.base.rows], few=few)
            if self.draws >= _IN_VAIN and not self.drawn:
                return  # no call reaches it

    def _calls(self) -> Iterator[matrix.Cell]:
        """Yield random calls without end. Where few cells run a change, every other half batch is like these."""
        seed = self.wanted.drawn_by + 1_000_000 * (self.wanted.shard[0] - 1)  # each shard draws its own
        free, near = draws(seed, _families()), self._near()
        like = varied(seed, near) if near else free
        while True:
            yield from islice(like, _BATCH // 2)
            yield from islice(free, _BATCH // 2)

    def _near(self) -> list[matrix.Cell]:
        """Return the cells that run a change which few run."""
        found = {
            id_
            for side in (self.base, self.candidate)
            for reached in side.reached()
            if len(reached) < _RARE * len(side.ran)
            for id_ in reached
        }
        return [cell for cell in self.cells if cell.id in found]

    def _run_drawn(self, batch: list[matrix.Cell], *, few: bool) -> None:
        """Run random calls on both builds. Where few calls run what changed, or none does, others are left out."""
        if few or self._unrun():
            reached = frozenset[str]()
            for side in (self.candidate, self.base):
                self._trace(side, [cell for cell in batch if cell.id not in reached])
                reached = reached.union(*side.reached())
            batch = [cell for cell in batch if cell.id in reached]
        self.watcher.more(2 * len(batch))
        for side in (self.base, self.candidate):
            self._see(side, batch)
        self.drawn += batch

    def mend(self) -> None:
        """Run what fails on both builds on copies without known defects: these may hide what the candidate broke."""
        if not self.mended:
            return
        seen = (self.base.rows, self.candidate.rows)
        hidden = [cell for cell in (*self.cells, *self.drawn) if not any(is_fine(rows[cell.id]) for rows in seen)]
        self.watcher.say("running what known defects hide, on copies without them")
        self.watcher.more(2 * len(hidden))
        for side in self.mended:
            self._see(side, hidden)

    def steady(self) -> None:
        """Run what did not repeat in an earlier run several times, before it counts as fine.

        Half of them are in a process that has run others: some fail only there, and some only in a fresh one.
        """
        for side in (self.base, self.candidate):
            fine = [cell for cell in (*self.cells, *self.drawn) if side.recalls and is_fine(side.rows[cell.id])]
            with self.pool.engine() as engine:
                doubted = [cell for cell in fine if engine.is_doubted(side.build, cell)]
            self.watcher.more(len(doubted) * _TIMES)
            failed: dict[str, list[results.Row]] = defaultdict(list)
            often = doubted * (_TIMES // 2)
            both = self.pool.examine(side.build, often, recall=False), self.pool.again(side.build, often, recall=False)
            for examined in chain(*both):
                if not is_fine(row := self._row(examined)):
                    failed[row.cell].append(row)
            for cell in doubted:  # what it did last is no more to be looked up than what it did first
                with self.pool.engine() as engine:
                    engine.doubt(side.build, cell)
            for id_, rows in failed.items():
                side.rows[id_] = replace(rows[0], repeats=False)
                self.doubts.append(f"{side.build.label} fails {len(rows)} of {_TIMES} times in {id_}")

    def verify(self) -> None:
        """Run what may not repeat once more, in fresh processes: of each cause of failure a few cells first."""
        self._trace(self.base, [cell for cell in self.drawn if self.is_worse(cell.id)])
        self._verify(self.base, self.candidate)
        if self.mended:
            self._verify(*self.mended)

        def is_odd(row: results.Row) -> bool:
            return is_unexplained(row) and self.change(row.cell) is not Change.NOT_COMPARED

        def fails_alike(row: results.Row) -> bool:
            return failure_of(self.base.rows[row.cell]) == failure_of(row)

        # The machine may be at fault for what fails on the base unexplained: it must hide nothing.
        # It must fail as it did, and nothing is looked up: to fail in some way may be the machine's doing, twice.
        # (A random call's failure is recorded nowhere: it is compared as it was seen.)
        odd = [cell for cell in self.cells if is_odd(self.base.rows[cell.id])]
        self._again(self.base, odd, fails_alike, recall=False)

    def _verify(self, before: _Side, after: _Side) -> None:
        """Run a few cells of each cause again, and all of them if one does not repeat."""

        def is_worse(row: results.Row) -> bool:
            return change_between(before.rows[row.cell], row) is Change.REGRESSED

        groups: dict[str, list[matrix.Cell]] = defaultdict(list)
        for cell in (*self.cells, *self.drawn):
            if (row := after.rows.get(cell.id)) and is_worse(row):
                groups[str(failure_of(row))].append(cell)
        for group in groups.values():
            if not self._again(after, group[:_VERIFIED], is_worse, recall=after.recalls):
                self._again(after, group[_VERIFIED:], is_worse, recall=after.recalls)

    def ended(self) -> Ending:
        """Return what this run adds to its rows."""
        both, ran = (self.base.build, self.candidate.build), (self.base.ran, self.candidate.ran)
        differing = {id_ for id_ in self.candidate.rows if self._differs(id_)}
        return Ending(
            doubts=tuple(self.doubts),
            exercised=exercise.exercised(both, self.changes, ran, differing) if self.base.ran else (),
            traced=tuple(self.candidate.ran),
            functions={
                id_: tuple(name for name, mask in self.functions.items() if self.base.ran.get(id_, 0) & mask)
                for id_ in self.candidate.rows
                if self.is_worse(id_)
            },
            drawn=tuple(cell.id for cell in self.drawn),
            draws=self.draws,
        )

    # --- what the stages have in common ---

    def _see(self, side: _Side, cells: Sequence[matrix.Cell]) -> None:
        """Run cells on a build."""
        for examined in self.pool.examine(side.build, cells, recall=side.recalls):
            side.rows[examined.cell.id] = self._row(examined)

    def _row(self, examined: examine.Examined) -> results.Row:
        self.watcher.row(row := results.Row.of(examined))
        return row

    def _again(
        self, side: _Side, cells: Sequence[matrix.Cell], holds: Callable[[results.Row], bool], *, recall: bool
    ) -> bool:
        """Run cells again, each in a fresh process, note in their rows whether they repeat, and return if all do."""
        self.watcher.more(len(cells))
        for examined in self.pool.again(side.build, cells, recall=recall):
            repeats, id_ = holds(self._row(examined)), examined.cell.id
            side.rows[id_] = replace(side.rows[id_], repeats=repeats)
            if not repeats:
                with self.pool.engine() as engine:
                    engine.doubt(side.build, examined.cell)  # no later run may look it up
        return all(side.rows[cell.id].repeats for cell in cells)

    def _trace(self, side: _Side, cells: Sequence[matrix.Cell]) -> None:
        """Run cells on a build's copy with probes, and note what ran. The copy has to do what the build does."""
        if not (new := [cell for cell in cells if cell.id not in side.ran]):
            return
        self.watcher.more(len(new))
        unlike = []
        for cell, observation in self.pool.observe(side.copy, new, recall=side.recalls):
            self.watcher.traced(observation)
            side.ran[cell.id] = observation.probes
            if (row := side.rows.get(cell.id)) and not exercise.alike(cell, observation, row.seen):
                unlike.append(cell.id)
        if unlike:
            label, where = side.build.label, f"in {wording.number(len(unlike), 'call')}, as {unlike[0]}"
            self.doubts.append(f"{label} does something else where it says what runs: {where}")

    def _unrun(self) -> source.Changes | None:
        """Return the candidate's changes that no call has run; None if there are none."""
        pairs = zip(self.candidate.pieces, self.candidate.reached(), strict=True)
        left = tuple(piece for piece, reached in pairs if not reached)
        return replace(self.changes, gone=(), new=left, replaced=((),) * len(left)) if left else None

    def _share(self) -> float:
        """Return the share of the cells that run what changed, as the base's copy says."""
        mask, ran = exercise.union(self.functions.values()), self.base.ran
        return sum(bool(probes & mask) for probes in ran.values()) / max(len(ran), 1)

    def _differs(self, id_: str) -> bool:
        return self.change(id_) in _DIFFERENT or self.hides_worse(id_)


def _families() -> tuple[str, ...]:
    """Return the families that are drawn from: ViT as often as all others together."""
    others = tuple(name for name in ENDING if name != Model.family)
    return (Model.family,) * len(others) + others
