"""`headcount record`: what every cell does on every release, written down for the matrix."""

import argparse
from typing import Any

from headcount import builds, record
from headcount.builds import RELEASES
from headcount.cli.shared import EXIT_CODES_WRITTEN, command, option, out
from headcount.defects.expectations import Expectations, path_of, recorded, text_of, versions
from headcount.environment import environment
from headcount.errors import ExitCode, UsageError
from headcount.report.console import progress, say

_MORE = """
Every cell of --all is run on each release, and each failure a second time in other processes. A failure that no
entry of the catalogue matches is refused, and so is one that two match of which none stands over the other: write or
rank the entry first. What is recorded of a published release changes only with --because.

  nox -s record                                         check that nothing has changed, or add a new release
  nox -s record -- --release 1.6.2                      add one release
  nox -s record -- --because "the oracle now counts X"  record anew what a better oracle sees"""

_CODES = EXIT_CODES_WRITTEN.replace("0 written", "0 written, or unchanged, 1 refused")


def add(commands: Any) -> None:
    """Declare the command."""
    release = option("--release", action="append", default=[], metavar="RELEASE", help="only this one; may be repeated")
    because = option("--because", default="", metavar="TEXT", help="why published releases' tokens change")
    help_ = "write down what every cell does on every release"
    command(commands, "record", run, help_, release, because, more=_MORE, exit_codes=_CODES)


def run(options: argparse.Namespace) -> int:
    """Record; return the exit code."""
    if unknown := set(options.release) - set(RELEASES):
        raise UsageError(
            f"no release with head pruning: {', '.join(sorted(unknown))}", f"there are {', '.join(RELEASES)}"
        )
    transformers = environment()["transformers"]
    known: Expectations | None = recorded(transformers) if transformers in versions() else None
    wanted = options.release or list(RELEASES)
    overlays = {release: builds.prepare(builds.parse(release), say=say) for release in wanted}
    with progress(sum(len(record.cells_of(release)) for release in wanted)) as steps:
        tokens = record.record(
            overlays,
            known,
            because=options.because,
            done=lambda found: steps.done(found.build.label, known=found.observation.recalled),
        )
    text, path = text_of(tokens), path_of(transformers)
    before = path.read_text("utf-8") if path.is_file() else ""
    if text == before:
        record.check()
        what = "as recorded"
    else:
        path.write_text(text, "utf-8")
        what = f"written{f': {options.because}' if options.because else ''}"
    out(f"transformers {transformers}: {len(tokens)} cells on {len(wanted)} releases, {what}")
    return ExitCode.CLEAN
