"""What each build of a history is tested with: cells or a script, and what their outcome means for the search."""

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headcount import builds, check, defects, environment, isolation, matrix, models, observation, oracle, wording
from headcount.bisect.search import State
from headcount.examine import Examined, examine
from headcount.isolation.engine import NO_END
from headcount.matrix.cells import every_cell, known_cells


@dataclass(frozen=True)
class Answer:
    """What one build does.

    Attributes:
        state: for the failure that is searched for.
        label: two answers with one label are the same; between others there is a change.
        evidence: the verdict on a cell, or how the script ended.
        looks_like: the known defects that a failing cell looks like.
        cell: the cell's id, where there are several.
        doubtful: whether an exception arose outside the build, so that it may be the script's own mistake.
    """

    state: State
    label: str
    evidence: oracle.Verdict | observation.ScriptRun
    looks_like: tuple[str, ...] = ()
    cell: str = ""
    doubtful: bool = False

    @property
    def what(self) -> str:
        """The evidence in one line."""
        if isinstance(self.evidence, observation.ScriptRun):
            return wording.script_run(self.evidence)
        return wording.verdict(self.evidence) + (f" ({self.cell})" if self.cell else "")

    def likeness(self, *, roughly: bool) -> Hashable:
        """Return what this answer shares with neighbours that are reported as one."""
        if isinstance(self.evidence, observation.ScriptRun):
            said = self.evidence.said
            return self.evidence.status, observation.without_numbers(said) if roughly else said
        return self.evidence.signature, None if roughly else (self.evidence.found, self.cell)


@dataclass(frozen=True)
class Cells:
    """Cells that show a failure. A build is bad if one of them shows it, and good if all are fine.

    Attributes:
        label: returns a failure's label; "" if it is none that is searched for.
        sought: the only label that is searched for; "" for any.
    """

    name: str
    cells: tuple[matrix.Cell, ...]
    label: Callable[[Examined], str]
    sought: str = ""

    def answer(self, engine: isolation.Engine, build: builds.Overlay) -> Answer:
        """Run all cells, and return the answer of the first bad one, else the first skipped one, else a good one."""
        return min(
            (self._answer(examine(engine, build, cell)) for cell in self.cells),
            key=lambda answer: (State.BAD, State.SKIP, State.GOOD).index(answer.state),
        )

    def _answer(self, found: Examined) -> Answer:
        cell = found.cell.id if len(self.cells) > 1 else ""
        if found.verdict.kind is oracle.Kind.OK:
            return Answer(State.GOOD, State.GOOD, found.verdict, cell=cell)
        label = self.label(found) if found.verdict.is_failure else ""
        state = State.BAD if label and self.sought in ("", label) else State.SKIP
        return Answer(state, label or failure(found), found.verdict, look_alikes(found), cell)


@dataclass(frozen=True)
class Script:
    """A Python file that exits with 0 for good, 1 for bad, and anything else for skip.

    Attributes:
        sought: the only label that is searched for; "" for any.
        any_failure: all failures are one.
        resumed: use cached answers, even though other files that the script reads may have changed since.
        limited: a time was given for it, and not to end by then is a failure.
    """

    path: Path
    sought: str = ""
    any_failure: bool = False
    resumed: bool = False
    limited: bool = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def answer(self, engine: isolation.Engine, build: builds.Overlay) -> Answer:
        """Run the script with a build."""
        run = engine.run_script(build, self.path, recall=self.resumed, environment=os.environ, confined=False)
        doubtful = not run.frame and run.raised.partition(":")[0] not in ("", "AssertionError")
        if run.status == 0:
            return Answer(State.GOOD, State.GOOD, run, doubtful=doubtful)
        if run.status is None and run.why.startswith(NO_END) and self.limited:
            return Answer(State.BAD if self.sought in ("", NO_END) else State.SKIP, NO_END, run)
        if run.status != 1 or observation.MACHINES_FAULT.search(run.raised):
            return Answer(State.SKIP, "", run)
        label = State.BAD if self.any_failure else script_failure(run)
        state = State.BAD if self.sought in ("", label) else State.SKIP
        return Answer(state, label, run, known_failure(run), doubtful=doubtful)


