"""`headcount bisect`: where a failure was introduced and fixed."""

import ast
import difflib
import os
from dataclasses import replace
from pathlib import Path

from headcount import bisect, builds, canary, check, defects, errors, isolation, reproduce, wording
from headcount.cli import shared
from headcount.isolation.engine import SCRIPT_TIMEOUT
from headcount.report import bisection, console

add = shared.command(
    "bisect",
    "find where a failure was introduced and fixed: over the releases, or over the commits of a clone",
    shared.option(
        "what",
        metavar="CELL|DEFECT|FILE",
        help="a cell's id (with a release before it: what it shows there), a known defect (410), a script, or a file "
        "for headcount check: FILE.py[:NAME]",
    ),
    shared.option("--repo", type=Path, metavar="CLONE", help="search its commits; it is not touched"),
    shared.option("--good", type=shared.ref, metavar="REF", help="a release, or with --repo a ref, that is fine"),
    shared.option("--bad", type=shared.ref, metavar="REF", help="one that shows the failure that is searched for"),
    shared.option("--first-parent", action="store_true", help="follow only the first parent of merges"),
    shared.option(
        "--find",
        type=bisect.Find,
        choices=list(bisect.Find),
        help="which changes (default: all, of a search: introduced); to find a fix, the bad end is the older",
    ),
    shared.option("--judge", action="store_true", help="judge what a script's pruners left, not its exit status"),
    shared.option("--any-failure", action="store_true", help="all failures are one: none is skipped"),
    shared.option("--fresh", action="store_true", help="test every build anew, though a cell was run before"),
    shared.option("--resume", action="store_true", help="take what the same script did with a build before"),
    shared.option(
        "--timeout",
        type=shared.seconds,
        metavar="S",
        help="seconds a file may take on one build, and not to end by then is a failure; by default a script has "
        f"{SCRIPT_TIMEOUT:g}, and then it cannot be tested",
    ),
    shared.either(
        shared.option(
            "--scan", action="store_true", help="test every build: right on any history, and finds all changes"
        ),
        shared.option("--search", action="store_true", help="test few: a binary search for one change, ends verified"),
    ),
    shared.SET,
    shared.WITH,
    shared.JSON,
    more="""
Without --good and --bad, all releases are tested, or all commits from v1.3.0 to HEAD, and every change of the
verdict is reported. With --bad, or --search, one failure is searched for: the one that the bad end shows. Where no
good end is named, and the oldest is not good, one is looked for, ever further back from the bad end. A build
that fails in another way is skipped, and so is one that cannot be tested.

A script is run with each build's torch_pruning first on its path. It exits with 0 for good, 1 for bad, 125
for "cannot be tested". An uncaught exception is bad, but cannot be tested while torch_pruning is being imported,
or if it is an ImportError, NameError or SyntaxError of the script itself. Two failures are the same if the
exceptions are, numbers aside, with the lines of the script and the function of torch_pruning that they came
through. What a script prints is shown, and distinguishes no failures.""",
    examples=(
        "410",
        "410 --repo ../Torch-Pruning",
        "script.py --repo ../Torch-Pruning --bad HEAD",
    ),
    exit_codes=f"""{shared.EXIT_CODES_SAID}
0 means that the answer has no gap. 3 means that it has one: a build that cannot be tested hides a change, or may.""",
)


def run(options: shared.Options) -> int:
    subject, build = _subject(options)
    _check(options, subject)
    clone = builds.Clone(options.repo) if options.repo else None
    kind: bisect.Find = options.find or (bisect.Find.INTRODUCED if options.search else bisect.Find.ALL)
    span = _span(options, clone, kind)
    scanned = options.scan or (
        not options.search and (kind is bisect.Find.ALL or span.distinct_builds < bisect.SCANNED_BELOW)
    )
    good, bad = (span.points[-1], span.points[0]) if kind is bisect.Find.FIXED else (span.points[0], span.points[-1])
    with (
        isolation.Cache() as cache,
        canary.Engine(script_timeout=options.timeout or SCRIPT_TIMEOUT, cache=cache, fresh=options.fresh) as engine,
        console.progress(span.distinct_builds) as steps,
    ):
        prober = bisect.Prober(
            engine,
            subject,
            span,
            lambda title, said: steps.done(f"{title} {said.state}") if said else steps.begin(f"testing {title}"),
        )
        if build and isinstance(subject, bisect.Cells) and not options.any_failure:
            prober.narrow(_shown(engine, subject, build))
        elif options.bad or not scanned:
            prober.narrow(prober.answer(bad))
        if not scanned and not options.good and kind is bisect.Find.INTRODUCED:
            good = span.points[0]
            if prober.answer(good).state is not bisect.State.GOOD:
                good = bisect.last_good(prober)
                console.say(f"{span.titles[good]} is good: the search begins there")
                span = _span(options, clone, kind, good)
                prober = replace(prober, span=span, answers={})
        ends = ((good, bisect.State.GOOD, options.good), (bad, bisect.State.BAD, options.bad))
        bisect.verify(prober, {point: state for point, state, named in ends if named})
        result = (bisect.scan if scanned else bisect.seek)(prober, kind)
    again = _repeatable(options.words)
    shared.answer(
        options.json, bisection.markdown(result, clone, again), lambda: bisection.to_json(result, clone, again)
    )
    if isinstance(subject, bisect.Script):
        console.say("the script's exit status alone was judged; --judge looks at what its pruners left")
    return result.exit_code


