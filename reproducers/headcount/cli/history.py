"""`headcount history`: which release shows which known defect, as recorded."""

import argparse
import json
from typing import Any

from headcount.cli.shared import EXIT_CODES_SAID, add_json, check_new, command, defects_named, out, write_new
from headcount.defects import recorded
from headcount.environment import environment
from headcount.errors import ExitCode
from headcount.report import history
from headcount.report.timeline import of_releases


def add(commands: Any) -> None:
    """Declare the command."""
    made = command(
        commands, "history", run, "which release shows which known defect, as recorded", exit_codes=EXIT_CODES_SAID
    )
    made.add_argument("which", nargs="*", metavar="DEFECT", help="410, or a defect's id (default: all)")
    add_json(made)


def run(options: argparse.Namespace) -> int:
    """Print the table; return the exit code."""
    check_new(options.json)
    transformers = recorded(environment()["transformers"]).transformers
    timelines = of_releases(defects_named(options.which), transformers)
    if options.json:
        write_new(options.json, json.dumps(history.to_json(timelines), indent=2) + "\n")
    out(history.table(timelines, transformers))
    return ExitCode.CLEAN
