"""`headcount bisect`: where a failure was introduced and fixed."""

import argparse
import ast
import difflib
import json
import os
from pathlib import Path
from typing import Any

from headcount.bisect import (
    SCANNED_BELOW,
    Cells,
    Find,
    Prober,
    Script,
    Span,
    State,
    Subject,
    by_cell,
    by_defect,
    commits,
    releases,
    scan,
    seek,
    verify,
)
from headcount.builds import RELEASES, Clone, parse, prepare
from headcount.cli import shared
from headcount.defects import DEFECTS
from headcount.errors import UsageError
from headcount.isolation import Cache, Engine
from headcount.isolation.engine import SCRIPT_TIMEOUT
from headcount.report.bisection import markdown, to_json
from headcount.report.console import progress, say
from headcount.reproduce import failing, find

_MORE = """
Without --good and --bad, all releases are tested, or all commits from v1.3.0 to HEAD, and every change of the
verdict is reported. With --bad, or --search, one failure is searched for: the one that the bad end shows. A build
that fails in another way is skipped, and so is one that cannot be tested.

A script is run with each build's torch_pruning first on its path. It exits with 0 for good, 1 for bad, 125
for "cannot be tested". An uncaught exception is bad, but cannot be tested while torch_pruning is being imported,
or if it is an ImportError, NameError or SyntaxError of the script itself. Two failures are the same if the
exceptions are, numbers aside, with the lines of the script and the function of torch_pruning that they came
through. What a script prints is shown, and tells no failures apart."""

_EXIT_CODES = f"""{shared.EXIT_CODES_SAID}
0 is an answer, whatever it is; 3 is one with a gap: what cannot be tested hides where a change is, or may hide one."""


def add(commands: Any) -> None:
    """Declare the command."""
    made = shared.command(
        commands,
        "bisect",
        run,
        "find where a failure was introduced and fixed: over the releases, or over the commits of a clone",
        more=_MORE,
        exit_codes=_EXIT_CODES,
    )
    made.add_argument(
        "what",
        metavar="CELL|DEFECT|SCRIPT",
        help="a cell's id (with a release before it: what it shows there), a known defect's (410), or a Python file",
    )
    made.add_argument("--repo", type=Path, metavar="CLONE", help="search its commits; it is not touched")
    made.add_argument("--good", type=_ref, metavar="REF", help="a release, or with --repo a ref, that is fine")
    made.add_argument("--bad", type=_ref, metavar="REF", help="one that shows the failure that is searched for")
    made.add_argument("--first-parent", action="store_true", help="follow only the first parent of merges")
    made.add_argument(
        "--find",
        type=Find,
        choices=list(Find),
        help="which changes (default: all, of a search: introduced); to find a fix, the bad end is the older",
    )
    how = made.add_mutually_exclusive_group()
    how.add_argument(
        "--scan", action="store_true", help="test every build: right on any history, and finds all changes"
    )
    how.add_argument("--search", action="store_true", help="test few: a binary search for one change, ends verified")
    made.add_argument("--any-failure", action="store_true", help="all failures are one: none is skipped")
    made.add_argument("--fresh", action="store_true", help="test every build anew, though a cell was run before")
    made.add_argument("--resume", action="store_true", help="take what the same script did with a build before")
    made.add_argument(
        "--timeout",
        type=shared.seconds,
        metavar="S",
        help=f"seconds a script may take on one build before it cannot be tested (default: {SCRIPT_TIMEOUT:g})",
    )
    shared.add_json(made)


def run(options: argparse.Namespace) -> int:
    """Search, and print what came of it."""
    subject, build = _subject(options)
    _check(options, subject)
    clone = Clone(options.repo) if options.repo else None
    find_: Find = options.find or (Find.INTRODUCED if options.search else Find.ALL)
    span = _span(options, clone, find_)
    scanned = options.scan or (not options.search and (find_ is Find.ALL or span.builds < SCANNED_BELOW))
    with (
        Cache() as cache,
        Engine(script_timeout=options.timeout or SCRIPT_TIMEOUT, cache=cache, fresh=options.fresh) as engine,
        progress(span.builds) as steps,
    ):
        prober = Prober(
            engine,
            subject,
            span,
            lambda title, said: steps.done(f"{title} {said.state}") if said else steps.begin(f"testing {title}"),
        )
        ends = (span.points[-1], span.points[0]) if find_ is Find.FIXED else (span.points[0], span.points[-1])
        if build and isinstance(subject, Cells) and not options.any_failure:
            overlay = prepare(parse(build), say=say)
            failing(engine, overlay, *subject.cells)
            prober.narrow(subject.answer(engine, overlay))
        elif options.bad or not scanned:
            prober.narrow(prober.answer(ends[1]))
        named = zip(ends, (State.GOOD, State.BAD), (options.good, options.bad), strict=True)
        verify(prober, {point: state for point, state, name in named if name})
        result = (scan if scanned else seek)(prober, find_)
    again = _repeatable(options.words)
    if options.json:
        shared.write_new(options.json, json.dumps(to_json(result, clone, again), indent=2) + "\n")
    shared.out(markdown(result, clone, again))
    return result.exit_code


