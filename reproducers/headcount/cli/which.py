"""`headcount which`: which releases do a call right, what goes wrong in the others, and which to take."""

import argparse
from dataclasses import replace
from fractions import Fraction
from typing import Any

from headcount import builds, canary, errors, examine, explore, isolation, matrix, models, oracle
from headcount.cli import shared, sizes
from headcount.environment import environment
from headcount.matrix.validity import why_invalid
from headcount.report import advice, console, support

option = shared.option

_MORE = """The sizes decide, too: give your model's. Two blocks stand for all of them. That decides the same, but in
global pruning, where all blocks are ranked together: give --layers there."""

add = shared.command(
    "which",
    "which releases do a call right, what goes wrong in the others, and which to take",
    option("cell", nargs="?", metavar="CELL", help="the call, by the id of a cell, in place of the options"),
    option("--head-ratio", type=shared.ratio, metavar="R", help="head_pruning_ratio: 1/3, 0.5; 0 prunes no head"),
    *sizes.OPTIONS,
    option("--ratio", type=shared.ratio, default=Fraction(1, 2), metavar="R", help="pruning_ratio (default: 1/2)"),
    option("--steps", type=shared.count, default=1, metavar="N", help="iterative_steps"),
    option("--head-dims", action="store_true", help="prune_head_dims=True"),
    option("--keep-width", action="store_true", help="attention's and the MLP's outputs in ignored_layers"),
    option(
        "--ignore", action="append", default=[], metavar="LAYER", help="in ignored_layers: mlp.0, query.1, LayerNorm"
    ),
    option("--round-to", type=shared.count, metavar="N", help="round_to"),
    option("--max-ratio", type=shared.ratio, default=Fraction(1), metavar="R", help="max_pruning_ratio"),
    option("--isomorphic", action="store_true", help="isomorphic=True"),
    option(
        "--importance", choices=[*map(str, matrix.Criterion)], default="magnitude", help="the criterion", metavar="NAME"
    ),
    option(
        "--ratio-for",
        type=shared.scope,
        action="append",
        default=[],
        metavar="L=R",
        help="pruning_ratio_dict: mlp.0=1/4",
    ),
    option(
        "--head-ratio-for",
        type=shared.scope,
        action="append",
        default=[],
        metavar="L=R",
        help="head_pruning_ratio_dict: attention.0=1/2",
    ),
    option(
        "--num-heads",
        choices=("qkv", "q", "k", "v", "qk", "kv", "qv"),
        default="qkv",
        help="projections listed in num_heads",
    ),
    option("--pruner", choices=[*map(str, matrix.Pruner)], default="MetaPruner", help="the class", metavar="NAME"),
    option("--interactive", action="store_true", help="step(interactive=True)"),
    option("--output-transform", action="store_true", help="the outputs are summed, as in upstream's examples"),
    option("--skip-attention", action="store_true", help="step(interactive=True), and leave out attention's groups"),
    option("--one-shot", action="store_true", help="a scheduler that takes all in the first step"),
    option("--frozen", action="store_true", help="the first block's projections need no gradient"),
    option("--training", action="store_true", help="the model is in training mode"),
    option("--documented", action="store_true", help="with the further arguments of upstream's example for the family"),
    option(
        "--second", choices=[*map(str, matrix.Second)], default="none", help="a second pruner after it", metavar="WHICH"
    ),
    option(
        "--then",
        choices=[*map(str, matrix.Then)],
        default="nothing",
        help="what is done with the pruned model: save, export, …",
        metavar="WHAT",
    ),
    option(
        "--precision",
        choices=[*map(str, matrix.Precision)],
        default="float32",
        help="of the model: in half of it no ranking and no output is judged",
        metavar="DTYPE",
    ),
    option(
        "--model",
        "--family",
        default=models.Model.family,
        metavar="MODEL",
        help="a family, or its bare backbone: dinov2, dinov2_bare, …",
    ),
    shared.either(
        option(
            "--local", dest="everywhere", action="store_false", default=False, help="global_pruning=False (the default)"
        ),
        option("--global", dest="everywhere", action="store_true", help="global_pruning=True"),
    ),
    shared.JSON,
    more=_MORE,
    examples=(
        "--heads 12 --head-ratio 1/3",
        "--size b --head-ratio 0.5 --global --layers 12",
        "--model dinov2 --head-ratio 1/3 --keep-width",
    ),
    exit_codes="""exit codes: 0 there is one to take, 1 no release does it right, 2 the call was wrong, 3 indeterminate,
4 the set-up failed, 130 interrupted.""",
)


def run(options: shared.Options) -> int:
    cell = _cell(options)
    _check(cell)
    trials: dict[str, examine.Examined] = {}
    with (
        isolation.Cache() as cache,
        canary.Engine(cache=cache) as engine,
        console.progress(len(builds.released().all)) as steps,
    ):
        for release, overlay in shared.releases():
            steps.begin(f"running {release}")
            trials[release] = examine.examine(engine, overlay, cell)
            steps.done(f"{release} {trials[release].verdict.kind}")
    stay = _workaround(cell, trials)
    shared.answer(options.json, advice.advice(cell, trials, stay), lambda: advice.to_json(cell, trials, stay))
    if advice.right(trials):
        return errors.ExitCode.CLEAN
    tested = {found.verdict.kind for found in trials.values()} - {oracle.Kind.UNTESTABLE, oracle.Kind.NOT_APPLICABLE}
    return errors.ExitCode.REGRESSION if tested else errors.ExitCode.INDETERMINATE


