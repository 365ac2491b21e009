"""`headcount`: the commands. Each parses, calls, prints, and exits with a code that scripts can trust."""

import argparse
import ast
import difflib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from headcount import builds
from headcount.bisect import run as bisection
from headcount.cli import gate as gatecli
from headcount.matrix import cells as matrix
from headcount.bisect import probe as probing
from headcount.cli import report as reportcli
from headcount.reproduce import prove as reproduction
from headcount.bisect.run import Find, Prober, Span, UntestableError
from headcount.bisect.search import State
from headcount.builds import Overlay
from headcount.builds.git import Clone
from headcount.matrix.config import Config
from headcount.defects import Defect, catalogue
from headcount.isolation.engine import SCRIPT_TIMEOUT, Engine
from headcount.environment import DEVICE, environment
from headcount.errors import ExitCode, HeadcountError, UsageError
from headcount.matrix import Cell
from headcount.models import FAMILIES, Model, small
from headcount.bisect.probe import Answer, Subject
from headcount.report import history, support
from headcount.report.bisection import markdown, to_json
from headcount.report.console import progress, say
from headcount.report.support import LINES
from headcount.reproduce.prove import Reproduction
from headcount.isolation.cache import Store
from headcount.oracle.verdict import Kind

#: Heads, layers and steps of a call that `which` asks about: more is no ViT, and would take minutes.
_MOST = 64

#: The smallest part of a whole that a ratio is told in: finer is no choice, and its cell's name would fill a screen.
_FINEST = 10_000

_INTERRUPTED = 130
_READER_GONE = 141

