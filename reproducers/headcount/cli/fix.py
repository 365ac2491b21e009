"""`headcount fix`: a release with known defects mended, as a patch or a wheel, and the gate's verdict on it."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from headcount import builds, defects, errors, gate
from headcount.cli import gate as gating
from headcount.cli import shared
from headcount.defects import remedies
from headcount.report import mended
from headcount.report.console import say

add = shared.command(
    "fix",
    "mend known defects of a release: print the patch, or make a wheel",
    shared.option("release", metavar="RELEASE", help="a release, or another build"),
    shared.option("which", nargs="*", metavar="DEFECT", help="which to mend: an id (default: all that can be)"),
    shared.option("--wheel", type=Path, metavar="DIR", help="write a wheel there, too, as 1.6.1+headcount"),
    shared.option(
        "--gate", action="store_true", help="in place of the patch, what it fixes, and whether anything breaks"
    ),
    shared.option(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="the gate's (default: %(default)s)"
    ),
    more="""The patch is made here, from the release as it is installed: nothing of upstream's is stored in Headcount.
patch -p1 applies it in the folder that holds torch_pruning. --gate runs the gate of the mended release against the
plain one: a minute or two for what was not run before.""",
    examples=(
        "1.6.1 layernorm-order > layernorm-order.patch",
        "1.6.1 layernorm-order float-heads --wheel dist",
        "1.6.1 --gate",
    ),
    exit_codes="""exit codes: 0 made, and with --gate nothing breaks; 1 the gate says that something got worse;
2 the call was wrong; 3 a remedy does not fit, or the gate cannot tell; 4 the set-up failed; 130 interrupted.""",
)


def run(options: shared.Options) -> errors.ExitCode:
    build = builds.prepare(builds.parse(options.release), say=say)
    chosen = shared.defects_named(options.which) if options.which else remedies.remedied(build)
    without = ", ".join(defect.id for defect in chosen if not defect.remedy)
    shared.refuse(
        (without, f"there is no remedy for {without}", "leave it out"),
        (not chosen, f"{build.label} has nothing that a remedy would change", "name another release"),
    )
    fixed = remedies.cured(build, chosen)
    if not options.gate:
        shared.out_exactly("".join(_patch(build, chosen)))
    say(f"{build.label}: mended {', '.join(defect.id for defect in chosen)}")
    if options.wheel:
        say(f"wheel: {builds.wheel(fixed, options.wheel)}")
    return _gated(build, fixed, chosen, options.results) if options.gate else errors.ExitCode.CLEAN


def _patch(build: builds.Overlay, chosen: Sequence[defects.Defect]) -> Iterator[str]:
    for name, texts in remedies.patched(build, chosen).items():
        before, after = (text.splitlines(keepends=True) for text in texts)
        yield from difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")


def _gated(
    build: builds.Overlay, fixed: builds.Overlay, chosen: Sequence[defects.Defect], folder: Path
) -> errors.ExitCode:
    """Run the gate of what is mended against what is not, and say of each defect whether it is fixed."""
    candidate = replace(fixed, label=f"{build.label}+headcount")  # as its wheel is called: the names are too many
    verdict = gating.judged(gate.request(build, candidate, same_version=True), folder)
    shared.out(f"\n{mended.text(verdict, [defect.id for defect in chosen])}")
    return verdict.exit_code
