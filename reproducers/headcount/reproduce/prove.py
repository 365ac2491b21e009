"""From a failing cell to a file that is proven to show it, and the catalogue's own files run again."""

import difflib
import signal
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from headcount import (
    builds,
    defects,
    environment,
    errors,
    examine,
    isolation,
    matrix,
    observation,
    oracle,
    scratch,
    wording,
)
from headcount.reproduce import minimise, script

#: What is tried, in this order.
_WEIGHTS = (
    script.Weights(),
    script.Weights(normal=True),
    *(script.Weights(normal=True, synthetic=True, seed=seed) for seed in range(3)),
)


#: Cells that are tried for a file of a known defect.
_TRIES = 3


class UnprovenError(errors.HeadcountError):
    """A file does not show the failure, so it is not given out; or the build cannot be tested at all."""

    exit_code = errors.ExitCode.INDETERMINATE


@dataclass(frozen=True)
class Wanted:
    """Which file of a failing cell.

    Attributes:
        minimal: shrink the call, too, until nothing can be taken away.
        good: a build on which the file must show nothing. What is shown is new then, and no known defect.
        form: a script, or a test.
    """

    minimal: bool = False
    good: builds.Overlay | None = None
    form: script.Form = script.Form.SCRIPT


def emit(
    engine: isolation.Engine,
    overlay: builds.Overlay,
    cell: matrix.Cell,
    say: Callable[[str], None],
    wanted: Wanted = Wanted(),
) -> str:
    """Return a file that shows what is wrong with a cell, on the smallest model that shows it.

    Raises:
        UsageError: the cell is fine, not applicable, or of a kind or a model that no file can show.
        UnprovenError: the build cannot be tested, or the file does not show the failure.
    """
    sought = failing(engine, overlay, cell)
    if wanted.good and not _is_good(engine, wanted.good, cell):
        raise UnprovenError(f"{cell.id} fails on {wanted.good.label}, too", "name a cell that is fine there")

    def fails(smaller: matrix.Cell) -> bool:
        alike = _alike(sought, examine.examine(engine, overlay, smaller))
        return alike and (wanted.good is None or _is_good(engine, wanted.good, smaller))

    smallest = minimise.minimise(
        cell,
        fails,
        minimise.simpler if wanted.minimal else minimise.simpler_models,
        kept=lambda before, after: say(f"  {difference(before, after)}"),
    )
    if wanted.good is None:
        return proven_script(engine, overlay, smallest, sought.explanation, wanted.form)
    new = defects.Explanation(defects.Outcome.UNEXPECTED_FAILURE)
    text = proven_script(engine, overlay, smallest, new, wanted.form)
    done = run(engine, wanted.good, text)
    if done.status:
        raise UnprovenError(f"the file for {cell.id} ends with {done.status} on {wanted.good.label}, too")
    return text


def showing(
    engine: isolation.Engine, overlay: builds.Overlay, known: defects.Defect, release: str, wanted: Wanted = Wanted()
) -> str:
    """Return a file that shows a known defect on a release, of the simplest cell that it is recorded of.

    Raises:
        UsageError: no cell shows it there, or no file can show it.
        UnprovenError: no file shows it.
    """
    recorded = defects.recorded(environment.environment()["transformers"])
    ids = dict.fromkeys((*known.examples, *recorded.cells.get(known.id, ())))
    cells = [cell for cell in map(matrix.Cell.parse, ids) if recorded.foretold(cell, release) == known.id]
    failure: errors.HeadcountError = errors.UsageError(
        f"no cell shows {known.id} on {release} with transformers {recorded.transformers}",
        "another version of transformers may: headcount history",
    )
    for cell in cells[:_TRIES]:
        try:
            return emit(engine, overlay, cell, lambda _: None, wanted)
        except (errors.UsageError, UnprovenError) as error:
            failure = error
    raise failure


def _is_good(engine: isolation.Engine, build: builds.Overlay, cell: matrix.Cell) -> bool:
    """Return whether a cell is fine on a build."""
    return not examine.examine(engine, build, cell).verdict.is_failure


def run(engine: isolation.Engine, build: builds.Overlay, text: str) -> observation.ScriptRun:
    """Run a file's text with a build, in a folder of its own."""
    with scratch.folder() as folder:
        path = folder / "reproducer.py"
        path.write_text(text, "utf-8")
        return engine.run_script(build, path, recall=True)  # it reads nothing but the build


