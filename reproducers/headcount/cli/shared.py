"""What the commands share: how one is declared, the types of its options, and how it reads and writes."""

import argparse
import ast
import difflib
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from headcount import builds, check, defects, errors, invocation, matrix, reproduce
from headcount.matrix.cells import family_models, known_cells
from headcount.matrix.validity import why_invalid
from headcount.report import console

#: What a command is called with.
Options = argparse.Namespace

#: The most heads, layers or steps of a call: more is no ViT, and takes minutes.
_MOST = 64

#: The smallest part of a whole that a ratio is given in: finer is no choice, and its cell's id would fill a screen.
_FINEST = 10_000

_OTHERS = "2 the call was wrong, 3 indeterminate, 4 the set-up failed, 130 interrupted."
EXIT_CODES = f"exit codes: 0 clean, 1 the defect is there, {_OTHERS}"
EXIT_CODES_WRITTEN = f"exit codes: 0 written, {_OTHERS}"
EXIT_CODES_SAID = f"exit codes: 0 said, {_OTHERS}"


def called() -> str:
    """Say how a command is called here."""
    return f"called as: {invocation.command('COMMAND')}"


class Once(argparse.Action):
    """An option that may not be given twice: the first would be forgotten without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, names: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Set the option, once."""
        if getattr(names, self.dest) is not None:
            parser.error(f"{option} may be given once")
        setattr(names, self.dest, values)


#: What `ArgumentParser.add_argument` takes: of one option, or of several that exclude each other.
Option = list[tuple[tuple[str, ...], dict[str, Any]]]


def option(*names: str, **settings: Any) -> Option:
    """Return an option, from what `ArgumentParser.add_argument` takes."""
    return [(names, settings)]


def either(*options: Option) -> Option:
    """Return options that exclude each other."""
    return [one for (one,) in options]


#: Of a command that can `answer` in JSON too.
JSON = option("--json", type=Path, metavar="FILE", help="write it there too")

#: Of a command that runs what a user wrote.
WITH = option(
    "--with",
    dest="packages",
    action="append",
    default=[],
    metavar="PACKAGE",
    help="a package that the base environment lacks, as pip names it: timm==1.0.31; several times for several; "
    "installed beside it, once",
)


class Parser(argparse.ArgumentParser):
    """Prints its help in colour on a terminal."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            console.tell(message, "", file or sys.stderr)


def command(
    name: str, help_: str, *options: Option, more: str = "", examples: Sequence[str] = (), exit_codes: str = EXIT_CODES
) -> Callable[[Any], argparse.ArgumentParser]:
    """Declare a command. What is returned adds it to a parser's commands, and returns its own parser.

    Args:
        examples: what may follow the command's name.
    """
    shown = "\n".join(("examples:", *(f"  headcount {name} {words}".rstrip() for words in examples)))

    def add(commands: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(
            name,
            help=help_,
            description=f"{help_}\n{more}".strip(),
            epilog="\n\n".join((shown, f"{exit_codes}\n{called()}")),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for choices in options:
            group = made.add_mutually_exclusive_group() if len(choices) > 1 else made
            for names, settings in choices:
                group.add_argument(*names, **settings)
        return made

    return add


# --- what a person names -------------------------------------------------------------------------


def cell_named(wanted: str) -> matrix.Cell:
    """Return the cell of an id: a test's, with the build before it, or its own. It need not be in the matrix.

    Raises:
        UsageError: there is none, or it is no call that could be made.
    """
    name = wanted.rpartition("[")[2].removesuffix("]")
    parts = name.split("-")
    for start in range(len(parts)):  # a build's label may have hyphens of its own
        with suppress(ValueError, ZeroDivisionError):
            cell = matrix.Cell.parse("-".join(parts[start:]))
            why = why_invalid(cell)
            refuse((why, f"{cell.id} is no call that could be made: {why}", "change that part of it"))
            return cell
    if defect := next((defect for defect in defects.DEFECTS if defect.id == name), None):
        raise errors.UsageError(f"{name} is a known defect", f"its file is reproducers/{defect.reproducer.file}")
    near = difflib.get_close_matches(name, known_cells(), n=3, cutoff=0.0)
    raise errors.UsageError(f"there is no cell {name!r}", f"the nearest are {', '.join(near)}")


def file_changed(text: str, changes: Sequence[tuple[str, check.Plain]]) -> check.File:
    """Return a user's file with what `--set` changes.

    Raises:
        UsageError: there is none.
    """
    return check.named(text).changed(**dict(changes))


def build_named(id_: str, cell: matrix.Cell) -> str:
    """Return the build that a test's id names before the cell; "" if none."""
    return id_.rpartition("[")[2].removesuffix("]").removesuffix(cell.id).removesuffix("-")


def releases() -> Iterator[tuple[str, builds.Overlay]]:
    """Yield every release, installed. A new one that cannot be installed is left out, and named.

    Raises:
        UsageError: a recorded one cannot be installed.
        SetupError: no network, no space, no installer.
    """
    found = builds.released()
    for release in found.all:
        try:
            overlay = builds.prepare(builds.parse(release), say=console.say)
        except errors.UsageError as error:
            if release not in found.new:
                raise
            console.say(f"{release} is new, and left out: {error}")
        else:
            yield release, overlay


def defects_named(which: Sequence[str]) -> list[defects.Defect]:
    """Return those named, or all."""
    return [reproduce.find(name) for name in which] or list(defects.DEFECTS)


