"""headcount reproduce: the known defects' own files are run again."""

from headcount import builds, canary, defects, errors, reproduce
from headcount.cli import shared
from headcount.environment import environment
from headcount.matrix.cells import known_cells
from headcount.report.console import say

_WORDS: dict[int | None, str] = {0: "good", 1: "defect", 125: "cannot be tested"}

add = shared.command(
    "reproduce",
    "run the reproducers of known defects: each on the release it names and on the nearest good one",
    shared.option("which", nargs="*", metavar="DEFECT", help="410, a defect's id, or a file (default: all)"),
    shared.option("--build", action="append", default=[], help="run on this build instead; may be repeated"),
    examples=(
        "",
        "410 layernorm-order",
        "410 --build ../Torch-Pruning",
    ),
)


def run(options: shared.Options) -> int:
    given, asked = options.build, dict.fromkeys(shared.defects_named(options.which))
    lacking = {defect: why for defect in asked if (why := _lacking(defect))}
    named = [defect for defect in asked if defect not in lacking]
    wanted = [  # each with the status that it should have: a build that is given should show no defect
        (defect, build, status)
        for defect in named
        for build, status in [(b, 0) for b in given] or [(defect.reproducer.bad, 1), (defect.reproducer.good, 0)]
        if build
    ]
    overlays = {b: builds.prepare(builds.parse(b), say=say) for b in dict.fromkeys(build for _, build, _ in wanted)}
    width = max(len(defect.id) for defect in asked)
    for defect, why in lacking.items():
        shared.out(f"n/a  {defect.id:<{width}}  {why}")
    runs = []
    with canary.Engine() as engine:
        for defect, build, status in wanted:
            path = defects.REPRODUCERS / defect.reproducer.file
            if not path.is_file():
                raise errors.HeadcountError(f"{path} is not there", "run this from a checkout of the repository")
            runs.append(
                reproduce.Reproduction(defect, overlays[build].label, status, engine.run_script(overlays[build], path))
            )
            shared.out(_line(runs[-1], width, compared=not given))
    failed = [run for run in runs if not run.holds]
    if not given:
        shared.out(f"{len(runs)} runs: {len(runs) - len(failed)} as the catalogue states, {len(failed)} not")
    if any(run.done.status in (0, 1) for run in failed):
        return errors.ExitCode.REGRESSION
    return errors.ExitCode.INDETERMINATE if failed or not runs else errors.ExitCode.CLEAN


def _lacking(defect: defects.Defect) -> str:
    """Say which family this transformers lacks, if all that show the defect are lacking; else ""."""
    installed = environment()["transformers"]
    found = [known_cells()[example].model.traits.lacking(installed) for example in defect.examples]
    return found[0] if found and all(found) else ""


def _line(run: reproduce.Reproduction, width: int, *, compared: bool) -> str:
    status = _WORDS.get(run.done.status, f"status {run.done.status}")
    mark = ("ok  " if run.holds else "FAIL") if compared else "    "
    return f"{mark} {run.defect.id:<{width}}  {run.release:<8} {status:<17} {run.done.said[:110]}"
