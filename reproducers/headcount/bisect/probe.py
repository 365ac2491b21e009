"""What a build is asked when a history is searched: cells or a script, and which answer means what."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from headcount.bisect.search import State
from headcount.builds import RELEASES, Overlay
from headcount.defects import Defect, catalogue, contains
from headcount.isolation.engine import Engine, unpromised
from headcount.environment import environment
from headcount.matrix import Cell
from headcount.matrix.cells import every_cell
from headcount.models import Model
from headcount.observation import CANNOT_BE_TESTED, MACHINES_FAULT, Observation, ScriptRun
from headcount.oracle.expectation import expect, prunes_heads
from headcount.oracle.verdict import Kind, Signature, Verdict, heads_left, judge, normalised


@dataclass(frozen=True)
class Answer:
    """What one build said.

    Attributes:
        state: for the failure that is looked for.
        what: in one line: the verdict and its reason, or what a script printed last.
        label: two answers with one label are the same, and between others there is a change; of a
            skipped build, the defect that hides the one looked for, if it is known.
        doubtful: it is bad by an exception that arose outside the build, which may be a script's own mistake.
    """

    state: State
    what: str
    label: str
    doubtful: bool = False


@dataclass(frozen=True)
class Finding:
    """What a release does with a call.

    Attributes:
        defect: the known one that explains the verdict.
        untouched: all heads are left where some were to go, and that is no defect: the documentation leaves it open.
    """

    release: str
    verdict: Verdict
    defect: Defect | None = None
    untouched: bool = False

    @property
    def right(self) -> bool:
        """Whether the call does what it is made for."""
        return self.verdict.kind is Kind.OK and not self.untouched


class Subject(Protocol):
    """What is looked for."""

    @property
    def name(self) -> str:
        """In one line."""
        ...

    def ask(self, engine: Engine, overlay: Overlay) -> Answer:
        """What a build says."""
        ...


@dataclass(frozen=True)
class Cells:
    """Cells that show a failure; a build is bad if one of them shows it, and good if all are fine.

    Attributes:
        sought: what a cell's verdict shows of what is looked for, as a label; "" if it is another failure.
    """

    name: str
    cells: tuple[Cell, ...]
    sought: Callable[[Cell, Verdict], str]

    def ask(self, engine: Engine, overlay: Overlay) -> Answer:
        """The answers of all cells, as one: the first bad one, else the first skipped one, else good."""
        answers = [self._ask(engine, overlay, cell) for cell in self.cells]
        if len(self.cells) > 1:  # which of them says so
            answers = [replace(a, what=f"{a.what} ({c.id})") for a, c in zip(answers, self.cells, strict=True)]
        return next(
            answer for state in (State.BAD, State.SKIP, State.GOOD) for answer in answers if answer.state is state
        )

    def _ask(self, engine: Engine, overlay: Overlay, cell: Cell) -> Answer:
        verdict = verdict_on(engine, overlay, cell)
        if verdict.kind is Kind.OK:
            return Answer(State.GOOD, "ok", State.GOOD)
        what = f"{verdict.kind}: {verdict.reason}"
        tested = verdict.kind not in (Kind.UNTESTABLE, Kind.NOT_APPLICABLE)
        label = self.sought(cell, verdict) if tested else ""
        return Answer(State.BAD, what, label) if label else Answer(State.SKIP, what, failure(cell, verdict))


@dataclass(frozen=True)
class Script:
    """A Python file that exits with 0 for good, 1 for bad, and anything else for skip.

    Attributes:
        sought: the label of the failure that is looked for; "" for any, each told from the others.
        any_failure: all failures are one.
        resumed: take for granted what it said before; what it reads beside itself may have changed since.
    """

    path: Path
    sought: str = ""
    any_failure: bool = False
    resumed: bool = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def ask(self, engine: Engine, overlay: Overlay) -> Answer:
        """What the program says of a build."""
        run = engine.run_script(overlay, self.path, recall=self.resumed, environment=os.environ, confined=False)
        if run.status == 0:
            return Answer(State.GOOD, run.said, State.GOOD)
        if run.status != 1:
            nothing = "" if run.status == CANNOT_BE_TESTED else ", which says nothing"
            ended = "killed" if run.status is None else f"exits with {run.status}{nothing}"
            return Answer(State.SKIP, f"{ended}: {run.said}", "")
        if MACHINES_FAULT.search(run.raised):
            return Answer(State.SKIP, f"the machine failed it: {run.raised}", "")
        label = State.BAD if self.any_failure else script_failure(run)
        sought = self.sought in ("", label)
        meant = run.happened or not run.raised or run.raised.startswith("AssertionError")
        doubtful = not (meant or run.frame)
        return Answer(State.BAD if sought else State.SKIP, f"{run.said}{_origin(run)}", label, doubtful)


def verdict_on(engine: Engine, overlay: Overlay, cell: Cell) -> Verdict:
    """The verdict on what a build does with a cell."""
    return judge(expect(cell.model, cell.config), engine.run(overlay, cell))


def explanation(overlay: Overlay, cell: Cell, verdict: Verdict) -> Defect | None:
    """The known defect that explains a cell's failure on a build; None if none does, or it is fine."""
    if verdict.kind is Kind.OK:
        return None
    return catalogue().compare(verdict, cell, overlay.version, environment()["transformers"]).defect


