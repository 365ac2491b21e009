"""`headcount support`: which ViT family works with which release, as recorded; with the user's sizes, as run."""

from collections.abc import Sequence

from headcount import builds, defects, errors, examine, matrix, models, wording
from headcount.cli import shared, sizes
from headcount.environment import environment
from headcount.matrix import cells
from headcount.matrix.validity import why_invalid
from headcount.report import console, support

option = shared.option

add = shared.command(
    "support",
    "which ViT family works with which release",
    option(
        "--transformers",
        action="append",
        type=shared.version,
        metavar="VERSION",
        help=f"a version of it, may be given several times (default: {' and '.join(defects.versions())})",
    ),
    option(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="only this family, or this model as in the test ids, may be given several times: dinov2, swin_bare, …",
    ),
    option("--in-steps", action="store_true", help="the same calls in two steps, as iterative pruning does"),
    *sizes.OPTIONS,
    shared.JSON,
    more="""It tells what is recorded of the smallest models, and runs nothing. With sizes, the same calls are run on
models of these, on every release, with the transformers that is installed: on ViT, unless --model names others.
Two blocks stand for all of them, unless --layers says how many; what that may not decide is said below the table.""",
    examples=(
        "",
        "--model dinov2",
        "--size b --model vit",
    ),
    exit_codes=shared.EXIT_CODES_SAID,
)


def run(options: shared.Options) -> int:
    shared.families_named(options.model)
    calls = cells.STEPPED_CALLS if options.in_steps else cells.FAMILY_CALLS
    found = _ran(options, calls) if sizes.are_given(options) else _recorded(options, calls)
    text = f"{support.tables(found)}\n\n{wording.released(builds.released())}"
    shared.answer(options.json, text, lambda: {table.transformers: table.plain() for table in found})
    return errors.ExitCode.CLEAN


def _recorded(options: shared.Options, calls: Sequence[matrix.Config]) -> list[support.Table]:
    wanted, recorded = options.transformers or defects.versions(), defects.versions()
    if unknown := ", ".join(version for version in wanted if version not in recorded):
        raise errors.UsageError(f"nothing is recorded of transformers {unknown}", f"there are {', '.join(recorded)}")
    return support.recorded(wanted, options.model, calls)


def _ran(options: shared.Options, calls: Sequence[matrix.Config]) -> list[support.Table]:
    """Run the calls on models of the sizes that are wanted, on every release."""
    here = environment()["transformers"]
    shared.refuse(
        (
            options.transformers and options.transformers != [here],
            f"sizes are run, and transformers {here} is installed",
            "leave --transformers out, or take the session of another version",
        )
    )
    rows = _models(options, calls)
    wanted = [
        cell
        for model in rows
        if model.traits.is_in(here)
        for documented in cells.ways(model)
        for cell in support.cells_of(model, here, documented=documented, calls=calls)
    ]
    shown = _shown(wanted)
    releases = tuple(dict.fromkeys(release for _, release in shown))
    shows = lambda cell, release: shown[cell, release]  # noqa: E731 - that is all of it
    return [support.Table(here, rows, calls, shows, _said(options, rows[0]), releases=releases)]


def _models(options: shared.Options, calls: Sequence[matrix.Config]) -> list[models.Model]:
    """Return the models that are named, with the sizes that are given.

    Raises:
        UsageError: a family has no such model.
    """
    names = options.model or [models.Model.family]
    smallest = [model for model in cells.family_models() if {model.family, model.id} & {*names}]
    found = [sizes.sized(options, model.family, bare=model.id.endswith("_bare")) for model in smallest]
    for model in found:
        if why := why_invalid(matrix.Cell(model, calls[0])):
            raise errors.UsageError(f"{model.id} is no model that could be: {why}", "--model names the families")
    return found


def _shown(wanted: Sequence[matrix.Cell]) -> dict[tuple[matrix.Cell, str], str]:
    """Return what each cell shows on each release."""
    shown = {}
    with examine.Pool() as pool, console.progress(len(builds.released().all) * len(wanted)) as steps:
        for release, build in shared.releases():
            for found in pool.examine(build, wanted, recall=True):
                shown[found.cell, release] = support.shown_by(found)
                steps.done(f"running {release}", known=found.observation.recalled)
    return shown


def _said(options: shared.Options, model: models.Model) -> str:
    """Return what the models' sizes are, and what so few blocks may not decide."""
    blocks = f"{model.layers} {'block' if model.layers == 1 else 'blocks'}"
    own = f"run on {blocks} of {model.heads} heads of {model.head_dim} channels, with {model.mlp} in the MLP."
    if options.layers:
        return own
    size = sizes.NAMED.get(options.size)
    whole = f"--layers {size.layers}" if size else "--layers with all of yours"
    return (
        f"{own} In local pruning each block decides by itself, so that more blocks do the same. In global pruning all "
        f"are ranked together, and totals over them are rounded: more blocks may do otherwise. {whole} runs them."
    )