def _subject(options: argparse.Namespace) -> tuple[Subject, str]:
    """Return what is searched for, and the build that a cell's id names; "" if none.

    Raises:
        UsageError: it is no script that can be run, no known defect, and no cell.
    """
    what: str = options.what
    known = [name for defect in DEFECTS for name in (defect.id.partition("-")[0], defect.id)]
    if what.removeprefix("#") in known:
        return by_defect(find(what), any_failure=options.any_failure), ""
    if what.endswith(".py") or os.path.isfile(what):  # noqa: PTH113 - a Path of an impossible name raises
        return Script(_program(Path(what)), any_failure=options.any_failure, resumed=options.resume), ""
    try:
        cell = shared.cell_named(what)
    except UsageError as error:
        within = [name for name in known if what in name] if len(what) > 2 else []  # noqa: PLR2004 - a word, not a letter
        numbers = [name for name in known if name.isdecimal() and what.removeprefix("#").isdecimal()]
        near = within or numbers or difflib.get_close_matches(what, known, n=2, cutoff=0.5)
        also = f"near are the defects {', '.join(dict.fromkeys(near))}; " if near else ""
        raise UsageError(f"{what!r} is no cell, no known defect, and no file", f"{also}{error.hint}") from None
    return by_cell(cell, any_failure=options.any_failure), shared.build_named(what, cell)


def _check(options: argparse.Namespace, subject: Subject) -> None:
    """Check before long work that the options fit together.

    Raises:
        UsageError: they do not.
    """
    if options.first_parent and not options.repo:
        raise UsageError("--first-parent is for commits", "name a clone with --repo")
    if options.search and options.find is Find.ALL:
        raise UsageError("a binary search finds one change", "--find introduced or --find fixed, or --scan for all")
    for option in ("resume", "timeout"):
        if getattr(options, option) and not isinstance(subject, Script):
            raise UsageError(f"--{option} is for scripts", "what cells did is always kept, and each has its own limit")
    shared.check_new(options.json)


def _span(options: argparse.Namespace, clone: Clone | None, find_: Find) -> Span:
    """Return the range from --good and --bad: which of them is the older depends on what is searched for.

    Raises:
        UsageError: there is no such range.
    """
    older, newer = (options.bad, options.good) if find_ is Find.FIXED else (options.good, options.bad)
    if clone is None:
        return releases(older or RELEASES[0], newer or RELEASES[-1])
    first = f"v{RELEASES[0]}"
    if not (older and newer) and not clone.has("HEAD"):
        raise UsageError(f"{clone.path} has no commit at HEAD", "name both ends with --good and --bad")
    if not older and not clone.has(first):
        raise UsageError(
            f"{clone.path} has no tag {first}, where the range begins by default",
            "is it a full clone of Torch-Pruning? else name the older end",
        )
    return commits(clone, older or first, newer or "HEAD", first_parent=options.first_parent)


def _program(path: Path) -> Path:
    """Return the absolute path of a Python file that can be run.

    Raises:
        UsageError: there is none, or it is not Python.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a Python file") from error
    except (SyntaxError, ValueError) as error:
        way = "a script is a Python file that exits with 0, 1 or 125"
        raise UsageError(f"{path} is not Python: {error}", way) from error
    if _only_defines_tests(tree):
        way = "end it with import sys, pytest; sys.exit(pytest.main([__file__]))"
        raise UsageError(f"{path} defines tests, and calls none of them", way)
    return path.resolve()


def _only_defines_tests(tree: ast.Module) -> bool:
    """Return whether a file is for pytest to run: as a program it would do nothing, and be good."""
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    calls = (
        isinstance(node, ast.If | ast.For | ast.With | ast.Try)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        for node in tree.body
    )
    return any(node.name.lower().startswith("test") for node in functions) and not any(calls)


def _repeatable(words: list[str]) -> list[str]:
    """Return the words of the call, without the file that it has written."""
    pairs = zip(words, ["", *words], strict=False)
    return [word for word, before in pairs if "--json" not in (word, before) and not word.startswith("--json=")]


def _ref(text: str) -> str:
    if text.strip():
        return text
    raise argparse.ArgumentTypeError("it is empty")
