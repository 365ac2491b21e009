"""`headcount history`: which release shows which known defect, as recorded."""

import argparse
import json
from typing import Any

from headcount import defects, errors
from headcount.cli import shared
from headcount.environment import environment
from headcount.report import timeline


def add(commands: Any) -> None:
    made = shared.command(
        commands,
        "history",
        run,
        "which release shows which known defect, as recorded",
        shared.option("which", nargs="*", metavar="DEFECT", help="410, or a defect's id (default: all)"),
        exit_codes=shared.EXIT_CODES_SAID,
    )
    shared.add_json(made)


def run(options: argparse.Namespace) -> int:
    shared.check_new(options.json)
    transformers = defects.recorded(environment()["transformers"]).transformers
    found = timeline.of_releases(shared.defects_named(options.which), transformers)
    if options.json:
        shared.write_new(options.json, json.dumps(timeline.to_json(found), indent=2) + "\n")
    shared.out(timeline.table(found, transformers))
    return errors.ExitCode.CLEAN
