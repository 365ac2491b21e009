"""`headcount which`: which releases do a call right, what goes wrong in the others, and which to take."""

import argparse
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

from headcount import builds, errors, isolation, matrix, models, oracle
from headcount.cli import shared
from headcount.environment import environment
from headcount.examine import Examined, examine
from headcount.report import advice, console, support

_CODES = """exit codes: 0 there is one to take, 1 no release does it right, 2 the call was wrong, 3 indeterminate,
4 the set-up failed, 130 interrupted."""

_OTHER = "another transformers version may: headcount support"


def add(commands: Any) -> None:
    option = shared.option
    made = shared.command(
        commands,
        "which",
        run,
        "which releases do a call right, what goes wrong in the others, and which to take",
        option(
            "--head-ratio",
            type=shared.ratio,
            required=True,
            metavar="R",
            help="head_pruning_ratio: 1/3, 0.5; 0 prunes no head",
        ),
        option("--heads", type=shared.count, default=models.Model.heads, metavar="N", help="heads of each layer"),
        option("--layers", type=shared.count, default=models.Model.layers, metavar="N", help="layers"),
        option("--ratio", type=shared.ratio, default=Fraction(1, 2), metavar="R", help="pruning_ratio (default: 1/2)"),
        option("--steps", type=shared.count, default=1, metavar="N", help="iterative_steps"),
        option("--head-dims", action="store_true", help="prune_head_dims=True"),
        option("--keep-width", action="store_true", help="attention's and the MLP's outputs in ignored_layers"),
        option(
            "--model",
            default=models.Model.family,
            metavar="MODEL",
            help="a family, or its bare backbone: dinov2, dinov2_bare, …",
        ),
        exit_codes=_CODES,
    )
    scope = made.add_mutually_exclusive_group()
    scope.add_argument(
        "--local", dest="everywhere", action="store_false", default=False, help="global_pruning=False (the default)"
    )
    scope.add_argument("--global", dest="everywhere", action="store_true", help="global_pruning=True")
    shared.add_json(made)


def run(options: argparse.Namespace) -> int:
    shared.check_new(options.json)
    cell = _cell(options)
    trials: dict[str, Examined] = {}
    with (
        isolation.Cache() as cache,
        isolation.Engine(cache=cache) as engine,
        console.progress(len(builds.RELEASES)) as steps,
    ):
        for release in builds.RELEASES:
            steps.begin(f"running {release}")
            trials[release] = examine(engine, builds.prepare(builds.parse(release), say=console.say), cell)
            steps.done(f"{release} {trials[release].verdict.kind}")
    if options.json:
        shared.write_new(options.json, json.dumps(advice.to_json(cell, trials), indent=2) + "\n")
    shared.out(advice.advice(cell, trials))
    if advice.right(trials):
        return errors.ExitCode.CLEAN
    tested = {found.verdict.kind for found in trials.values()} - {oracle.Kind.UNTESTABLE, oracle.Kind.NOT_APPLICABLE}
    return errors.ExitCode.REGRESSION if tested else errors.ExitCode.INDETERMINATE


def _cell(options: argparse.Namespace) -> matrix.Cell:
    """Return the call on its model.

    Raises:
        UsageError: there is no such model, or this transformers does not run it pruned: no release could prune it.
    """
    (family,) = shared.families_named([options.model])
    model = replace(models.small(family, options.heads, bare=options.model != family), layers=options.layers)
    config = matrix.Config(
        global_pruning=options.everywhere,
        prune_num_heads=options.head_ratio != 0,
        prune_head_dims=options.head_dims,
        head_pruning_ratio=options.head_ratio,
        pruning_ratio=options.ratio,
        iterative_steps=options.steps,
        ignored_layers=("residual_outputs",) if options.keep_width else (),
    )
    cell, transformers, title = matrix.Cell(model, config), environment()["transformers"], model.traits.title
    if not model.traits.is_in(transformers):
        raise errors.UsageError(f"transformers {transformers} has no {title}", _OTHER)
    if support.is_fixed(cell, transformers):
        runs = f"transformers {transformers} does not run a pruned {title}, whichever pruner is used"
        raise errors.UsageError(f"{runs}: its code has sizes fixed", _OTHER)
    return cell