def _shown(engine: isolation.Engine, cells: bisect.Cells, build: str) -> bisect.Answer:
    """Return what cells show on the build that a test's id names.

    Raises:
        UsageError: they are fine there.
    """
    overlay = builds.prepare(builds.parse(build), say=console.say)
    reproduce.failing(engine, overlay, *cells.cells)
    return cells.answer(engine, overlay)


def _subject(options: shared.Options) -> tuple[bisect.Subject, str]:
    """Return what is searched for, and the build that a cell's id names; "" if none.

    Raises:
        UsageError: it is no script that can be run, no known defect, and no cell.
    """
    what: str = options.what
    known = [name for defect in defects.DEFECTS for name in (defect.id.partition("-")[0], defect.id)]
    if what.removeprefix("#") in known:
        return bisect.by_defect(reproduce.find(what), any_failure=options.any_failure), ""
    if check.is_own(what) or options.judge:
        timeout = options.timeout or check.TIMEOUT
        return bisect.OwnNetwork(shared.file_changed(what, options.set), timeout, any_failure=options.any_failure), ""
    if what.endswith(".py") or os.path.isfile(what):  # noqa: PTH113 - a Path of an impossible name raises
        return bisect.Script(
            _program(Path(what)), any_failure=options.any_failure, resumed=options.resume, limited=bool(options.timeout)
        ), ""
    try:
        cell = shared.cell_named(what)
    except errors.UsageError as error:
        near = (
            [name for name in known if len(what) > 2 and what in name]  # noqa: PLR2004 - a word, not a letter
            or [name for name in known if name.isdecimal() and what.removeprefix("#").isdecimal()]
            or difflib.get_close_matches(what, known, n=2, cutoff=0.5)
        )
        also = f"near are the defects {', '.join(dict.fromkeys(near))}; " if near else ""
        raise errors.UsageError(f"{what!r} is no cell, no known defect, and no file", f"{also}{error.hint}") from None
    return bisect.by_cell(cell, any_failure=options.any_failure), shared.build_named(what, cell)


def _check(options: shared.Options, subject: bisect.Subject) -> None:
    """Check before long work that the options fit together.

    Raises:
        UsageError: they do not.
    """
    is_script, has_limit = isinstance(subject, bisect.Script), not isinstance(subject, bisect.Cells)
    kept = "what cells did is always kept, and each has its own limit"
    shared.refuse(
        (options.first_parent and not options.repo, "--first-parent is for commits", "name a clone with --repo"),
        (
            options.search and options.find is bisect.Find.ALL,
            "a binary search finds one change",
            "--find introduced or --find fixed, or --scan for all",
        ),
        (
            options.judge and not isinstance(subject, bisect.OwnNetwork),
            "--judge is for scripts",
            "cells and files for headcount check are judged anyway",
        ),
        (
            options.set and not isinstance(subject, bisect.OwnNetwork),
            "--set changes a call in a file for headcount check",
            "a cell's id says the whole call, and a script is run as it is",
        ),
        (options.resume and not is_script, "--resume is for scripts", kept),
        (options.timeout and not has_limit, "--timeout is for files", kept),
    )


def _span(options: shared.Options, clone: builds.Clone | None, find: bisect.Find, found: str = "") -> bisect.Span:
    """Return the range from --good and --bad: which of them is the older depends on what is searched for.

    Args:
        found: a good end, where none is named.

    Raises:
        UsageError: there is no such range.
    """
    older, newer = (options.bad, options.good) if find is bisect.Find.FIXED else (options.good or found, options.bad)
    if clone is None:
        if not (older and newer):
            console.say(wording.released(builds.released()))
        return bisect.releases(older or "", newer or "")
    first = f"v{builds.RELEASES[0]}"
    if not (older and newer) and not clone.has("HEAD"):
        raise errors.UsageError(f"{clone.path} has no commit at HEAD", "name both ends with --good and --bad")
    if not older and not clone.has(first):
        raise errors.UsageError(
            f"{clone.path} has no tag {first}, where the range begins by default",
            "is it a full clone of Torch-Pruning? else name the older end",
        )
    return bisect.commits(clone, older or first, newer or "HEAD", first_parent=options.first_parent)


def _program(path: Path) -> Path:
    """Return the absolute path of a Python file that can be run.

    Raises:
        UsageError: there is none, or it is not Python.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise errors.UsageError(f"{path} cannot be read: {error.strerror}", "name a Python file") from error
    except (SyntaxError, ValueError) as error:
        raise errors.UsageError(
            f"{path} is not Python: {error}", "a script is a Python file that exits with 0, 1 or 125"
        ) from error
    if _only_defines_tests(tree):
        raise errors.UsageError(
            f"{path} defines tests, and calls none of them",
            "end it with import sys, pytest; sys.exit(pytest.main([__file__]))",
        )
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
    return [
        word
        for word, before in zip(words, ["", *words], strict=False)
        if "--json" not in (word, before) and not word.startswith("--json=")
    ]
