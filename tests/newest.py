"""Run the newest Torch-Pruning, transformers and torch, and report what differs from the record: `nox -s canary`.

It runs releases that are not recorded yet, the newest recorded one, and upstream's main branch if it can be cloned. The
report is results/canary.md.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headcount import builds, errors, wording
from headcount.environment import environment
from headcount.report.console import say

UPSTREAM = "git+https://github.com/VainF/Torch-Pruning.git"

#: Lines of the matrix's end that are shown.
_SHOWN = 60

_ANSWERS: Mapping[int, str] = {
    errors.ExitCode.CLEAN: "as recorded",
    errors.ExitCode.REGRESSION: "something is another than recorded",
    errors.ExitCode.INDETERMINATE: "undecided",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the matrix, write the report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="nox -s canary --", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--main", default=UPSTREAM, metavar="URL", help="upstream's repository (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")
    options, more = parser.parse_known_args(words)
    found = builds.released()
    specs = [builds.RELEASES[-1], *found.new]
    without = without_main(options.main)
    if not without:
        specs.append(options.main)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", "tests/matrix"]
    command += [word for spec in specs for word in ("--build", spec)]
    say(f"running {', '.join(specs)}{without}")
    command += ["--results", str(options.results), *more]
    printed = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout or ():
            say(line.rstrip())
            printed.append(line.rstrip())
        code = process.wait()
    try:
        options.results.mkdir(parents=True, exist_ok=True)
        path = options.results / "canary.md"
        path.write_text(report(code, specs, wording.released(found) + without, printed), "utf-8")
    except OSError as error:
        say(f"canary: cannot write to {options.results}: {error.strerror} (--results DIR names another folder)")
        return errors.ExitCode.SETUP
    say(f"report: {path}")
    return code


def without_main(url: str) -> str:
    """Return why upstream's main branch is not run; "" if it can be."""
    try:
        builds.prepare(builds.parse(url), say=say)
    except errors.HeadcountError as error:
        return f"; without upstream's main branch: {error}"
    return ""


def report(code: int, specs: Sequence[str], said: str, printed: Sequence[str]) -> str:
    """Return the report as Markdown. What builds have printed stands in a block that it cannot end."""
    versions = ", ".join(f"{name} {number}" for name, number in environment().items())
    lines = [
        f"# Canary: {_ANSWERS.get(code, f'exit code {code}')}",
        "",
        versions,
        "",
        f"builds: {', '.join(specs)}",
        "",
        said,
        "",
    ]
    return "\n".join([*lines, *(f"    {line}" for line in printed[-_SHOWN:]), ""])


if __name__ == "__main__":
    sys.exit(main())
