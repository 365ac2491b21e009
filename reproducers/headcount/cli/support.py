"""`headcount support`: which ViT family works with which release."""

import argparse
import json
from typing import Any

from headcount import defects, errors
from headcount.cli import shared
from headcount.matrix import cells
from headcount.report import support


def add(commands: Any) -> None:
    made = shared.command(
        commands,
        "support",
        run,
        "which ViT family works with which release",
        shared.option(
            "--transformers",
            action="append",
            type=shared.version,
            metavar="VERSION",
            help=f"a version of it, may be given several times (default: {' and '.join(defects.versions())})",
        ),
        shared.option(
            "--model",
            action="append",
            default=[],
            metavar="MODEL",
            help="only this family, or this model as in the test ids, may be given several times: dinov2, swin_bare, …",
        ),
        shared.option("--in-steps", action="store_true", help="the same calls in two steps, as iterative pruning does"),
        exit_codes=shared.EXIT_CODES_SAID,
    )
    shared.add_json(made)


def run(options: argparse.Namespace) -> int:
    shared.check_new(options.json)
    wanted, recorded = options.transformers or defects.versions(), defects.versions()
    if unknown := ", ".join(version for version in wanted if version not in recorded):
        raise errors.UsageError(f"nothing is recorded of transformers {unknown}", f"there are {', '.join(recorded)}")
    shared.families_named(options.model)
    calls = cells.STEPPED_CALLS if options.in_steps else cells.FAMILY_CALLS
    if options.json:
        found = {version: support.plain(version, options.model, calls) for version in wanted}
        shared.write_new(options.json, json.dumps(found, indent=2) + "\n")
    shared.out(support.tables(wanted, options.model, calls))
    return errors.ExitCode.CLEAN
