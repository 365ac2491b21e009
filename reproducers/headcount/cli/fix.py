"""`headcount fix`: a release with known defects mended, as a patch or a wheel, and the gate's verdict on it."""

import difflib
from pathlib import Path

from headcount import builds, errors, gate
from headcount.cli import gate as gating
from headcount.cli import shared
from headcount.defects import remedies
from headcount.report.console import say

add = shared.command(
    "fix",
    "mend known defects of a release: print the patch, or make a wheel",
    shared.option("release", metavar="RELEASE", help="a release, or another build"),
    shared.option("which", nargs="*", metavar="DEFECT", help="which to mend: an id (default: all that can be)"),
    shared.option("--wheel", type=Path, metavar="DIR", help="write a wheel there, too, as 1.6.1+headcount"),
    shared.option("--gate", action="store_true", help="run the gate: what is fixed, and whether anything breaks"),
    shared.option(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="the gate's (default: %(default)s)"
    ),
    more="""The patch is made here, from the release as it is installed: nothing of upstream's is stored in Headcount.
patch -p1 applies it in the folder that holds torch_pruning.""",
    exit_codes="""exit codes: 0 made, 1 the gate says that something got worse, 2 the call was wrong, 3 a remedy does
not fit or the gate cannot tell, 4 the set-up failed, 130 interrupted.""",
)


def run(options: shared.Options) -> errors.ExitCode:
    build = builds.prepare(builds.parse(options.release), say=say)
    chosen = shared.defects_named(options.which) if options.which else remedies.remedied(build)
    without = ", ".join(defect.id for defect in chosen if not defect.remedy)
    shared.refuse((without, f"there is no remedy for {without}", "leave it out"))
    for name, (before, after) in remedies.patched(build, chosen).items():
        lines = [text.splitlines(keepends=True) for text in (before, after)]
        shared.out("".join(difflib.unified_diff(lines[0], lines[1], f"a/{name}", f"b/{name}")), end="")
    say(f"{build.label}: mended {', '.join(defect.id for defect in chosen) or 'nothing'}")
    fixed = remedies.cured(build, chosen)
    if options.wheel:
        say(f"wheel: {builds.wheel(fixed, options.wheel)}")
    if options.gate:
        return gating.gated(gate.request(build, fixed, same_version=True), options.results)
    return errors.ExitCode.CLEAN
