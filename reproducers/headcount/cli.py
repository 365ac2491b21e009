"""`headcount`: the commands. Each parses, calls, prints, and exits with a code that scripts can trust."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from headcount import builds, matrix, reproduction
from headcount.defects import catalogue
from headcount.engine import Engine
from headcount.errors import ExitCode, HeadcountError, UsageError
from headcount.matrix import Cell
from headcount.reproduction import Reproduction
from headcount.store import Store

_INTERRUPTED = 130

_EPILOG = """exit codes: 0 clean, 1 the defect is there, 2 the call was wrong, 3 indeterminate, 4 the set-up failed.
Without an environment of your own: nox -s "headcount(transformers='4.57.6')" -- COMMAND"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except HeadcountError as error:
        _say(f"headcount: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("headcount: interrupted, nothing was written")
        return _INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    top = argparse.ArgumentParser(
        prog="headcount",
        description="Which Torch-Pruning prunes the attention heads of a ViT right?",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, help_, run in (
        ("emit", "write a failing cell of the matrix as one Python file that stands alone", _emit),
        ("minimise", "shrink a failing cell as far as it still fails in the same way, then write it", _emit),
    ):
        command = commands.add_parser(name, help=help_, description=help_, epilog=_EPILOG)
        command.add_argument("cell", metavar="CELL", help="as in the matrix's test ids, with or without the build")
        command.add_argument("--build", required=True, help="a release, wheel, sdist, checkout, CLONE@REF or URL")
        command.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file (default: print it)")
        command.set_defaults(run=run, minimal=name == "minimise")
    help_ = "run the catalogue's reproducers: each on the release it names and on the nearest good one"
    command = commands.add_parser("reproduce", help=help_, description=help_, epilog=_EPILOG)
    command.add_argument("which", nargs="*", metavar="DEFECT", help="410, a defect's id, or a file (default: all)")
    command.add_argument("--build", action="append", default=[], help="run on this build instead; may be repeated")
    command.set_defaults(run=_reproduce)
    return top


def _emit(options: argparse.Namespace) -> int:
    output: Path | None = options.output
    if output is not None and output.exists():
        raise UsageError(f"{output} exists, and is left as it is", "name a new file")
    if output is not None and not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", "make it, or name another")
    build, cell = builds.parse(options.build), _cell(options.cell)
    overlay = builds.prepare(build, say=_say)
    with Store() as store, Engine(store=store) as engine:
        make = reproduction.emit_minimal if options.minimal else reproduction.emit
        text = make(engine, overlay, cell, _say)
    if output is None:
        sys.stdout.write(text)
        return ExitCode.CLEAN
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise HeadcountError(f"cannot write {output}: {error.strerror}", "name another file") from error
    _say(f"{output}: shows it when run with {overlay.label}, and exits with 1")
    return ExitCode.CLEAN


def _cell(wanted: str) -> Cell:
    """The cell of an id: a test's, with the build before it, or its own.

    Raises:
        UsageError: there is none.
    """
    cells = matrix.by_id((*matrix.default_cells(), matrix.ISSUE_410))
    name = wanted.rpartition("[")[2].removesuffix("]")
    found = next((cell for id_, cell in cells.items() if name == id_ or name.endswith(f"-{id_}")), None)
    if found is None:
        near = difflib.get_close_matches(name, cells, n=3, cutoff=0.0)
        raise UsageError(f"there is no cell {name!r}", f"the nearest are {', '.join(near)}")
    return found


def _reproduce(options: argparse.Namespace) -> int:
    defects = [reproduction.find(which) for which in options.which] or list(catalogue().defects)
    wanted = [
        (defect, build, status)
        for defect in dict.fromkeys(defects)
        for build, status in (
            [(build, 1) for build in options.build]
            or [(defect.reproducer.bad, 1), *([(defect.reproducer.good, 0)] if defect.reproducer.good else [])]
        )
    ]
    overlays = {spec: builds.prepare(builds.parse(spec), say=_say) for spec in dict.fromkeys(b for _, b, _ in wanted)}
    width = max(len(defect.id) for defect in defects)
    runs = []
    with Engine() as engine:
        for defect, build, status in wanted:
            path = reproduction.folder() / defect.reproducer.file
            if not path.is_file():
                raise HeadcountError(f"{path} is not there", "run this from a checkout of the repository")
            run = Reproduction(defect, build, status, engine.run_script(overlays[build], path))
            runs.append(run)
            _out(_line(run, width, judged=not options.build))
    return _asked(runs) if options.build else _stated(runs)


def _line(run: Reproduction, width: int, *, judged: bool) -> str:
    words = {0: "good", 1: "defect", 125: "cannot be tested"}
    status = words.get(run.done.status if run.done.status is not None else -1, f"status {run.done.status}")
    mark = ("ok  " if run.holds else "FAIL") if judged else "    "
    return f"{mark} {run.defect.id:<{width}}  {overlay_name(run.release):<8} {status:<17} {run.said[:110]}"


def overlay_name(spec: str) -> str:
    """A build's label, from what was written to name it."""
    return builds.parse(spec).label


def _stated(runs: Sequence[Reproduction]) -> ExitCode:
    """All did what the catalogue states, or not."""
    failed = [run for run in runs if not run.holds]
    _out(f"{len(runs)} runs: {len(runs) - len(failed)} as the catalogue states, {len(failed)} not")
    return ExitCode.REGRESSION if failed else ExitCode.CLEAN


def _asked(runs: Sequence[Reproduction]) -> ExitCode:
    """Whether the build shows any."""
    statuses = {run.done.status for run in runs}
    if 1 in statuses:
        return ExitCode.REGRESSION
    return ExitCode.CLEAN if statuses == {0} else ExitCode.INDETERMINATE


def _out(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's output


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress and errors
