"""`headcount which`: which releases do a call right, what goes wrong in the others, and which to take."""

from dataclasses import replace
from fractions import Fraction

from headcount import builds, errors, examine, isolation, matrix, models, oracle
from headcount.cli import shared
from headcount.environment import environment
from headcount.report import advice, console, support

add = shared.command(
    "which",
    "which releases do a call right, what goes wrong in the others, and which to take",
    shared.option(
        "--head-ratio",
        type=shared.ratio,
        required=True,
        metavar="R",
        help="head_pruning_ratio: 1/3, 0.5; 0 prunes no head",
    ),
    shared.option("--heads", type=shared.count, default=models.Model.heads, metavar="N", help="heads of each layer"),
    shared.option("--layers", type=shared.count, default=models.Model.layers, metavar="N", help="layers"),
    shared.option(
        "--ratio", type=shared.ratio, default=Fraction(1, 2), metavar="R", help="pruning_ratio (default: 1/2)"
    ),
    shared.option("--steps", type=shared.count, default=1, metavar="N", help="iterative_steps"),
    shared.option("--head-dims", action="store_true", help="prune_head_dims=True"),
    shared.option("--keep-width", action="store_true", help="attention's and the MLP's outputs in ignored_layers"),
    shared.option(
        "--model",
        default=models.Model.family,
        metavar="MODEL",
        help="a family, or its bare backbone: dinov2, dinov2_bare, …",
    ),
    shared.either(
        shared.option(
            "--local", dest="everywhere", action="store_false", default=False, help="global_pruning=False (the default)"
        ),
        shared.option("--global", dest="everywhere", action="store_true", help="global_pruning=True"),
    ),
    shared.JSON,
    exit_codes="""exit codes: 0 there is one to take, 1 no release does it right, 2 the call was wrong, 3 indeterminate,
4 the set-up failed, 130 interrupted.""",
)


def run(options: shared.Options) -> int:
    cell = _cell(options)
    trials: dict[str, examine.Examined] = {}
    with (
        isolation.Cache() as cache,
        isolation.Engine(cache=cache) as engine,
        console.progress(len(builds.RELEASES)) as steps,
    ):
        for release in builds.RELEASES:
            steps.begin(f"running {release}")
            trials[release] = examine.examine(engine, builds.prepare(builds.parse(release), say=console.say), cell)
            steps.done(f"{release} {trials[release].verdict.kind}")
    shared.answer(options.json, advice.advice(cell, trials), lambda: advice.to_json(cell, trials))
    if advice.right(trials):
        return errors.ExitCode.CLEAN
    tested = {found.verdict.kind for found in trials.values()} - {oracle.Kind.UNTESTABLE, oracle.Kind.NOT_APPLICABLE}
    return errors.ExitCode.REGRESSION if tested else errors.ExitCode.INDETERMINATE


def _cell(options: shared.Options) -> matrix.Cell:
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
    here, hint = f"transformers {transformers}", "another transformers version may: headcount support"
    shared.refuse(
        (not model.traits.is_in(transformers), f"{here} has no {title}", hint),
        (
            support.is_fixed(cell, transformers),
            f"{here} does not run a pruned {title}, whichever pruner is used: its code has sizes fixed",
            hint,
        ),
    )
    return cell
