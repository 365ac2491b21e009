"""Measure whether explanations can fail: that a remedy cures what its defect breaks, and no other mistake.

Mistakes are put into a release outside of what remedies change. Of the random calls that fail with a mistake and were
fine before, few may be cured. And of the calls that need one remedy, few may be cured without it.
"""

import argparse
import difflib
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import mutator

from headcount import builds, oracle
from headcount.defects.remedies import patched, remedied
from headcount.examine import Examined, Pool
from headcount.explore import draws
from headcount.explore.cure import cures
from headcount.matrix import Cell
from mutants import TARGETS

#: The largest share of calls that a mistake breaks and a remedy cures: in the mean, and of one mistake.
MEAN, MOST = 0.03, 0.1

#: The smallest share of calls that must be unexplained without a remedy that they need.
MISSED = 0.9

#: Calls that a mistake is tried on first: one that hangs is passed over.
_FIRST = 4


@dataclass(frozen=True)
class Outcome:
    """What became of calls: how many were run, fail that were fine, and are cured all the same."""

    name: str
    ran: int
    failing: int
    cured: int
    crashes: bool

    @property
    def share(self) -> float:
        """The share of the calls that is explained and should not be."""
        return self.cured / self.ran


def main() -> int:
    """Measure, print a line for each mistake and each remedy, and return 1 if a share is missed."""
    parser = argparse.ArgumentParser(prog="nox -s explanations --", description=__doc__)
    parser.add_argument("--mutants", type=int, default=40, metavar="N", help="mistakes, half of them without a crash")
    parser.add_argument("--draws", type=int, default=40, metavar="N", help="random calls (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2026, metavar="N")
    parser.add_argument("--release", default=builds.RELEASES[-1], help="default: %(default)s")
    options = parser.parse_args()
    base = builds.prepare(builds.parse(options.release))
    cells = [*islice(draws(options.seed), options.draws)]
    with Pool() as pool:
        before = [*pool.examine(base, cells, recall=True)]
        fine = [found.cell for found in before if found.verdict.kind is oracle.Kind.OK]
        mistakes = [
            *_told(islice(_halves(_mistaken(pool, base, fine, options.seed), options.mutants), options.mutants))
        ]
        left_out = [*_told(_left_out(pool, base, [found for found in before if found.verdict.is_failure]))]
    return int(not _holds(mistakes, left_out))


def _told(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        _print(f"{outcome.cured} of {outcome.failing} cured  {outcome.name}")
        yield outcome


def _holds(mistakes: Sequence[Outcome], left_out: Sequence[Outcome]) -> bool:
    shares = [outcome.share for outcome in mistakes]
    needed = sum(outcome.failing for outcome in left_out)
    missed = 1 - sum(outcome.cured for outcome in left_out) / max(needed, 1)
    wrong = sum(not outcome.crashes for outcome in mistakes)
    mean = sum(shares) / len(shares)
    _print(
        f"{len(mistakes)} mistakes, {wrong} of them without a crash: "
        f"{mean:.1%} of the calls are broken and cured in the mean, {max(shares):.1%} at most; "
        f"of the {sum(outcome.failing for outcome in mistakes)} that are broken, "
        f"{sum(outcome.cured for outcome in mistakes)} are cured\n"
        f"{len(left_out)} remedies left out: of {needed} calls that need one, {missed:.1%} are unexplained without it"
    )
    return mean <= MEAN and max(shares) <= MOST and missed >= MISSED


def _halves(outcomes: Iterator[Outcome], number: int) -> Iterator[Outcome]:
    """Yield outcomes, crashes among them up to a half of so many."""
    crashes = 0
    for outcome in outcomes:
        crashes += outcome.crashes
        if not outcome.crashes or crashes <= number // 2:
            yield outcome


def _mistaken(pool: Pool, base: builds.Overlay, fine: Sequence[Cell], seed: int) -> Iterator[Outcome]:
    """Yield what each mistake breaks, and how much of it is cured. Those that break nothing are passed over."""
    touched = _touched(base)
    package = base.path / "torch_pruning"
    every = [
        mutant
        for file, functions in TARGETS.items()
        for mutant in mutator.mutants(file, (package / file).read_text("utf-8"), functions)
        if mutant.line not in touched.get(f"torch_pruning/{file}", ())
    ]
    for mutant in random.Random(seed).sample(every, len(every)):  # noqa: S311 - no secret
        build = _with(base, mutant)
        first = [*pool.examine(build, fine[:_FIRST], recall=True)]
        if any(found.verdict.kind is oracle.Kind.TIMEOUT for found in first):
            continue
        failing = [found for found in pool.examine(build, fine, recall=True) if found.verdict.is_failure]
        if failing:
            cured = cures(pool, build, failing)
            yield Outcome(mutant.id, len(fine), len(failing), len(cured), all(_crashes(found) for found in failing))


def _crashes(found: Examined) -> bool:
    return found.verdict.kind in (oracle.Kind.CRASH, oracle.Kind.KILLED, oracle.Kind.TIMEOUT)


def _left_out(pool: Pool, base: builds.Overlay, failing: Sequence[Examined]) -> Iterator[Outcome]:
    """Yield for each remedy the calls that need it, and how many of them are cured without it."""
    needed = cures(pool, base, failing)
    for name in sorted(frozenset().union(*needed.values())):
        needing = [found for found in failing if name in needed.get(found.cell, ())]
        cured = cures(pool, base, needing, without=(name,))
        yield Outcome(name, len(failing), len(needing), len(cured), crashes=False)


def _touched(base: builds.Overlay) -> Mapping[str, set[int]]:
    """Return file -> the lines that some remedy changes, counted from 1, with their neighbours."""
    found = {}
    for name, (before, after) in patched(base, remedied(base)).items():
        changes = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False).get_opcodes()
        found[name] = {line for kind, a, b, *_ in changes if kind != "equal" for line in range(a, b + 2)}
    return found


def _with(base: builds.Overlay, mutant: mutator.Mutant) -> builds.Overlay:
    """Return a copy of a release with a mistake in it."""

    def change(folder: Path) -> None:
        (folder / "torch_pruning" / mutant.file).write_text(mutant.text, "utf-8")

    key = sha256(repr((base.digest, mutant.file, mutant.text)).encode()).hexdigest()[:20]
    return builds.edited(base, "mutant", f"mutant-{key}", change)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script's output


if __name__ == "__main__":
    sys.exit(main())
