"""`headcount history`, `headcount support`: which release shows which defect, or works with which ViT, as recorded."""

from headcount import defects, environment, errors
from headcount.cli import shared
from headcount.matrix import cells
from headcount.report import support, timeline

add_history = shared.command(
    "history",
    "which release shows which known defect, as recorded",
    shared.option("which", nargs="*", metavar="DEFECT", help="410, or a defect's id (default: all)"),
    shared.JSON,
    exit_codes=shared.EXIT_CODES_SAID,
)


def run_history(options: shared.Options) -> int:
    transformers = defects.recorded(environment.environment()["transformers"]).transformers
    found = timeline.of_releases(shared.defects_named(options.which), transformers)
    shared.answer(options.json, timeline.table(found, transformers), lambda: timeline.to_json(found))
    return errors.ExitCode.CLEAN


add_support = shared.command(
    "support",
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
    shared.JSON,
    exit_codes=shared.EXIT_CODES_SAID,
)


def run_support(options: shared.Options) -> int:
    wanted, recorded = options.transformers or defects.versions(), defects.versions()
    if unknown := ", ".join(version for version in wanted if version not in recorded):
        raise errors.UsageError(f"nothing is recorded of transformers {unknown}", f"there are {', '.join(recorded)}")
    shared.families_named(options.model)
    calls = cells.STEPPED_CALLS if options.in_steps else cells.FAMILY_CALLS
    shared.answer(
        options.json,
        support.tables(wanted, options.model, calls),
        lambda: {version: support.plain(version, options.model, calls) for version in wanted},
    )
    return errors.ExitCode.CLEAN
