"""Write down which versions the matrix was run with, and what came of it: `nox -s combinations -- results/*.jsonl`.

A run of the same versions on the same releases takes the place of an older one.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.version import Version

from headcount import defects, oracle, results
from headcount.errors import ExitCode, HeadcountError
from headcount.report.console import say

RECORD = Path(__file__).with_name("combinations.json")

#: The most releases that are named one by one.
_NAMED = 3


@dataclass(frozen=True)
class Combination:
    """One run: its versions, its day, its releases, and how many cells were as expected, or not, or do not apply."""

    python: str
    torch: str
    transformers: str
    day: str
    releases: tuple[str, ...]
    expected: int
    unexpected: int
    not_applicable: int

    @property
    def key(self) -> tuple[Version, Version, Version, tuple[str, ...]]:
        """What it is of; the newest transformers first, when sorted backwards."""
        return Version(self.transformers), Version(self.torch), Version(self.python), self.releases


def combination(found: results.Results) -> Combination:
    """Return what a results file comes to."""
    versions = found.header.environment
    judged = [row for row in found.rows if row.verdict.kind is not oracle.Kind.NOT_APPLICABLE]
    expected = sum(row.outcome is defects.Outcome.EXPECTED for row in judged)
    return Combination(
        python=versions["python"],
        torch=versions["torch"],
        transformers=versions["transformers"],
        day=found.header.started[:10],
        releases=tuple(build.label for build in found.header.builds),
        expected=expected,
        unexpected=len(judged) - expected,
        not_applicable=len(found.rows) - len(judged),
    )


def known() -> list[Combination]:
    """Return what is written down."""
    written = json.loads(RECORD.read_text("utf-8"))
    return [Combination(**{**each, "releases": tuple(each["releases"])}) for each in written]


def merged(old: Iterable[Combination], new: Iterable[Combination]) -> list[Combination]:
    """Return both, of each combination the latest run, the newest versions first."""
    latest = {each.key: each for each in sorted([*old, *new], key=lambda each: each.day)}
    return [latest[key] for key in sorted(latest, reverse=True)]


def table(found: Iterable[Combination]) -> str:
    """Return it as a table."""
    lines = ["| transformers | torch | Python | releases | day | result |", "|---|---|---|---|---|---|"]
    for each in found:
        result = f"{each.expected} cells as expected" if not each.unexpected else f"{each.unexpected} cells unexpected"
        lacking = f", {each.not_applicable} do not apply" if each.not_applicable else ""
        releases = ", ".join(each.releases) if len(each.releases) <= _NAMED else f"{len(each.releases)} releases"
        lines.append(
            f"| {each.transformers} | {each.torch} | {each.python} | {releases} | {each.day} | {result}{lacking} |"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Write down what these results come to; return the exit code."""
    parser = argparse.ArgumentParser(prog="nox -s combinations --", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="files of nox -s matrix or matrix_on")
    options = parser.parse_args(words)
    try:
        found = [results.read(path) for path in options.results]
    except HeadcountError as error:
        say(f"combinations: {error}")
        return error.exit_code
    if cut := [path for path, each in zip(options.results, found, strict=True) if not each.complete]:
        say(f"combinations: {cut[0]} was cut off (give the results of a whole run)")
        return ExitCode.USAGE
    text = json.dumps([asdict(each) for each in merged(known(), map(combination, found))], indent=1)
    RECORD.write_text(f"{text}\n", "utf-8")
    say(f"{RECORD.name} has {len(known())} combinations; nox -s readme makes the table of them")
    return ExitCode.CLEAN


if __name__ == "__main__":
    sys.exit(main())
