"""`headcount support`: which ViT family works with which release."""

import argparse
import json
from typing import Any

from headcount.cli.shared import (
    EXIT_CODES_SAID,
    add_json,
    check_new,
    command,
    families_named,
    out,
    version,
    write_new,
)
from headcount.defects import versions
from headcount.errors import ExitCode, UsageError
from headcount.matrix.cells import FAMILY_CALLS, STEPPED_CALLS
from headcount.report import support


def add(commands: Any) -> None:
    """Declare the command."""
    made = command(commands, "support", run, "which ViT family works with which release", exit_codes=EXIT_CODES_SAID)
    made.add_argument(
        "--transformers",
        action="append",
        type=version,
        default=[],
        metavar="VERSION",
        help=f"a version of it, may be given several times (default: {' and '.join(versions())})",
    )
    made.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="only this family, or this model as in the test ids, may be given several times: dinov2, swin_bare, …",
    )
    made.add_argument("--in-steps", action="store_true", help="the same calls in two steps, as iterative pruning does")
    add_json(made)


def run(options: argparse.Namespace) -> int:
    """Print the tables; return the exit code."""
    check_new(options.json)
    known, names = options.transformers or versions(), options.model
    if unrecorded := [version for version in known if version not in versions()]:
        raise UsageError(
            f"nothing is recorded of transformers {', '.join(unrecorded)}", f"there are {', '.join(versions())}"
        )
    families_named(names)
    calls = STEPPED_CALLS if options.in_steps else FAMILY_CALLS
    if options.json:
        found = {version: support.plain(version, names, calls) for version in known}
        write_new(options.json, json.dumps(found, indent=2) + "\n")
    out(support.tables(known, names, calls))
    return ExitCode.CLEAN
