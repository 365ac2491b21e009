"""headcount reproduce: the known defects' own files are run again."""

import argparse
from collections.abc import Sequence
from typing import Any

from headcount import builds, errors, isolation, reproduce
from headcount.cli import shared
from headcount.defects import REPRODUCERS
from headcount.report.console import say

_WORDS = {0: "good", 1: "defect", 125: "cannot be tested"}


def add(commands: Any) -> None:
    help_ = "run the reproducers of known defects: each on the release it names and on the nearest good one"
    made = shared.command(commands, "reproduce", run, help_)
    made.add_argument("which", nargs="*", metavar="DEFECT", help="410, a defect's id, or a file (default: all)")
    made.add_argument("--build", action="append", default=[], help="run on this build instead; may be repeated")


def run(options: argparse.Namespace) -> int:
    given, defects = options.build, dict.fromkeys(shared.defects_named(options.which))
    wanted = [
        (defect, build, status)
        for defect in defects
        for build, status in [(b, 1) for b in given] or [(defect.reproducer.bad, 1), (defect.reproducer.good, 0)]
        if build
    ]
    overlays = {b: builds.prepare(builds.parse(b), say=say) for b in dict.fromkeys(build for _, build, _ in wanted)}
    width = max(len(defect.id) for defect in defects)
    runs = []
    with isolation.Engine() as engine:
        for defect, build, status in wanted:
            path = REPRODUCERS / defect.reproducer.file
            if not path.is_file():
                raise errors.HeadcountError(f"{path} is not there", "run this from a checkout of the repository")
            runs.append(
                reproduce.Reproduction(defect, overlays[build].label, status, engine.run_script(overlays[build], path))
            )
            shared.out(_line(runs[-1], width, compared=not given))
    return _on_builds(runs) if given else _compared(runs)


def _line(run: reproduce.Reproduction, width: int, *, compared: bool) -> str:
    status = _WORDS.get(-1 if run.done.status is None else run.done.status, f"status {run.done.status}")
    mark = ("ok  " if run.holds else "FAIL") if compared else "    "
    return f"{mark} {run.defect.id:<{width}}  {run.release:<8} {status:<17} {run.done.said[:110]}"


def _compared(runs: Sequence[reproduce.Reproduction]) -> errors.ExitCode:
    """Return whether all did what the catalogue states; one that could not be tested is no answer."""
    failed = [run for run in runs if not run.holds]
    shared.out(f"{len(runs)} runs: {len(runs) - len(failed)} as the catalogue states, {len(failed)} not")
    if any(run.done.status in (0, 1) for run in failed):
        return errors.ExitCode.REGRESSION
    return errors.ExitCode.INDETERMINATE if failed else errors.ExitCode.CLEAN


def _on_builds(runs: Sequence[reproduce.Reproduction]) -> errors.ExitCode:
    """Return whether a build shows any."""
    statuses = {run.done.status for run in runs}
    if 1 in statuses:
        return errors.ExitCode.REGRESSION
    return errors.ExitCode.CLEAN if statuses == {0} else errors.ExitCode.INDETERMINATE