def failing(engine: isolation.Engine, overlay: builds.Overlay, cell: matrix.Cell) -> examine.Examined:
    """Return what a cell that fails comes to.

    Raises:
        UsageError: it does not fail: it is fine, or not applicable.
        UnprovenError: the build cannot be tested.
    """
    found = examine.examine(engine, overlay, cell)
    reason = wording.reason(found.verdict)
    match found.verdict.kind:
        case oracle.Kind.OK:
            raise errors.UsageError(
                f"{cell.id} is ok on {overlay.label}: there is nothing to show", "name a cell that fails"
            )
        case oracle.Kind.NOT_APPLICABLE:
            raise errors.UsageError(f"{cell.id} is not applicable to {overlay.label}: {reason}")
        case oracle.Kind.UNTESTABLE:
            raise UnprovenError(f"{overlay.label} cannot be tested: {reason}", "mend the build, or name another")
    return found


def _alike(sought: examine.Examined, found: examine.Examined) -> bool:
    """Return whether two cells fail in the same way. What is outside the matrix is known by what it looks like."""
    one, other = (examined.verdict.signature.anywhere for examined in (sought, found))
    known, shown = ({e.defect, *e.looks_like} - {""} for e in (sought.explanation, found.explanation))
    return one == other and (known <= shown if sought.explanation.defect else known == shown)


def difference(cell: matrix.Cell, smaller: matrix.Cell) -> str:
    """Say what a step of the minimiser changed: `iterative_steps: 5 -> 1`."""
    values = (
        (field.name, getattr(old, field.name), getattr(new, field.name))
        for old, new in ((cell.model, smaller.model), (cell.config, smaller.config))
        for field in fields(old)
    )
    return ", ".join(f"{name}: {_short(old)} -> {_short(new)}" for name, old, new in values if old != new)


def _short(value: object) -> str:
    return "none" if value in (None, (), "") else str(value)


def proven_script(
    engine: isolation.Engine,
    overlay: builds.Overlay,
    cell: matrix.Cell,
    explanation: defects.Explanation,
    form: script.Form = script.Form.SCRIPT,
) -> str:
    """Return a file that has shown, in a process of its own, what the cell showed.

    Its weights are not the cell's, so that it stays short. If those that transformers draws do not show it, others may.

    Args:
        explanation: what the failure is, which the file says.

    Raises:
        UsageError: no file can be written for it.
        UnprovenError: none shows it.
    """
    verdict = failing(engine, overlay, cell).verdict
    build = overlay.label if overlay.label == overlay.version else f"{overlay.label} (it says {overlay.version})"
    for weights in _WEIGHTS:
        text = script.write(cell, build, verdict, explanation, weights, form)
        done = run(engine, overlay, text)
        if shows(verdict, done):
            return text
    raise UnprovenError(
        f"nothing was written: the file for {cell.id} does not show {wording.reason(verdict)!r}: "
        f"it ends with {done.status} and says {done.said!r}"
    )


def shows(verdict: oracle.Verdict, done: observation.ScriptRun) -> bool:
    """Return whether a file's run shows a verdict."""
    signalled = done.why in signal.Signals.__members__
    if verdict.kind is oracle.Kind.TIMEOUT:
        return done.status is None and not signalled
    if verdict.ending is not None:  # by the same signal, or an exit of its own
        own_exit = done.status == observation.CANNOT_BE_TESTED and not done.raised
        return done.why in verdict.detail if signalled else own_exit
    # Of a finding, the file has one assertion that leads to this status.
    failure = verdict.failure or observation.Failure("AssertionError")
    exception, _, message = done.raised.partition(": ")
    alike = (done.status, exception, done.frame) == (1, failure.exception, failure.frame)
    return alike and (verdict.failure is None or observation.without_numbers(message) == failure.text)


# --- the catalogue's files ------------------------------------------------------------------------


@dataclass(frozen=True)
class Reproduction:
    """One run of a catalogue's file: on which release, the exit status that is expected, and what it did."""

    defect: defects.Defect
    release: str
    expected: int
    done: observation.ScriptRun

    @property
    def holds(self) -> bool:
        """Whether it did what the catalogue states."""
        return self.done.status == self.expected


def find(which: str) -> defects.Defect:
    """Return the defect that a person names: `410`, `410-total-heads`, a file's name or path.

    Raises:
        UsageError: there is none, or there are several.
    """
    path = Path(which)
    if path.exists() and path.resolve() != defects.REPRODUCERS / path.name:
        raise errors.UsageError(
            f"{which} is not one of the catalogue's files", "headcount bisect runs a file of your own"
        )
    name, ids = path.name.removesuffix(".py").removeprefix("#"), [defect.id for defect in defects.DEFECTS]
    found = [
        d for d in defects.DEFECTS if name in (d.id, d.reproducer.file.removesuffix(".py"), d.id.partition("-")[0])
    ]
    if len(found) == 1:
        return found[0]
    near = [id_ for id_ in ids if id_.startswith(name)] or difflib.get_close_matches(name, ids, n=3, cutoff=0.0)
    raise errors.UsageError(
        f"there is no defect {which!r}", f"the nearest are {', '.join(near)}; reproducers/README.md lists all"
    )