def finding(engine: Engine, overlay: Overlay, release: str, cell: Cell) -> Finding:
    """What a release does with a cell's call."""
    observation = engine.run(overlay, cell)
    verdict = judge(expect(cell.model, cell.config), observation)
    untouched = verdict.kind is Kind.OK and _asks_for_heads(cell) and not _lost_heads(cell, observation)
    return Finding(release, verdict, explanation(overlay, cell, verdict), untouched)


def _asks_for_heads(cell: Cell) -> bool:
    """Whether a head goes, however the ratio is rounded."""
    heads = cell.model.block_heads
    ranked = sum(heads) if cell.config.global_pruning else max(heads)
    return prunes_heads(cell.config) and ranked * cell.config.head_pruning_ratio >= 1


def _lost_heads(cell: Cell, observation: Observation) -> bool:
    model = cell.model
    left = sum(len(heads_left(observation, f"q.{index}", model.head_dim)) for index in range(model.layers))
    return left < sum(model.block_heads)


def named_defect(cell: Cell, verdict: Verdict) -> Defect | None:
    """The known defect whose failure a verdict looks like, whatever the build's version."""
    return next((defect for defect in catalogue().defects if defect.resembles(verdict, cell)), None)


def failure(cell: Cell, verdict: Verdict) -> str:
    """The label of a failure: the known defect that it looks like, else its signature, wherever the code now stands."""
    named = named_defect(cell, verdict)
    return named.id if named else str(verdict.signature.unplaced)


def script_failure(run: ScriptRun) -> str:
    """The label of a script's failure: what it says has `happened:`, else what ended it, and where that was."""
    return f"{normalised(run.happened or run.raised) or State.BAD}{_origin(run)}"


def _origin(run: ScriptRun) -> str:
    """The function of torch_pruning, whose module may move, and the script's own lines, which stay."""
    if run.happened:
        return f" in {run.shown_frame.rpartition('.')[2]}" if run.shown_frame else ""
    function = f" in {run.frame.rpartition('.')[2]}" if run.frame else ""
    lines = f" at line {', '.join(map(str, run.lines))}" if run.lines else ""
    return f"{function}{lines}"


def by_defect(defect: Defect, *, any_failure: bool = False) -> Cells:
    """A known defect, in the cells that tell it from others best."""

    def sought(cell: Cell, verdict: Verdict) -> str:
        return defect.id if any_failure or defect.resembles(verdict, cell) else ""

    return Cells(defect.id, telling_cells(defect), sought)


def by_signature(cell: Cell, signature: Signature) -> Cells:
    """One cell, and the failure to look for."""

    def sought(_: Cell, verdict: Verdict) -> str:
        return State.BAD if verdict.signature.unplaced == signature.unplaced else ""

    return Cells(cell.id, (cell,), sought)


def by_verdict(cell: Cell, *, any_failure: bool = False) -> Cells:
    """One cell, and whatever goes wrong in it: each failure told from the others, or all as one."""

    def sought(_: Cell, verdict: Verdict) -> str:
        return State.BAD if any_failure else failure(cell, verdict)

    return Cells(cell.id, (cell,), sought)


@cache
def telling_cells(defect: Defect) -> tuple[Cell, ...]:
    """A few cells that show a defect on each release that has it, with no other defect in the way if that can be.

    A cell in which another defect fails first, on whatever release, says nothing about this one there.
    """
    ranked = sorted(
        (cell for cell in every_cell() if any(shown.id == defect.id for shown, _ in catalogue().shown(cell))),
        key=lambda c: (_hidden(defect, c), _unlike(c), c.id),
    )
    chosen: list[Cell] = []
    for release in RELEASES:
        clear = [c for c in ranked if defect.hits(c, release) and not _hidden(defect, c, (release,))]
        if clear and not any(cell in clear for cell in chosen):
            chosen.append(clear[0])
    return tuple(chosen or ranked[:1])


def _unlike(cell: Cell) -> int:
    """How far from the plainest model that a cell could be about: not every line runs every family's pruned heads."""
    plain = cell.model.family == Model.family and cell.model.labels
    return 0 if plain else 1 + cell.config.prune_num_heads + cell.config.global_pruning


def _hidden(defect: Defect, cell: Cell, releases: tuple[str, ...] = RELEASES) -> int:
    """How often, over these releases, another defect shows in a cell, or the cell cannot be asked."""
    others = [ranges for other, ranges in catalogue().shown(cell) if other.id != defect.id]
    hits = sum(any(contains(r, release) for r in ranges) for ranges in others for release in releases)
    return hits + sum(bool(unpromised(release, cell.config)) for release in releases)
