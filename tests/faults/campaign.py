"""Faults, and what comes of them: no forged green, no wrong recall, nothing left behind, a documented exit code.

Prints each group of cases with its figures, and each case that is wrong; exits with 1 if one is.
"""

import argparse
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import damage
import disks
import hostile
import kills
from stage import SHIM, Case, Stage

#: Group -> how many of its cases are of the short part.
_SHORT = {
    "kill -9": 2,
    "damaged file": 1,
    "runs at once": 1,
    "hostile build": 1,
    "open files": 1,
    "clock": 1,
    "ENOSPC at a write": 1,
}


def main() -> int:
    """Run the campaign, or a part of it."""
    parser = argparse.ArgumentParser(prog="nox -s faults --", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="other moments, other calls (default: 1)")
    parser.add_argument("--kills", type=int, default=200, help="how many runs are killed (default: %(default)s)")
    parser.add_argument("--sample", type=int, default=25, help="calls of each kind that fail, each twice (%(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose group or name has this in it")
    parser.add_argument("--short", action="store_true", help="a few cases of some groups")
    options = parser.parse_args()
    _load_shim()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        try:
            return _run(Stage(Path(folder)), options)
        finally:
            if SHIM in os.environ:
                shutil.rmtree(Path(os.environ[SHIM]).parent)


def _load_shim() -> None:
    """Begin once more with the library loaded that fails calls, if there is a compiler."""
    if SHIM in os.environ:
        return
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("there is no C compiler: no call can be made to fail, and no clock to move")
        return
    made = Path(tempfile.mkdtemp(prefix="faults-"), "shim.so")
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"], check=True)
    loaded = os.environ | {SHIM: str(made), "LD_PRELOAD": str(made)}
    os.execve(sys.executable, [sys.executable, *sys.argv], loaded)  # noqa: S606 - no shell


def _cases(stage: Stage, options: argparse.Namespace) -> Iterator[Case]:
    rng, seen = random.Random(options.seed), Counter[str]()

    def is_wanted(group: str) -> bool:
        return (not options.short or group in _SHORT) and (options.only in group or group in options.only)

    for case in itertools.chain(
        kills.cases(rng, options.kills),
        damage.cases(stage),
        hostile.cases(),
        disks.cases(rng, stage, options.sample, is_wanted),
    ):
        seen[case.group] += 1
        enough = options.short and seen[case.group] > _SHORT.get(case.group, 0)
        if not enough and options.only in f"{case.group}: {case.name}":
            yield case


def _run(stage: Stage, options: argparse.Namespace) -> int:
    ran: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for case in _cases(stage, options):
        start = time.monotonic()
        why = case.does(stage, *case.given)
        ran[case.group] += 1
        if ran.total() % 25 == 0:
            print(f"{ran.total()} cases, {wrong.total()} of them wrong", file=sys.stderr, flush=True)
        seconds[case.group] += int(1000 * (time.monotonic() - start))
        if why:
            wrong[case.group] += 1
            print(f"WRONG {case.group}, {case.name}: {why}", flush=True)
    print(f"\n{'':24}{'cases':>7}{'wrong':>7}{'seconds':>9}")
    for group, number in ran.items():
        print(f"{group:24}{number:7}{wrong[group]:7}{seconds[group] / 1000:9.0f}")
    print(f"{'in all':24}{ran.total():7}{wrong.total():7}{seconds.total() / 1000:9.0f}")
    print("; ".join(f"{what}: {number}" for what, number in sorted(stage.figures.items())))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