_OTHER_CODES = "2 the call was wrong, 3 indeterminate, 4 the set-up failed, 130 interrupted."
_EXIT_CODES = f"exit codes: 0 clean, 1 the defect is there, {_OTHER_CODES}"
_WRITING_CODES = f"exit codes: 0 written, {_OTHER_CODES}"
_BISECT_CODES = f"""exit codes: 0 answered, whatever the answer, {_OTHER_CODES}
Indeterminate is an answer with a gap: what cannot be tested hides where a change is, or may hide one."""
_WHICH_CODES = f"exit codes: 0 there is one to take, 1 no release does it right, {_OTHER_CODES}"
_HISTORY_CODES = f"exit codes: 0 told, {_OTHER_CODES}"
_BY_NOX = """Without an environment of your own: nox -s "headcount(transformers='4.57.6')" -- COMMAND"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words, argparse.Namespace(words=words))
    os.environ.pop(DEVICE, None)  # only the matrix asks other devices, and checks that they are there
    try:
        code: int = options.run(options)
    except HeadcountError as error:
        say(f"headcount: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        script = ", with a script if --resume is added" if hasattr(options, "resume") else ""
        say(f"headcount: interrupted: there is no result; what builds said is kept, and the same call goes on{script}")
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python writes there once more as it ends
        return _READER_GONE
    except OSError as error:
        say(f"headcount: {error} (look at the disk's space and permissions)")
        return ExitCode.SETUP
    except Exception as error:  # noqa: BLE001 - 1, which Python would exit with, says that a defect is there
        traceback.print_exc()
        say(f"headcount: a fault of its own, {type(error).__name__}: please report it, with what stands above")
        return ExitCode.SETUP
    return code


class _Once(argparse.Action):
    """An option that may not be given twice: the first would be forgotten without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, names: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        if getattr(names, self.dest) is not None:
            parser.error(f"{option} may be given once")
        setattr(names, self.dest, values)


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    top = argparse.ArgumentParser(
        prog="headcount",
        description="Which Torch-Pruning prunes the attention heads of a ViT right?",
        epilog=f"{_EXIT_CODES}\n{_BY_NOX}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, help_ in (
        ("emit", "write a failing cell of the matrix as one Python file that stands alone"),
        ("minimise", "shrink a failing cell as far as it still fails in the same way, then write it"),
    ):
        command = _command(commands, name, help_, exit_codes=_WRITING_CODES)
        command.add_argument("cell", metavar="CELL", help="as in the matrix's test ids, with or without the build")
        command.add_argument(
            "--build",
            action=_Once,
            help="a release, wheel, sdist, checkout, CLONE@REF or URL (default: the release that the id names)",
        )
        command.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file (default: print it)")
        command.set_defaults(run=_emit, minimal=name == "minimise")
    command = _command(
        commands,
        "reproduce",
        "run the catalogue's reproducers: each on the release it names and on the nearest good one",
    )
    command.add_argument("which", nargs="*", metavar="DEFECT", help="410, a defect's id, or a file (default: all)")
    command.add_argument("--build", action="append", default=[], help="run on this build instead; may be repeated")
    command.set_defaults(run=_reproduce)
    _add_bisect(commands)
    command = _command(commands, "history", "which release shows which known defect", exit_codes=_HISTORY_CODES)
    command.add_argument("which", nargs="*", metavar="DEFECT", help="410, or a defect's id (default: all)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write it there too")
    command.set_defaults(run=_history)
    command = _command(commands, "support", "which ViT family works with which release", exit_codes=_HISTORY_CODES)
    command.add_argument(
        "--transformers",
        action="append",
        type=_version,
        default=[],
        metavar="LINE",
        help=f"a version of it, may be given several times (default: {' and '.join(LINES)})",
    )
    command.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="only this family, or this model as in the test ids, may be given several times: dinov2, swin_bare, …",
    )
    command.add_argument(
        "--in-steps", action="store_true", help="the same calls in two steps, as iterative pruning does"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write it there too")
    command.set_defaults(run=_support)
    _add_which(commands)
    help_ = "is a build fit for release? what got worse against the last"
    gatecli.add(_command(commands, "gate", help_, gatecli.DESCRIPTION, gatecli.EXIT_CODES))
    help_ = "the whole matrix on one page: a heatmap, the defects over the releases, every cell"
    reportcli.add(_command(commands, "report", help_, reportcli.DESCRIPTION, reportcli.EXIT_CODES))
    return top


def _command(commands: Any, name: str, help_: str, more: str = "", exit_codes: str = _EXIT_CODES) -> Any:
    return commands.add_parser(
        name,
        help=help_,
        description=f"{help_}\n{more}".strip(),
        epilog=f"{exit_codes}\n{_BY_NOX}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


_BISECT = """
Without --good and --bad all releases are asked, or all commits from v1.3.0 to HEAD, and every change of the
verdict is told. With --bad, or --search, one failure is looked for: the one that the bad end shows. A build
that fails in another way is skipped, and so is one that cannot be tested.

A script is run with each build's torch_pruning first on its path. It exits with 0 for good, 1 for bad, 125
for "cannot be tested". An uncaught exception is bad, but cannot be tested while torch_pruning is being imported,
or if it is an ImportError, NameError or SyntaxError of the script itself. Two failures are the same if the
exceptions are, with the lines of the script and the function of torch_pruning that they came through; or if it
prints the same line that begins with "happened: ". What else it prints is shown, and tells no failures apart."""


def _add_bisect(commands: Any) -> None:
    command = _command(
        commands,
        "bisect",
        "find where a failure was introduced and fixed: over the releases, or over the commits of a clone",
        _BISECT,
        _BISECT_CODES,
    )
    command.add_argument(
        "what",
        metavar="CELL|DEFECT|SCRIPT",
        help="a cell's id (with a release before it: what it shows there), a known defect's (410), or a Python file",
    )
    command.add_argument("--repo", type=Path, metavar="CLONE", help="search its commits; it is not touched")
    command.add_argument("--good", type=_ref, metavar="REF", help="a release, or with --repo a ref, that is fine")
    command.add_argument("--bad", type=_ref, metavar="REF", help="one that shows the failure that is looked for")
    command.add_argument("--first-parent", action="store_true", help="follow only the first parent of merges")
    command.add_argument(
        "--find",
        type=Find,
        choices=list(Find),
        default=None,
        help="which changes (default: all, of a search: introduced); to find a fix, the bad end is the older",
    )
    how = command.add_mutually_exclusive_group()
    how.add_argument("--scan", action="store_true", help="ask every build: right on any history, and finds all changes")
    how.add_argument("--search", action="store_true", help="ask few: a binary search for one change, ends verified")
    command.add_argument("--any-failure", action="store_true", help="all failures are one: none is skipped")
    command.add_argument("--fresh", action="store_true", help="ask every build anew, though a cell was asked before")
    command.add_argument("--resume", action="store_true", help="take what the same script said of a build before")
    command.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help=f"seconds a script may take on one build before it cannot be tested (default: {SCRIPT_TIMEOUT:g})",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    command.set_defaults(run=_bisect)


def _add_which(commands: Any) -> None:
    command = _command(
        commands,
        "which",
        "which releases do a call right, what goes wrong in the others, and which to take",
        exit_codes=_WHICH_CODES,
    )
    command.add_argument(
        "--head-ratio", type=_ratio, required=True, metavar="R", help="head_pruning_ratio: 1/3, 0.5; 0 prunes no head"
    )
    command.add_argument("--heads", type=_count, default=Model.heads, metavar="N", help="heads of each layer")
    command.add_argument("--layers", type=_count, default=Model.layers, metavar="N", help="layers")
    command.add_argument(
        "--ratio", type=_ratio, default=Fraction(1, 2), metavar="R", help="pruning_ratio (default: 1/2)"
    )
    command.add_argument("--steps", type=_count, default=1, metavar="N", help="iterative_steps")
    scope = command.add_mutually_exclusive_group()
    scope.add_argument("--local", dest="everywhere", action="store_false", help="global_pruning=False (the default)")
    scope.add_argument("--global", dest="everywhere", action="store_true", help="global_pruning=True")
    command.add_argument("--head-dims", action="store_true", help="prune_head_dims=True")
    command.add_argument(
        "--keep-width", action="store_true", help="attention's and the MLP's outputs in ignored_layers"
    )
    command.add_argument(
        "--model", default=Model.family, metavar="MODEL", help="a family, or its bare backbone: dinov2, dinov2_bare, …"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write it there too")
    command.set_defaults(run=_which, everywhere=False)


def _emit(options: argparse.Namespace) -> int:
    output: Path | None = options.output
    if output is not None:
        _check_new(output)
    cell = _cell(options.cell)
    named = _named_build(options.cell, cell)
    if not (wanted := options.build or named):
        raise UsageError(
            "the id names no build", "--build says which: a release, wheel, sdist, checkout, CLONE@REF or URL"
        )
    build = builds.parse(wanted)
    if named not in ("", build.label):
        raise UsageError(f"the id names build {named}, and --build {build.label}", "leave one out, or name the same")
    overlay = builds.prepare(build, say=say)
    with Store() as store, Engine(store=store) as engine:
        make = reproduction.emit_minimal if options.minimal else reproduction.emit
        text = make(engine, overlay, cell, say)
    if output is None:
        sys.stdout.write(text)
        return ExitCode.CLEAN
    _write_new(output, text)
    say(f"{output}: shows it when run with {overlay.label}, and exits with 1")
    return ExitCode.CLEAN


def _cell(wanted: str) -> Cell:
    """The cell of an id: a test's, with the build before it, or its own.

    Raises:
        UsageError: there is none.
    """
    cells = matrix.known_cells()
    name = wanted.rpartition("[")[2].removesuffix("]")
    found = next((cell for id_, cell in cells.items() if name == id_ or name.endswith(f"-{id_}")), None)
    if found is None:
        if defect := next((defect for defect in catalogue().defects if defect.id == name), None):
            raise UsageError(f"{name} is a known defect", f"its file is reproducers/{defect.reproducer.file}")
        near = difflib.get_close_matches(name, cells, n=3, cutoff=0.0)
        raise UsageError(f"there is no cell {name!r}", f"the nearest are {', '.join(near)}")
    return found


def _named_build(id_: str, cell: Cell) -> str:
    """The build that a test's id names before the cell; "" if none."""
    return id_.rpartition("[")[2].removesuffix("]").removesuffix(cell.id).removesuffix("-")


def _defects(which: Sequence[str]) -> list[Defect]:
    """Those named, or all."""
    return [reproduction.find(name) for name in which] or list(catalogue().defects)


def _reproduce(options: argparse.Namespace) -> int:
    defects = _defects(options.which)
    wanted = [
        (defect, build, status)
        for defect in dict.fromkeys(defects)
        for build, status in (
            [(build, 1) for build in options.build]
            or [(defect.reproducer.bad, 1), *([(defect.reproducer.good, 0)] if defect.reproducer.good else [])]
        )
    ]
    overlays = {spec: builds.prepare(builds.parse(spec), say=say) for spec in dict.fromkeys(b for _, b, _ in wanted)}
    width = max(len(defect.id) for defect in defects)
    runs = []
    with Engine() as engine:
        for defect, build, status in wanted:
            path = reproduction.folder() / defect.reproducer.file
            if not path.is_file():
                raise HeadcountError(f"{path} is not there", "run this from a checkout of the repository")
            run = Reproduction(defect, overlays[build].label, status, engine.run_script(overlays[build], path))
            runs.append(run)
            _out(_line(run, width, judged=not options.build))
    return _asked(runs) if options.build else _stated(runs)


def _line(run: Reproduction, width: int, *, judged: bool) -> str:
    words = {0: "good", 1: "defect", 125: "cannot be tested"}
    status = words.get(run.done.status if run.done.status is not None else -1, f"status {run.done.status}")
    mark = ("ok  " if run.holds else "FAIL") if judged else "    "
    return f"{mark} {run.defect.id:<{width}}  {run.release:<8} {status:<17} {run.done.said[:110]}"


def _stated(runs: Sequence[Reproduction]) -> ExitCode:
    """All did what the catalogue states, or one did not, or one could not be tested."""
    failed = [run for run in runs if not run.holds]
    _out(f"{len(runs)} runs: {len(runs) - len(failed)} as the catalogue states, {len(failed)} not")
    if any(run.done.status in (0, 1) for run in failed):
        return ExitCode.REGRESSION
    return ExitCode.INDETERMINATE if failed else ExitCode.CLEAN


def _asked(runs: Sequence[Reproduction]) -> ExitCode:
    """Whether the build shows any."""
    statuses = {run.done.status for run in runs}
    if 1 in statuses:
        return ExitCode.REGRESSION
    return ExitCode.CLEAN if statuses == {0} else ExitCode.INDETERMINATE


# --- over the releases, and over commits ------------------------------------------------------------


def _bisect(options: argparse.Namespace) -> int:
    if options.first_parent and not options.repo:
        raise UsageError("--first-parent is of commits", "name a clone with --repo")
    if options.search and options.find:
        _ = options.find.one  # before anything is asked
    if options.json:
        _check_new(options.json)
    what = _what(options.what)
    for option in ("resume", "timeout"):
        if getattr(options, option) and not isinstance(what, Path):
            raise UsageError(f"--{option} is of scripts", "what cells said is always kept, and each has its own limit")
    clone = Clone(options.repo) if options.repo else None
    if clone and not clone.has("HEAD") and not (options.good and options.bad):
        raise UsageError(f"{clone.path} has no commit at HEAD", "name both ends with --good and --bad")
    find: Find = options.find or (Find.INTRODUCED if options.search else Find.ALL)
    older, newer = _ends(options, clone, find)
    span = (
        bisection.commits(clone, older, newer, first_parent=options.first_parent)
        if clone
        else (bisection.releases(older, newer))
    )
    builds_ = bisection.distinct(span)
    scanned = options.scan or (not options.search and (find is Find.ALL or builds_ < bisection.SCANNED_BELOW))
    with (
        Store() as store,
        Engine(script_timeout=options.timeout or SCRIPT_TIMEOUT, store=store, fresh=options.fresh) as engine,
        progress(builds_) as steps,
    ):
        good_end, bad_end = (span.newer, span.older) if find is Find.FIXED else (span.older, span.newer)
        one = bool(options.bad) or not scanned
        subject, known = _subject(what, options, engine, lambda: _testable(span, bad_end) if one else None)
        prober = Prober(
            engine,
            subject,
            span,
            lambda title, answer: steps.done(f"{title} {answer.state}") if answer else steps.begin(f"asking {title}"),
            {bad_end: known} if known else None,
        )
        said = {good_end: (options.good, State.GOOD), bad_end: (options.bad, State.BAD)}
        bisection.verify(prober, subject, span, {point: state for point, (given, state) in said.items() if given})
        result = (bisection.scan if scanned else bisection.seek)(prober, subject, span, find)
    again = _repeatable(options)
    if options.json:
        _write_new(options.json, json.dumps(to_json(result, clone, again), indent=2) + "\n")
    _out(markdown(result, clone, again))
    return result.exit_code


def _repeatable(options: argparse.Namespace) -> list[str]:
    """The words of the call, without the file that it has written."""
    words: list[str] = []
    for word in options.words:
        if words and words[-1] == "--json":
            words.pop()
        elif not word.startswith("--json="):
            words.append(word)
    return words


def _testable(span: Span, point: str) -> Overlay:
    """An end's build.

    Raises:
        UntestableError: it cannot be made.
    """
    try:
        return span.prepare(point)
    except UsageError as error:
        raise UntestableError(f"{span.titles[point]} cannot be an end: {error.problem}", error.hint) from error


def _ends(options: argparse.Namespace, clone: Clone | None, find: Find) -> tuple[str, str]:
    """The older and the newer end, from --good and --bad: which is which depends on what is looked for."""
    default = (f"v{builds.RELEASES[0]}", "HEAD") if clone else (builds.RELEASES[0], builds.RELEASES[-1])
    ends = (options.bad, options.good) if find is Find.FIXED else (options.good, options.bad)
    if clone and not ends[0] and not clone.has(default[0]):
        raise UsageError(
            f"{clone.path} has no tag {default[0]}, where the range begins unless it is said",
            "is it a full clone of Torch-Pruning? else name the older end",
        )
    return ends[0] or default[0], ends[1] or default[1]


def _what(what: str) -> Path | Defect | tuple[Cell, str]:
    """What a person wants searched for: a script, a known defect, or a cell and the release that its id names.

    Raises:
        UsageError: it is none of these, or a script that cannot be run.
    """
    path = Path(what)
    known = [name for defect in catalogue().defects for name in (defect.id.partition("-")[0], defect.id)]
    if what.removeprefix("#") in known:
        return reproduction.find(what)
    if what.endswith(".py") or os.path.isfile(what):  # noqa: PTH113 - a Path of an impossible name raises
        return _program(path)
    try:
        cell = _cell(what)
    except UsageError as error:
        within = [name for name in known if what in name] if len(what) > 2 else []  # noqa: PLR2004 - a word, not a letter
        numbers = [name for name in known if name.isdecimal() and what.removeprefix("#").isdecimal()]
        near = within or numbers or difflib.get_close_matches(what, known, n=2, cutoff=0.5)
        also = f"the defects {', '.join(dict.fromkeys(near))}; " if near else ""
        raise UsageError(
            f"{what!r} is no cell, no known defect, and no file", f"near are {also}{error.hint.partition(' are ')[2]}"
        ) from None
    return cell, _named_build(what, cell)


def _program(path: Path) -> Path:
    """A Python file that can be run.

    Raises:
        UsageError: there is none, or it is not Python.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a Python file") from error
    except (SyntaxError, ValueError) as error:
        raise UsageError(
            f"{path} is not Python: {error}", "a script is a Python file that exits with 0, 1 or 125"
        ) from error
    if _only_defines_tests(tree):
        run = "import sys, pytest; sys.exit(pytest.main([__file__]))"
        raise UsageError(f"{path} defines tests, and calls none of them", f"end it with {run}")
    return path.resolve()


def _only_defines_tests(tree: ast.Module) -> bool:
    """Whether a file is for pytest to run: as a program it would do nothing, and be good."""
    tests = [
        n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name.lower().startswith("test")
    ]
    calls = [
        n
        for n in tree.body
        if isinstance(n, ast.If | ast.For | ast.With | ast.Try)
        or (isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
    ]
    return bool(tests) and not calls


def _subject(
    what: Path | Defect | tuple[Cell, str],
    options: argparse.Namespace,
    engine: Engine,
    bad_end: Callable[[], Overlay | None],
) -> tuple[Subject, Answer | None]:
    """What is looked for: a known defect, the failure that the bad end shows, or any, each told from the others.

    Args:
        bad_end: None if no one failure is looked for.

    Returns:
        The subject, and what the bad end has said if it was asked.
    """
    if isinstance(what, Defect):
        return probing.by_defect(what, any_failure=options.any_failure), None
    if isinstance(what, Path):
        script = probing.Script(what, any_failure=options.any_failure, resumed=options.resume)
        shown = None if options.any_failure else bad_end()
        said = script.ask(engine, shown) if shown else None
        return replace(script, sought=said.label) if said and said.state is State.BAD else script, said
    cell, release = what
    if options.any_failure:
        return probing.by_verdict(cell, any_failure=True), None
    shown = builds.prepare(builds.parse(release), say=say) if release else bad_end()
    if shown is None:
        return probing.by_verdict(cell), None
    return probing.by_signature(cell, reproduction.failing(engine, shown, cell).signature), None


def _history(options: argparse.Namespace) -> int:
    if options.json:
        _check_new(options.json)
    defects = _defects(options.which)
    overlays = {release: builds.prepare(builds.parse(release), say=say) for release in builds.RELEASES}
    answers: dict[str, dict[str, Answer]] = {defect.id: {} for defect in defects}
    with Store() as store, Engine(store=store) as engine, progress(len(overlays)) as steps:
        for release, overlay in overlays.items():
            steps.begin(f"asking {release}")
            for defect in defects:
                answers[defect.id][release] = probing.by_defect(defect).ask(engine, overlay)
            steps.done(release)
    if options.json:
        _write_new(options.json, json.dumps(history.table_to_json(answers), indent=2) + "\n")
    _out(history.table(answers))
    return ExitCode.CLEAN


def _support(options: argparse.Namespace) -> int:
    lines, names = options.transformers or LINES, options.model
    if unmeasured := [line for line in lines if line not in LINES]:
        raise UsageError(f"nothing is known of transformers {', '.join(unmeasured)}", f"there are {', '.join(LINES)}")
    _families(*names)
    calls = matrix.STEPPED_CALLS if options.in_steps else matrix.FAMILY_CALLS
    if options.json:
        found = {line: support.plain(line, names, calls) for line in lines}
        _write_new(options.json, json.dumps(found, indent=2) + "\n")
    _out(support.tables(lines, names, calls))
    return ExitCode.CLEAN


def _which(options: argparse.Namespace) -> int:
    if options.json:
        _check_new(options.json)
    (family,) = _families(options.model)
    model = replace(small(family, options.heads, bare=options.model != family), layers=options.layers)
    config = Config(
        global_pruning=options.everywhere,
        prune_num_heads=options.head_ratio != 0,
        prune_head_dims=options.head_dims,
        head_pruning_ratio=options.head_ratio,
        pruning_ratio=options.ratio,
        iterative_steps=options.steps,
        ignored_layers=("residual_outputs",) if options.keep_width else (),
    )
    cell = Cell(model, config)
    _check_runs(cell)
    findings = []
    with Store() as store, Engine(store=store) as engine, progress(len(builds.RELEASES)) as steps:
        for release in builds.RELEASES:
            steps.begin(f"asking {release}")
            overlay = builds.prepare(builds.parse(release), say=say)
            found = probing.finding(engine, overlay, release, cell)
            findings.append(found)
            steps.done(f"{release} {found.verdict.kind}")
    if options.json:
        _write_new(options.json, json.dumps(history.advice_to_json(cell, findings), indent=2) + "\n")
    _out(history.advice(cell, findings))
    if any(found.right for found in findings):
        return ExitCode.CLEAN
    told = {found.verdict.kind for found in findings} - {Kind.UNTESTABLE, Kind.NOT_APPLICABLE}
    return ExitCode.REGRESSION if told else ExitCode.INDETERMINATE


def _families(*names: str) -> list[str]:
    """The families of models, each called by its own name or its family's.

    Raises:
        UsageError: a name is neither.
    """
    known = {name: model.family for model in matrix.family_models() for name in (model.family, model.id)}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no such model: {', '.join(unknown)}", f"there are {', '.join(sorted(known))}")
    return [known[name] for name in names]


def _check_runs(cell: Cell) -> None:
    """Raises UsageError if this transformers has no such model, or runs it only whole: no release could prune it."""
    family, line = FAMILIES[cell.model.family], environment()["transformers"]
    if not family.is_in(line):
        raise UsageError(f"transformers {line} has no {family.title}", "the other line may: headcount support")
    if support.is_fixed(family, cell, line):
        raise UsageError(
            f"transformers {line} does not run a pruned {family.title}, whoever prunes it: its code has sizes fixed",
            "the other line may: headcount support",
        )


def _ratio(text: str) -> Fraction:
    with suppress(ValueError, ZeroDivisionError):
        ratio = Fraction(text)
        if 0 <= ratio < 1 and ratio.denominator <= _FINEST:
            return ratio
    raise argparse.ArgumentTypeError(
        f"{text!r} is no ratio: 1/3, 0.5; from 0 up to 1, without 1, in 1/{_FINEST} at most"
    )


def _ref(text: str) -> str:
    if text.strip():
        return text
    raise argparse.ArgumentTypeError("it is empty")


def _count(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= _MOST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST}")


def _version(text: str) -> str:
    with suppress(InvalidVersion):
        return str(Version(text))
    raise argparse.ArgumentTypeError(f"{text!r} is no version: 4.57.6")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < threading.TIMEOUT_MAX:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds: 60, 0.5")


# --- output -----------------------------------------------------------------------------------------


def _check_new(path: Path) -> None:
    """Raises UsageError if a file is there already, or its folder is not."""
    if os.path.lexists(path):
        raise UsageError(f"{path} exists, and is left as it is", "name a new file")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "make it, or name another")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"nothing can be written in {path.parent}", "name another folder")


def _write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        HeadcountError: it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise HeadcountError(f"cannot write {path}: {error.strerror}", "name another file") from error


def _out(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's output