@dataclass(frozen=True)
class OwnNetwork:
    """A user's file that says how a network is made and pruned. A build is good if it prunes that right.

    Attributes:
        timeout: seconds on one build before that is a failure.
        sought, any_failure: as a script's.
    """

    file: check.File
    timeout: float = check.TIMEOUT
    sought: str = ""
    any_failure: bool = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.options

    def answer(self, engine: isolation.Engine, build: builds.Overlay) -> Answer:
        """Check the file on a build."""
        judgement = check.check(engine, build, self.file, self.timeout).judgement
        verdict = judgement.verdict
        if verdict.is_failure:
            label = State.BAD if self.any_failure else str(verdict.signature.unplaced)
            return Answer(State.BAD if self.sought in ("", label) else State.SKIP, label, verdict)
        return Answer(State.GOOD, State.GOOD, verdict) if judgement.is_right else Answer(State.SKIP, "", verdict)


#: What is searched for.
Subject = Cells | Script | OwnNetwork


def by_cell(cell: matrix.Cell, *, any_failure: bool = False) -> Cells:
    """Return the search for what goes wrong in a cell: each failure by itself, or all as one."""
    return Cells(cell.id, (cell,), lambda found: State.BAD if any_failure else failure(found))


def by_defect(defect: defects.Defect, *, any_failure: bool = False) -> Cells:
    """Return the search for a known defect, in the cells that distinguish it best from others."""

    def label(found: Examined) -> str:
        shown = (known,) if (known := found.explanation.defect) else look_alikes(found)
        return defect.id if any_failure or defect.id in shown else ""

    return Cells(defect.id, telling_cells(defect), label)


def failure(found: Examined) -> str:
    """Return a failure's label: the known defects that it looks like, else its signature."""
    return " or ".join(look_alikes(found)) or str(found.verdict.signature.unplaced)


def look_alikes(found: Examined) -> tuple[str, ...]:
    """Return the known defects that a verdict looks like. The version does not matter: commits may state none."""
    return tuple(defect.id for defect in defects.looks_like(found.cell, found.verdict))


def known_failure(run: observation.ScriptRun) -> tuple[str, ...]:
    """Return the known defect that a script's failure looks like. If several share its exception, none is named."""
    exception, _, message = run.raised.partition(": ")
    raised = observation.Failure(exception, message, run.frame, observation.Phase.STEP)
    verdict = oracle.Verdict(oracle.Kind.CRASH, failure=raised)
    found = [d.id for d in defects.DEFECTS if any(pattern.matches(verdict) for pattern in d.signature)]
    return tuple(found) if len(found) == 1 else ()


def script_failure(run: observation.ScriptRun) -> str:
    """Return the label of a script's failure: what was raised, in which function of the build, at which lines."""
    lines = f"line {', '.join(map(str, run.lines))}" if run.lines else ""
    raised = observation.without_numbers(run.raised) or State.BAD
    return ": ".join(filter(None, (raised, run.frame.rpartition(".")[2], lines)))


@cache
def telling_cells(defect: defects.Defect) -> tuple[matrix.Cell, ...]:
    """Return a few cells that show a defect on each release that has it. On others they are fine, if that can be.

    A cell in which another defect shows on some release says nothing about this one there.
    """
    known = defects.recorded(environment.environment()["transformers"])

    def rank(cell: matrix.Cell) -> tuple[int, int, str]:
        others = sum(
            token.kind != oracle.Kind.OK and token.defect != defect.id for token in known.tokens[cell.id].values()
        )
        # Not every transformers version runs all pruned models: the plainest comes first.
        is_plain = cell.model.family == models.Model.family and cell.model.labels
        return others, 0 if is_plain else 1 + cell.config.prune_num_heads + cell.config.global_pruning, cell.id

    ranked = sorted((cell for cell in every_cell() if cell.id in known.cells.get(defect.id, ())), key=rank)
    chosen: list[matrix.Cell] = []
    for release in known.releases.get(defect.id, ()):
        clear = [cell for cell in ranked if known.foretold(cell, release) == defect.id]
        if not any(cell in clear for cell in chosen):
            chosen += clear[:1]
    return tuple(chosen or [known_cells()[defect.examples[0]]])
