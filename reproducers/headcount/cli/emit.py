"""headcount emit, headcount minimise: a failing cell as one file."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from headcount import builds, errors, isolation, reproduce
from headcount.cli import shared
from headcount.report.console import say

_BUILDS = "a release, wheel, sdist, checkout, CLONE@REF or URL"


def add(commands: Any) -> None:
    for name, minimal, help_ in (
        ("emit", False, "write a failing cell of the matrix as one Python file that stands alone"),
        ("minimise", True, "shrink a failing cell as far as it still fails in the same way, then write it"),
    ):
        run_ = partial(run, minimal=minimal)
        made = shared.command(commands, name, run_, help_, exit_codes=shared.EXIT_CODES_WRITTEN)
        made.add_argument("cell", metavar="CELL", help="as in the matrix's test ids, with or without the build")
        made.add_argument("--build", action=shared.Once, help=f"{_BUILDS} (default: the release that the id names)")
        made.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file (default: print it)")


def run(options: argparse.Namespace, *, minimal: bool) -> int:
    shared.check_new(options.output)
    cell = shared.cell_named(options.cell)
    named = shared.build_named(options.cell, cell)
    if not (wanted := options.build or named):
        raise errors.UsageError("the id names no build", f"--build says which: {_BUILDS}")
    build = builds.parse(wanted)
    if named not in ("", build.label):
        raise errors.UsageError(
            f"the id names build {named}, and --build {build.label}", "leave one out, or name the same"
        )
    overlay = builds.prepare(build, say=say)
    with isolation.Cache() as cache, isolation.Engine(cache=cache) as engine:
        text = reproduce.emit(engine, overlay, cell, say, minimal=minimal)
    if options.output is None:
        sys.stdout.write(text)
    else:
        shared.write_new(options.output, text)
        say(f"{options.output}: shows it when run with {overlay.label}, and exits with 1")
    return errors.ExitCode.CLEAN
