"""`headcount history`: which release shows which known defect, as recorded."""

from headcount import defects, environment, errors
from headcount.cli import shared
from headcount.report import timeline

add = shared.command(
    "history",
    "which release shows which known defect, as recorded",
    shared.option("which", nargs="*", metavar="DEFECT", help="410, or a defect's id (default: all)"),
    shared.JSON,
    examples=(
        "",
        "410",
        "layernorm-order --json history.json",
    ),
    exit_codes=shared.EXIT_CODES_SAID,
)


def run(options: shared.Options) -> int:
    transformers = defects.recorded(environment.environment()["transformers"]).transformers
    found = timeline.of_releases(shared.defects_named(options.which), transformers)
    shared.answer(options.json, timeline.table(found, transformers), lambda: timeline.to_json(found))
    return errors.ExitCode.CLEAN