def _cell(options: shared.Options) -> matrix.Cell:
    """Return the call that is asked for: by its id, or by options.

    Raises:
        UsageError: it is given in no way or in both, or there is no such call.
    """
    shared.refuse(
        (
            options.cell and _has_more(options),
            f"{options.cell} and options beside it",
            "a cell's id says all of the call",
        ),
        (
            not options.cell and options.head_ratio is None,
            "no call is given",
            "headcount which --head-ratio 1/3, or headcount which CELL",
        ),
    )
    return shared.cell_named(options.cell) if options.cell else matrix.Cell(_model(options), _config(options))


def _has_more(options: shared.Options) -> bool:
    """Return whether an option that says something of the call is given."""
    unset = vars(add(argparse.ArgumentParser().add_subparsers()).parse_args([]))
    return any(vars(options)[name] != value for name, value in unset.items() if name not in ("cell", "json"))


def _workaround(cell: matrix.Cell, trials: advice.Trials) -> advice.Workaround | None:
    """Return how to stay on the newest release that does the call wrong; None if there is none."""
    release, wrong = next(((r, f) for r, f in reversed([*trials.items()]) if f.verdict.is_failure), ("", None))
    if wrong is None:
        return None
    console.say(f"looking for a way to stay on {release}")
    changed = {option: replace(cell, config=replace(cell.config, **change)) for option, change in _CHANGES.items()}
    wanted = {option: other for option, other in changed.items() if other != cell and not why_invalid(other)}
    with examine.Pool() as pool:
        found = pool.examine(wrong.build, [*wanted.values()], recall=True)
        right = [option for option, one in zip(wanted, found, strict=True) if _is_right(one)]
        cured = explore.cures(pool, wrong.build, [wrong]).get(cell, frozenset())
    return advice.Workaround(release, tuple(right), tuple(sorted(cured)))


def _is_right(found: examine.Examined) -> bool:
    return found.verdict.kind is oracle.Kind.OK and not advice.is_untouched(found)


#: What a user may change in a call and still prune heads, as options and as the config has it.
_CHANGES: dict[str, dict[str, Any]] = {
    "--global": {"global_pruning": True},
    "--local": {"global_pruning": False},
    "--keep-width": {"ignored_layers": ("residual_outputs",)},
    "--steps 1": {"iterative_steps": 1},
    "no --head-dims": {"prune_head_dims": False},
}


def _model(options: shared.Options) -> models.Model:
    """Return the model that the sizes name.

    Raises:
        UsageError: there is no such family, or two options name one size.
    """
    (family,) = shared.families_named([options.model])
    return sizes.sized(options, family, bare=options.model != family)


def _config(options: shared.Options) -> matrix.Config:
    return matrix.Config(
        global_pruning=options.everywhere,
        prune_num_heads=options.head_ratio != 0 or bool(options.head_ratio_for),
        prune_head_dims=options.head_dims,
        head_pruning_ratio=options.head_ratio,
        pruning_ratio=options.ratio,
        iterative_steps=options.steps,
        head_pruning_ratio_dict=tuple(options.head_ratio_for),
        pruning_ratio_dict=tuple(options.ratio_for),
        max_pruning_ratio=options.max_ratio,
        round_to=options.round_to,
        isomorphic=options.isomorphic,
        num_heads=options.num_heads,
        ignored_layers=(*["residual_outputs"] * options.keep_width, *options.ignore),
        importance=matrix.Criterion(options.importance),
        interactive=options.interactive,
        second=matrix.Second(options.second),
        frozen=options.frozen,
        training=options.training,
        pruner=matrix.Pruner(options.pruner),
        one_shot=options.one_shot,
        output_transform=options.output_transform,
        skips_attention=options.skip_attention,
        documented=options.documented,
        then=matrix.Then(options.then),
        precision=matrix.Precision(options.precision),
    )


def _check(cell: matrix.Cell) -> None:
    """Check before long work that some release may do the call.

    Raises:
        UsageError: it is no call, or this transformers does not run the model pruned: no release could prune it.
    """
    transformers, title = environment()["transformers"], cell.model.traits.title
    why, here = why_invalid(cell), f"transformers {transformers}"
    hint = "another transformers version may: headcount support"
    shared.refuse(
        (why, f"that is no call that could be made: {why}", "headcount which --help says what may be given"),
        (not cell.model.traits.is_in(transformers), f"{here} has no {title}", hint),
        (
            support.is_fixed(cell, transformers),
            f"{here} does not run a pruned {title}, whichever pruner is used: its code has sizes fixed",
            hint,
        ),
    )
