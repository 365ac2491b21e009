"""`headcount report`: results files in, one page, Markdown or JSON out."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from headcount import results
from headcount.gate import run as gating
from headcount.errors import HeadcountError, UsageError
from headcount.untrusted import clean
from headcount.report import document as documents
from headcount.report import html, summary
from headcount.report.console import say
from headcount.report.document import Comparison, Document, Source

DESCRIPTION = """The page needs nothing but a browser: filters, a timeline of each defect, and each cell with what was
expected, what was seen, and how to reproduce it. A gate's file, or --compare, adds what got worse and better."""

EXIT_CODES = """exit codes: 0 written and complete, 2 the call was wrong or a file is no results file, 3 written, but
something is missing (the page says what), 4 the set-up failed, 130 interrupted."""

_WRITERS: dict[str, Callable[[Document], str]] = {
    "html": lambda document: html.render(document.to_json()),
    "json": lambda document: json.dumps(document.to_json(), indent=1) + "\n",
    "markdown": summary.markdown,
}
_ENDINGS = {"html": "html", "json": "json", "markdown": "md"}


def add(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument(
        "results", nargs="*", type=Path, metavar="RESULTS", help="default: the newest of each line in results/"
    )
    command.add_argument(
        "--compare", nargs=2, type=Path, metavar=("BASE", "CANDIDATE"), help="two results files, cell by cell"
    )
    command.add_argument("--format", choices=sorted(_WRITERS), default="html", help="default: %(default)s")
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: results/report.html, .md or .json; - prints it"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write a report; returns the exit code."""
    if options.compare and options.results:
        raise UsageError("--compare takes two files, and there are others", "give only these two")
    paths = options.compare or options.results or _newest(Path("results"))
    output = options.output or Path("results", f"report.{_ENDINGS[options.format]}")
    if output.is_dir() or not output.name:
        raise UsageError(f"{output} is a folder", "-o FILE names a file in it")
    if output.resolve() in {path.resolve() for path in paths}:
        raise UsageError(f"{output} is one of the results", "-o FILE names another")
    sources = documents.load(paths)
    if options.compare:
        sources = documents.apart(*sources)
        document = documents.make(sources, [documents.compare(*sources)], _doubts(sources))
    else:
        document = documents.make(sources, *_of_gates(sources))
    _write(output, _WRITERS[options.format](document))
    for line in summary.counts(document):
        say(clean(line))
    for problem in document.problems:
        say(f"NOT COMPLETE: {clean(problem)}")
    return document.exit_code


def _newest(folder: Path) -> list[Path]:
    """The newest results of the matrix on each line of transformers.

    Raises:
        UsageError: there are none.
    """
    by_line: dict[str, Path] = {}
    for path in sorted(folder.glob("transformers-*.jsonl"), key=lambda path: path.stat().st_mtime):
        by_line[path.name.split("-")[1]] = path
    if not by_line:
        raise UsageError(f"there are no results in {folder.absolute()}", "nox -s matrix makes some, or name the files")
    return [by_line[line] for line in sorted(by_line)]


def _doubts(sources: Sequence[Source]) -> list[str]:
    """What a gate's own run was in doubt about."""
    footers = [source.results.footer or {} for source in sources if source.results is not None]
    return [doubt for footer in footers for doubt in footer.get("doubts", ())]


def _of_gates(sources: Sequence[Source]) -> tuple[list[Comparison], list[str]]:
    """What the files of gates amount to, line of transformers by line; and why some amount to nothing."""
    by_line: dict[str, list[results.Results]] = {}
    for found in (source.results for source in sources if source.results is not None):
        if found.header.get("gate") is not None:
            by_line.setdefault(found.header["environment"]["transformers"], []).append(found)
    comparisons, problems = [], []
    for line, shards in sorted(by_line.items()):
        try:
            comparisons.append(documents.of_a_gate(gating.summed_up(shards)))
        except UsageError as error:
            problems.append(f"the gate's answer, transformers {line}, cannot be told: {error}")
    return comparisons, problems


def _write(path: Path, text: str) -> None:
    """Write it whole or not at all, in place of an older one.

    Raises:
        HeadcountError: it cannot be written.
    """
    if str(path) == "-":
        print(text.encode("utf-8", "backslashreplace").decode())  # noqa: T201 - a command's output
        return
    target = path.resolve()
    aside = target.with_name(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():  # a device, a pipe: nothing that could be half written
            target.write_text(text, "utf-8", "backslashreplace")
        else:
            aside.write_text(text, "utf-8", "backslashreplace")
            aside.replace(target)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise HeadcountError(f"cannot write {path}: {error.strerror}", "-o FILE names another") from error
    say(f"written: {path}")
