"""`headcount report`: results files in, one page, Markdown or JSON out."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headcount import errors, gate, invocation, untrusted
from headcount.cli import shared
from headcount.report import console, document, formats, sources

#: Format -> the ending of a file's name, and what makes the text.
_FORMATS: Mapping[str, tuple[str, Callable[[document.Document], str]]] = {
    "html": ("html", lambda found: formats.html(found.to_json())),
    "json": ("json", lambda found: json.dumps(found.to_json(), indent=1) + "\n"),
    "markdown": ("md", formats.markdown),
}

#: Of what is made from results files.
EXIT_CODES = """exit codes: 0 written and complete, 2 the call was wrong or a file is no results file, 3 written, but
something is missing (the page says what), 4 the set-up failed, 130 interrupted."""

add = shared.command(
    "report",
    "the whole matrix on one page: a heatmap, the defects over the releases, every cell",
    shared.option(
        "results",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help="the matrix's, or of check --results; default: the newest of each version and network in results/",
    ),
    shared.option(
        "--compare", nargs=2, type=Path, metavar=("BASE", "CANDIDATE"), help="two results files, cell by cell"
    ),
    shared.option("--format", choices=sorted(_FORMATS), default="html", help="default: %(default)s"),
    shared.option(
        "-o", "--output", type=Path, metavar="FILE", help="default: results/report.html, .md or .json; - prints it"
    ),
    more="""The page needs nothing but a browser: filters, a timeline of each defect, and each cell with what was
expected, what was seen, and how to reproduce it. A gate's file, or --compare, adds what got worse and better; what
headcount check --results keeps of your own networks is a section by itself.""",
    examples=(
        "",
        "results/*.jsonl --format markdown",
        "results/one.jsonl results/other.jsonl -o both.html",
    ),
    exit_codes=EXIT_CODES,
)


def run(options: shared.Options) -> int:
    paths = options.compare or options.results or newest(Path("results"))
    ending, write = _FORMATS[options.format]
    output = options.output or Path("results", f"report.{ending}")
    shared.refuse(
        (
            options.compare and options.results,
            "--compare takes two files, and there are others",
            "give only these two",
        ),
        (output.is_dir() or not output.name, f"{output} is a folder", "-o FILE names a file in it"),
        (
            output.resolve() in {path.resolve() for path in paths},
            f"{output} is one of the results",
            "-o FILE names another",
        ),
    )
    found = sources.load(paths)
    if options.compare:
        found, comparison = sources.compare(*found)
        doubts = [doubt for results in sources.whole(found) for doubt in gate.doubts(results)]
        made = document.make(found, [comparison], doubts)
    else:
        made = document.make(found, *_of_gates(found))
    _write(output, write(made))
    for line in (*formats.counts(made), *(f"NOT COMPLETE: {problem}" for problem in made.problems)):
        console.say(untrusted.clean(line))
    return made.exit_code


def newest(folder: Path) -> list[Path]:
    """Return the newest results of the matrix with each transformers version, and of each network that was checked.

    Raises:
        UsageError: there are none.
    """

    def oldest_first(pattern: str) -> list[Path]:
        return sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)

    newest = {path.name.split("-")[1]: path for path in oldest_first("transformers-*.jsonl")}
    # A stamp of three numbers ends the name.
    newest |= {path.name.rsplit("-", 3)[0]: path for path in oldest_first("check-*.jsonl")}
    if not newest:
        raise errors.UsageError(
            f"there are no results in {folder.absolute()}", f"{invocation.matrix()} makes some, or name the files"
        )
    return [newest[version] for version in sorted(newest)]


def _of_gates(found: Sequence[sources.Source]) -> tuple[list[sources.Comparison], list[str]]:
    """Return what gates' files amount to, by transformers version; and why some amount to nothing."""
    parts = [results for results in sources.whole(found) if results.header.gate is not None]
    comparisons, problems = [], []
    for version in sorted({part.header.environment["transformers"] for part in parts}):
        try:
            verdict = gate.summed_up([part for part in parts if part.header.environment["transformers"] == version])
        except errors.UsageError as error:
            problems.append(f"the gate's answer, transformers {version}, cannot be given: {error}")
        else:
            comparisons.append(
                sources.Comparison(verdict.base.label, verdict.candidate.label, verdict.differences, verdict)
            )
    return comparisons, problems


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all, in place of an older one.

    Raises:
        HeadcountError: it cannot be written.
    """
    if str(path) == "-":
        shared.out(text.encode("utf-8", "backslashreplace").decode())
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
        raise errors.HeadcountError(f"cannot write {path}: {error.strerror}", "-o FILE names another") from error
    console.say(f"written: {path}")
