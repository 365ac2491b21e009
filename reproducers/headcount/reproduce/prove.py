"""From a failing cell to a file that is proven to show it, and the catalogue's own files run again."""

import difflib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from headcount.reproduce import script as scripts
from headcount.builds import Overlay
from headcount.defects import Defect, catalogue
from headcount.isolation.engine import Engine
from headcount.errors import ExitCode, HeadcountError, UsageError
from headcount.matrix import Cell
from headcount.reproduce.minimise import minimise, simpler, simpler_models
from headcount.observation import ScriptRun
from headcount.bisect.probe import explanation, verdict_on
from headcount.reproduce.script import Weights
from headcount.oracle.verdict import Kind, Signature, Verdict

#: What is tried, in this order.
_WEIGHTS = (Weights(), Weights(planted=True), Weights(planted=True, seed=1), Weights(planted=True, seed=2))

Say = Callable[[str], None]
Neighbours = Callable[[Cell], Iterator[Cell]]


class UnprovenError(HeadcountError):
    """What cannot be shown to fail as it did is not handed over; or the build cannot be tested at all."""

    exit_code = ExitCode.INDETERMINATE


def emit(engine: Engine, overlay: Overlay, cell: Cell, say: Say) -> str:
    """A script that shows what is wrong with a cell, on the smallest model that shows it.

    Raises:
        UsageError: the cell is fine, not applicable, or of a kind or a model that no script can show.
        UnprovenError: the build cannot be tested, or the script does not show the same signature.
    """
    return proven_script(engine, overlay, _shrunk(engine, overlay, cell, simpler_models, say))


def emit_minimal(engine: Engine, overlay: Overlay, cell: Cell, say: Say) -> str:
    """Likewise, with the call shrunk too until nothing can be taken away.

    Raises:
        UsageError, UnprovenError: as for `emit`.
    """
    return proven_script(engine, overlay, _shrunk(engine, overlay, cell, simpler, say))


def failing(engine: Engine, overlay: Overlay, cell: Cell) -> Verdict:
    """The verdict on a cell that fails.

    Raises:
        UsageError: it does not: it is fine, or not applicable.
        UnprovenError: the build cannot be tested.
    """
    verdict = verdict_on(engine, overlay, cell)
    if verdict.kind is Kind.OK:
        raise UsageError(f"{cell.id} is ok on {overlay.label}: there is nothing to show", "name a cell that fails")
    if verdict.kind is Kind.NOT_APPLICABLE:
        raise UsageError(f"{cell.id} is not applicable to {overlay.label}: {verdict.reason}")
    if verdict.kind is Kind.UNTESTABLE:
        raise UnprovenError(f"{overlay.label} cannot be tested: {verdict.reason}", "mend the build, or name another")
    return verdict


def _shrunk(engine: Engine, overlay: Overlay, cell: Cell, neighbours: Neighbours, say: Say) -> Cell:
    """The smaller cell that fails as `cell` does: by signature, and by the known defect that explains it."""
    scripts.demand_writable(cell)
    sought = _told(overlay, cell, failing(engine, overlay, cell))
    return minimise(
        cell,
        fails=lambda smaller: _told(overlay, smaller, verdict_on(engine, overlay, smaller)) == sought,
        kept=lambda before, after: say(f"  {difference(before, after)}"),
        neighbours=neighbours,
    )


def _told(overlay: Overlay, cell: Cell, verdict: Verdict) -> tuple[Signature, Defect | None]:
    return verdict.signature, explanation(overlay, cell, verdict)


def difference(cell: Cell, smaller: Cell) -> str:
    """What a step of the minimiser changed, in words: `iterative_steps: 5 -> 1`."""
    for before, after in ((cell.model, smaller.model), (cell.config, smaller.config)):
        if before != after:
            names = [f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)]
            return ", ".join(
                f"{name}: {_short(getattr(before, name))} -> {_short(getattr(after, name))}" for name in names
            )
    return "nothing"


def _short(value: object) -> str:
    return "none" if value in (None, (), "") else str(value)


def proven_script(engine: Engine, overlay: Overlay, cell: Cell) -> str:
    """A script that has shown, in a process of its own, what the cell showed.

    Its weights are not the cell's, so that it stays short: where alike ones do not show it, heads of
    unlike importance may, and then other random numbers.

    Raises:
        UnprovenError: none does.
    """
    verdict = failing(engine, overlay, cell)
    known = explanation(overlay, cell, verdict)
    doubt = ""
    for weights in _WEIGHTS:
        build = overlay.label if overlay.label == overlay.version else f"{overlay.label} (it says {overlay.version})"
        text = scripts.write(cell, build, verdict, known, weights=weights)
        with tempfile.TemporaryDirectory(prefix="headcount-") as scratch:
            path = Path(scratch) / "reproducer.py"
            path.write_text(text, "utf-8")
            done = engine.run_script(overlay, path, recall=True)  # it reads nothing but the build
        doubt = scripts.unproven(verdict, done.status, done.printed)
        shown = verdict if verdict.signature.exception else replace(verdict, reason=done.happened)
        if not doubt and explanation(overlay, cell, shown) != known:
            doubt = f"what it shows, {shown.reason!r}, is not {known.id if known else 'as unknown'}"
        if not doubt:
            return scripts.write(cell, build, verdict, known, weights=weights, symptom=shown.reason)
    raise UnprovenError(f"nothing was written: the file for {cell.id} does not show {verdict.reason!r}: {doubt}")


# --- the catalogue's files ------------------------------------------------------------------------


@dataclass(frozen=True)
class Reproduction:
    """One run of a catalogue's file: on which release, what it should have exited with, and what it did."""

    defect: Defect
    release: str
    wanted: int
    done: ScriptRun

    @property
    def holds(self) -> bool:
        """Whether it did what the catalogue states."""
        return self.done.status == self.wanted


def folder() -> Path:
    """Where the catalogue's files are: beside this package, in the repository."""
    return Path(__file__).parents[1]


def find(which: str) -> Defect:
    """The defect that a person means: `410`, `410-total-heads`, a file's name or path.

    Raises:
        UsageError: there is none, or there are several.
    """
    path = Path(which)
    if path.exists() and path.resolve() != folder() / path.name:
        raise UsageError(f"{which} is not one of the catalogue's files", "headcount bisect runs a file of your own")
    name = path.name.removesuffix(".py").removeprefix("#")
    found = [
        defect
        for defect in catalogue().defects
        if name in (defect.id, defect.reproducer.file.removesuffix(".py"), defect.id.partition("-")[0])
    ]
    if len(found) == 1:
        return found[0]
    near = [defect.id for defect in catalogue().defects if defect.id.startswith(name)]
    near = near or difflib.get_close_matches(name, [d.id for d in catalogue().defects], n=3, cutoff=0.0)
    raise UsageError(f"there is no defect {which!r}", f"the nearest are {', '.join(near)}; the README lists all")
