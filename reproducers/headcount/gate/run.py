"""A gate's run: every cell on both builds, what ran of what changed, random calls, and what got worse once more."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from headcount import builds, environment, examine, matrix, oracle, results, untrusted
from headcount.explore.draw import draws, varied
from headcount.gate import exercise, source
from headcount.gate.compare import Change, Ending, change_between, failure_of, is_fine, is_unexplained
from headcount.gate.plan import Request, cells
from headcount.gate.probes import probed
from headcount.models import FAMILIES, Model
from headcount.observation import Observation

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
        run.mend()
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
        #: The same of copies without known defects, of the cells that these may hide.
        self.mended: tuple[dict[str, results.Row], ...] = ({}, {})
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
        for rows in self.mended:
            yield from rows.values()

    def is_worse(self, id_: str) -> bool:
        return change_between(self.before[id_], self.after[id_]) is Change.REGRESSED or self.hides_worse(id_)

    def hides_worse(self, id_: str) -> bool:
        """Return whether a cell that fails on both builds gets worse where known defects are mended."""
        old, new = (rows.get(id_) for rows in self.mended)
        return old is not None and new is not None and change_between(old, new) is Change.REGRESSED

    # --- the stages ---

    def both(self) -> None:
        # All of the base first: nothing that a candidate does to the machine can change what is seen of it.
        self.before = self._rows(self.wanted.base, self.cells, recall=self.wanted.recalls)
        self.after = self._rows(self.wanted.candidate, self.cells, recall=self.recalls)

    def look(self) -> None:
        """Look for what ran of what changed."""
        tested = any(row.verdict.kind is not oracle.Kind.UNTESTABLE for row in self.after.values())
        if not (self.changes.gone or self.changes.new) or not tested:
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
        if not self.ran[1] or not (wanted.draws or wanted.budget):  # nothing changed, or nothing can be tested
            return
        self.watcher.say("running random calls that reach what changed")
        most, end = wanted.draws or _MOST_DRAWS, time.monotonic() + wanted.budget
        calls = self._calls()
        while self.draws < most and (wanted.draws or time.monotonic() < end):
            batch = [*islice(calls, min(_BATCH, most - self.draws))]
            self.draws += len(batch)
            self._run_drawn([cell for cell in dict.fromkeys(batch) if cell.id not in self.before])
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
        found = set[str]()
        for build, pieces, ran, noted in (
            (self.wanted.base, self.changes.gone, self.ran[0], False),
            (self.wanted.candidate, self.changes.new, self.ran[1], True),
        ):
            for mask in exercise.masks(source.source(build), pieces, noted=noted):
                reached = [id_ for id_, probes in ran.items() if probes & mask]
                found |= {*reached} if len(reached) < _RARE * len(ran) else set()
        return [cell for cell in self.cells if cell.id in found]

    def _run_drawn(self, batch: list[matrix.Cell]) -> None:
        """Run random calls on both builds. Where few calls run what changed, or none does, others are left out."""
        if self.ran[1] and (self._share() < _RARE or self._unrun()):
            reached = set[str]()
            for which, pieces in ((1, self.changes.new), (0, self.changes.gone)):
                build = (self.wanted.base, self.wanted.candidate)[which]
                mask = exercise.union(exercise.masks(source.source(build), pieces, noted=bool(which)))
                self._trace(which, [cell for cell in batch if cell.id not in reached])
                reached |= {cell.id for cell in batch if self.ran[which].get(cell.id, 0) & mask}
            batch = [cell for cell in batch if cell.id in reached]
        self.watcher.more(2 * len(batch))
        self.before |= self._rows(self.wanted.base, batch, recall=self.wanted.recalls)
        self.after |= self._rows(self.wanted.candidate, batch, recall=self.recalls)
        self.drawn += batch

    def mend(self) -> None:
        """Run what fails on both builds on copies without known defects: these may hide what the candidate broke."""
        if not self.wanted.mended:
            return
        hidden = [
            cell
            for cell in (*self.cells, *self.drawn)
            if not is_fine(self.before[cell.id]) and not is_fine(self.after[cell.id])
        ]
        self.watcher.say("running what known defects hide, on copies without them")
        self.watcher.more(2 * len(hidden))
        recalls = (self.wanted.recalls, self.recalls)
        self.mended = tuple(
            self._rows(build, hidden, recall=recall) for build, recall in zip(self.wanted.mended, recalls, strict=True)
        )

    def verify(self) -> None:
        """Run what may not repeat once more, in fresh processes: of each cause of failure a few cells first."""
        self._trace(0, [cell for cell in self.drawn if self.ran[0] and self.is_worse(cell.id)])
        self._verify(self.wanted.candidate, self.before, self.after)
        if self.wanted.mended:
            self._verify(self.wanted.mended[1], *self.mended)

        def is_odd(row: results.Row) -> bool:
            return is_unexplained(row) and change_between(row, self.after[row.cell]) is not Change.NOT_COMPARED

        def fails_alike(row: results.Row) -> bool:
            return failure_of(self.before[row.cell]) == failure_of(row)

        # The machine may be at fault for what fails on the base unexplained: it must hide nothing.
        # It must fail as it did, and nothing is looked up: to fail in some way may be the machine's doing, twice.
        # (A random call's failure is recorded nowhere: it is compared as it was seen.)
        odd = [cell for cell in self.cells if is_odd(self.before[cell.id])]
        self._again(self.wanted.base, self.before, odd, fails_alike, recall=False)

    def _verify(self, build: builds.Overlay, before: Mapping[str, results.Row], after: dict[str, results.Row]) -> None:
        """Run a few cells of each cause again, and all of them if one does not repeat."""

        def is_worse(row: results.Row) -> bool:
            return change_between(before[row.cell], row) is Change.REGRESSED

        groups: dict[str, list[matrix.Cell]] = defaultdict(list)
        for cell in (*self.cells, *self.drawn):
            if cell.id in after and is_worse(after[cell.id]):
                groups[str(failure_of(after[cell.id]))].append(cell)
        for group in groups.values():
            if not self._again(build, after, group[:_VERIFIED], is_worse, recall=self.recalls):
                self._again(build, after, group[_VERIFIED:], is_worse, recall=self.recalls)

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
        """Run cells on a build's copy with probes, and note what ran. The copy has to do what the build does."""
        build, rows = ((self.wanted.base, self.before), (self.wanted.candidate, self.after))[which]
        ran, recall = self.ran[which], self.recalls if which else self.wanted.recalls
        defaults = [piece for piece in self.changes.new if piece.kind is source.Kind.DEFAULT] if which else ()
        if not (new := [cell for cell in cells if cell.id not in ran]):
            return
        self.watcher.more(len(new))
        unlike = []
        for cell, observation in self.pool.observe(probed(build, defaults), new, recall=recall):
            self.watcher.traced(observation)
            ran[cell.id] = observation.probes
            if cell.id in rows and not exercise.alike(cell, observation, rows[cell.id].seen):
                unlike.append(cell.id)
        if unlike:
            self.doubts.append(
                f"{build.label} does something else where it says what runs: in {len(unlike)} calls, as {unlike[0]}"
            )

    def _unrun(self) -> source.Changes | None:
        """Return the candidate's changes that no call has run; None if there are none."""
        new = self.changes.new
        masks = exercise.masks(source.source(self.wanted.candidate), new)
        left = tuple(p for p, mask in zip(new, masks, strict=True) if not any(n & mask for n in self.ran[1].values()))
        return replace(self.changes, gone=(), new=left, replaced=((),) * len(left)) if left else None

    def _share(self) -> float:
        """Return the share of the cells that run what changed, as the base's copy says."""
        functions = exercise.by_function(source.source(self.wanted.base), self.changes)
        mask = exercise.union(functions.values())
        return sum(bool(number & mask) for number in self.ran[0].values()) / max(len(self.ran[0]), 1)

    def _differs(self, id_: str) -> bool:
        return change_between(self.before[id_], self.after[id_]) in _DIFFERENT or self.hides_worse(id_)

    def _differing(self, cells: Sequence[matrix.Cell]) -> list[matrix.Cell]:
        return [cell for cell in cells if self._differs(cell.id)]


def _families() -> tuple[str, ...]:
    """Return the families that are drawn from: ViT as often as all others together."""
    others = tuple(name for name in FAMILIES if name != Model.family)
    return (Model.family,) * len(others) + others