def families_named(names: Sequence[str]) -> list[str]:
    """Return the families of models, each called by its own name or its family's.

    Raises:
        UsageError: a name is neither.
    """
    known = {name: model.family for model in family_models() for name in (model.family, model.id)}
    if unknown := [name for name in names if name not in known]:
        raise errors.UsageError(f"no such model: {', '.join(unknown)}", f"there are {', '.join(sorted(known))}")
    return [known[name] for name in names]


# --- types of options ----------------------------------------------------------------------------


def ratio(text: str) -> Fraction:
    """Return a ratio from 0 up to 1, without 1."""
    with suppress(ValueError, ZeroDivisionError):
        found = Fraction(text)
        if 0 <= found < 1 and found.denominator <= _FINEST:
            return found
    raise argparse.ArgumentTypeError(
        f"{text!r} is no ratio: 1/3, 0.5; from 0 up to 1, without 1, in 1/{_FINEST} at most"
    )


def count(text: str, most: int = _MOST) -> int:
    """Return a number of heads, layers or steps."""
    if text.isdecimal() and 0 < int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {most}")


def size(text: str) -> int:
    """Return a number of channels, or of calls."""
    return count(text, 100_000)


def change(text: str) -> tuple[str, check.Plain]:
    """Return a name and its value: `layers=1`, `pruning_ratio=1/3`, `global_pruning=True`, `round_to=None`."""
    name, _, value = text.partition("=")
    if not value or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} gives no name a value: layers=1, pruning_ratio=1/3, round_to=None")
    with suppress(ValueError, SyntaxError):
        found = ast.literal_eval(value)
        if found is None or isinstance(found, bool | int | float | str):
            return name, found
    with suppress(ValueError, ZeroDivisionError):
        return name, float(Fraction(value))
    return name, value


#: Of a command that takes a user's file.
SET = option(
    "--set",
    action="append",
    type=change,
    default=[],
    metavar="NAME=VALUE",
    help="change the call in your file: its function's parameter, or the pruner's argument; None leaves one out",
)


def scope(text: str) -> tuple[matrix.Scope, Fraction]:
    """Return layers, and the ratio that they share: `mlp.0=1/4`, `mlp.0+mlp.1=0.4`, `attention.1=1/2`."""
    names, equals, number = text.partition("=")
    if not equals or not names:
        raise argparse.ArgumentTypeError(f"{text!r} gives no layer a ratio: mlp.0=1/4, mlp.0+mlp.1=0.4")
    return tuple(names.split("+")), ratio(number)


def version(text: str) -> str:
    """Return a version, in its usual form."""
    with suppress(InvalidVersion):
        return str(Version(text))
    raise argparse.ArgumentTypeError(f"{text!r} is no version: 4.57.6")


def seconds(text: str) -> float:
    """Return a time in seconds."""
    with suppress(ValueError):
        if 0 < float(text) < threading.TIMEOUT_MAX:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds: 60, 0.5")


def budget(text: str) -> float:
    """Return a time in seconds, or none."""
    return 0.0 if text == "0" else seconds(text)


def ref(text: str) -> str:
    """Return what names a release or a commit."""
    if text.strip():
        return text
    raise argparse.ArgumentTypeError("it is empty")


def part(text: str) -> tuple[int, int]:
    """Return which part of how many."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found and 1 <= int(found[1]) <= int(found[2]):
        return int(found[1]), int(found[2])
    raise argparse.ArgumentTypeError(f"{text!r} is no part: 1/3 is the first of three")


def refuse(*checks: tuple[object, str, str]) -> None:
    """Refuse a call for the first reason that holds: each is whether it does, the problem, and a hint.

    Raises:
        UsageError: one holds.
    """
    for holds, problem, hint in checks:
        if holds:
            raise errors.UsageError(problem, hint)


# --- output --------------------------------------------------------------------------------------


def check_new(path: Path | None) -> None:
    """Check before long work that a file can be written.

    Raises:
        UsageError: it is there already, or its folder is not.
    """
    if path is not None:
        folder = path.parent
        refuse(
            (os.path.lexists(path), f"{path} exists, and is left as it is", "name a new file"),
            (not folder.is_dir(), f"there is no folder {folder}", "make it, or name another"),
            (not os.access(folder, os.W_OK), f"nothing can be written in {folder}", "name another folder"),
        )


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        HeadcountError: it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise errors.HeadcountError(f"cannot write {path}: {error.strerror}", "name another file") from error


@contextmanager
def writes(path: Path, hint: str = "--results DIR names a folder") -> Iterator[None]:
    """Turn what fails on the disk into an error about this file of the results folder.

    Raises:
        SetupError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise errors.SetupError(f"cannot write {path}: {error.strerror or error}", hint) from error


def answer(path: Path | None, text: str, data: Callable[[], object]) -> None:
    """Print a command's answer; where a file is named, write it there too, as JSON."""
    if path:
        write_new(path, json.dumps(data(), indent=2) + "\n")
    out(text)


def out(text: str, end: str = "\n") -> None:
    """Print a command's answer, or a line of it."""
    console.tell(text, end)


def hand_over(path: Path | None, text: str, said: str) -> None:
    """Print a file's text, or write it to a new file and say what that is.

    Raises:
        HeadcountError: it cannot be written, or is there already.
    """
    if path is None:
        out_exactly(text)
    else:
        write_new(path, text)
        console.say(f"{path}: {said}")


def out_exactly(text: str) -> None:
    """Print a file's text."""
    print(text, end="", flush=True)  # noqa: T201 - a command's output
