"""What the matrix costs, side by side in one run: ours, a plain session per release, and the floor.

The machine is noisy and times differ from day to day, so only ratios are recorded; no test asserts
any. Run it with `nox -s bench`; it takes some ten minutes, most of them for the plain sessions.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from headcount import builds, canary, results
from headcount.environment import environment
from headcount.isolation import Engine
from headcount.matrix import cells

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORD = HERE / "record.json"
DURATIONS = ROOT / "reproducers/headcount/gate/durations.json"
CORES = 2

#: How the ids of a small selection end: one step, channels by half, no extras; and of a handful.
FEW = "chan1of2-steps1"
_PLAIN_HEADS = "prunenum-keepdims-heads1of3-chan1of2-steps1]"
HANDFUL = f"vit-local-{_PLAIN_HEADS} or vit-global-{_PLAIN_HEADS}"

#: The cells that the plain sessions run: see plain_cells.py.
_VIT = ["--model", "vit", "-m", "not full_size"]

#: What the harness itself needs to say what the cells are; no torch, no transformers.
_HARNESS = ["covertable", "filelock", "packaging", "platformdirs", "rich"]

Measured = dict[str, float]


def main() -> None:
    """Measure, print, and with --record keep the ratios that the README shows."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--plain", nargs="+", default=["1.4.2", "1.6.1"], help="releases to run plain sessions on")
    parser.add_argument("--pip", action=argparse.BooleanOptionalAction, default=True, help="also with pip (slow)")
    parser.add_argument("--clone", type=Path, help="a full clone of Torch-Pruning: bisect it, and compare with git's")
    parser.add_argument("--bisect-only", action="store_true", help="measure nothing else, and keep the rest on record")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headcount-bench-") as scratch:
        if options.bisect_only:
            record = json.loads(RECORD.read_text("utf-8"))
        else:
            record = _measure(options.plain, Path(scratch), with_pip=options.pip, record=options.record)
        if options.clone:
            record["one step of git bisect run, to one of ours"] = _bisect(options.clone.resolve(), Path(scratch))
    print(json.dumps(record, indent=2))
    if options.record:
        RECORD.write_text(json.dumps(record, indent=2) + "\n")


def _record_durations(rows: Sequence[results.Row]) -> None:
    """How long each cell takes a build, for those who deal them out to several machines."""
    seconds: dict[str, list[float]] = {}
    for row in rows:
        seconds.setdefault(row.cell, []).append(row.seconds)
    means = {cell: round(sum(found) / len(found), 3) for cell, found in sorted(seconds.items())}
    DURATIONS.write_text(json.dumps(means, indent=0) + "\n")


def _measure(releases: Sequence[str], scratch: Path, *, with_pip: bool, record: bool) -> dict[str, object]:
    full, closing, rows = _ours(scratch, [])
    if record:
        _record_durations(rows)
    floor = _work(rows)
    _say(f"ours, {len(builds.RELEASES)} releases, all cells", full)
    recalled, _, _ = _ours(scratch, [], fresh=False)
    _say("ours, the same again, from the store", recalled)
    same, _, same_rows = _ours(scratch, _VIT)
    _say("ours, all releases, the cells that the plain sessions run", same)
    work = _work(same_rows)
    release = _one_more_release(scratch, same / work)
    _say("ours, one more release without its cells", release)
    few, _, few_rows = _ours(scratch, [*_VIT, "-k", f"{FEW}]"])
    _say(f"ours, all releases, {len(few_rows) // len(builds.RELEASES)} cells each", few)
    gated = _gate(scratch)
    plain = {"uv": _plain("uv", releases, scratch)}
    if with_pip:
        plain["pip"] = _plain("pip", releases, scratch)
    scale = len(builds.RELEASES) / len(releases)
    ratios = {"ours, to the floor": full / floor, "ours, to ours with every cell observed before": full / recalled}
    for installer, measured in plain.items():
        for kept in ("made anew", "kept"):
            made = measured["environments"] if kept == "made anew" else 0
            name = f"plain with {installer}, environments {kept}, to ours"
            ratios[f"{name}, {len(same_rows) // len(builds.RELEASES)} cells"] = (made + measured["all"]) * scale / same
            ratios[f"{name}, {len(few_rows) // len(builds.RELEASES)} cells"] = (made + measured["few"]) * scale / few
        # No harness could be more times as fast, on these cores: this one would cost nothing.
        bound = (measured["environments"] + measured["all"]) * scale / work
        ratios[f"plain with {installer}, environments made anew, to the floor of the same cells"] = bound
    for name, seconds in gated.items():
        one_plain = plain["uv"]["all"] / len(releases)
        ratios[f"plain session of one release, environment kept, to a gate, {name}"] = one_plain / seconds
    return {
        "python": environment(),
        "cores": CORES,
        "releases": len(builds.RELEASES),
        "plain sessions on": list(releases),
        "cells": len(rows),
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "one more release without its cells, to its cells": round(release * len(builds.RELEASES) / same, 3),
        "start-up checks, share of a matrix": round(_start_up() / full, 4),
        "peak memory of a worker, MB": _peak_memory(),
        "closing": closing,
    }


def _work(rows: Sequence[results.Row]) -> float:
    """Seconds that all cores together need for what the builds themselves do in these."""
    return float(sum(row.seconds for row in rows)) / CORES


def _one_more_release(scratch: Path, price: float) -> float:
    """Seconds for a release beyond its cells: a handful on every release, to as many on one.

    Args:
        price: seconds of a run for a second of the builds' own work.
    """
    many, _, many_rows = _ours(scratch, [*_VIT, "-k", HANDFUL])
    one, _, one_rows = _ours(scratch, [*_VIT, "-k", f"{FEW}]", "--build", builds.RELEASES[-1]])
    _say(f"ours, {len(builds.RELEASES)} releases, {len(many_rows)} cells in all", many)
    _say(f"ours, one release, {len(one_rows)} cells", one)
    return (many - one - price * (_work(many_rows) - _work(one_rows))) / (len(builds.RELEASES) - 1)


def _gate(scratch: Path) -> Measured:
    """Seconds of a gate whose base was observed before: of a candidate that was not, and of one that was."""
    command = [sys.executable, "-m", "headcount", "gate", builds.RELEASES[-1], "--results", str(scratch / "gate")]
    found = {}
    # The full-size cell, too, is then known of both: the matrix does not ask every release.
    subprocess.run([*command, "--base", builds.RELEASES[-2]], cwd=ROOT, capture_output=True, check=True)
    # Against itself, the candidate is asked anew; against another, all is known.
    for name, base in (("its candidate new", builds.RELEASES[-1]), ("all observed before", builds.RELEASES[-2])):
        start = time.perf_counter()
        subprocess.run([*command, "--base", base], cwd=ROOT, capture_output=True, check=True)
        found[name] = time.perf_counter() - start
        _say(f"a gate, {name}", found[name])
    return found


def _bisect(clone: Path, scratch: Path) -> float:
    """Seconds of one step of `git bisect run` with a reproducer, in units of one of our probes in a scan."""
    python = Path(sys.executable)
    command = [str(python), "-m", "headcount", "bisect", "410", "--repo", str(clone)]
    start = time.perf_counter()
    done = subprocess.run([*command, "--scan", "--fresh"], capture_output=True, text=True, check=True)
    scanned = time.perf_counter() - start
    probes = int(next(line for line in done.stdout.splitlines() if " distinct builds: " in line).split()[0])
    _say(f"ours, a scan of {probes} builds, the import of torch included", scanned)
    tree = scratch / "tree"
    _run(["git", "clone", "--quiet", "--shared", str(clone), str(tree)], dict(os.environ))
    _run(["git", "-C", str(tree), "bisect", "start", "v1.4.1", "v1.4.0"], dict(os.environ))
    start = time.perf_counter()
    done = subprocess.run(
        [
            "git",
            "-C",
            str(tree),
            "bisect",
            "run",
            str(python),
            str(ROOT / "reproducers/issue_410_initial_total_heads.py"),
        ],
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    steps = done.stdout.count("running ")
    _say(f"git bisect run, {steps} steps", seconds)
    return round((seconds / steps) / (scanned / probes), 2)


def _ours(scratch: Path, options: list[str], *, fresh: bool = True) -> tuple[float, list[str], list[results.Row]]:
    """Seconds, closing lines and rows of the matrix, its overlays installed."""
    folder = scratch / f"results-{len(list(scratch.iterdir()))}"
    command = ["-q", "-n", str(CORES), "--dist", "worksteal", "-p", "no:logging", "-p", "no:hypothesispytest"]
    command += ["--fresh"] if fresh else []
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command, "tests/matrix", "--results", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"the matrix is not green, there is nothing to measure:\n{done.stdout[-2000:]}{done.stderr}")
    rows = results.read(next(folder.glob("*.jsonl"))).rows
    lines = done.stdout.splitlines()
    begin = next(index for index, line in enumerate(lines) if "cells that show a defect" in line)
    return seconds, lines[begin - 1 :], list(rows)


def _plain(installer: str, releases: Sequence[str], scratch: Path) -> Measured:
    """Seconds for the releases' sessions: their environments, pytest on all plain cells, and on few."""
    total = {"environments": 0.0, "all": 0.0, "few": 0.0}
    for release in releases:
        folder = scratch / f"{installer}-{release}"
        start = time.perf_counter()
        python = _environment(installer, folder, release)
        spent = {"environments": time.perf_counter() - start}
        for which, options in (("all", ()), ("few", ("-k", f"{FEW}]"))):
            start = time.perf_counter()
            _plain_pytest(python, *options)
            spent[which] = time.perf_counter() - start
        for which, seconds in spent.items():
            total[which] += seconds
            _say(f"plain session with {installer} on {release}: {which}", seconds)
        shutil.rmtree(folder)
    return total


def _environment(installer: str, folder: Path, release: str) -> Path:
    """A new environment with one release; returns its Python."""
    versions = environment()
    wanted = [f"torch=={versions['torch'].partition('+')[0]}", f"transformers=={versions['transformers']}"]
    wanted += [f"torch-pruning=={release}", "pytest", *_HARNESS]
    python = folder / "bin" / "python"
    if installer == "uv":
        uv = builds.find_uv() or sys.exit("there is no uv to compare with")
        variables = {**builds.installer_environment(), "UV_COMPILE_BYTECODE": "1"}
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], variables)
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], variables)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], dict(os.environ))
        _run([str(python), "-m", "pip", "install", "--quiet", *wanted], dict(os.environ))
    return python


def _plain_pytest(python: Path, *options: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "reproducers"), "OMP_NUM_THREADS": "1"}
    _run(
        [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            str(HERE / "plain_cells.py"),
            *options,
        ],
        environment,
    )


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} … failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _peak_memory() -> int:
    """Of a process that has run every cell, full-size one aside; much of it is shared with its siblings."""
    overlay = builds.prepare(builds.parse(builds.RELEASES[-1]))
    with Engine() as engine:
        for cell in cells.default_cells():
            engine.run(overlay, cell)
        child = engine._child  # noqa: SLF001 - there is no public way to a process id, nor need for one
        assert child is not None
        status = Path(f"/proc/{child.process.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) // 1024


def _start_up() -> float:
    """Seconds of what is checked before the first cell: whether overlays are whole, and the harness itself.

    The server runs by then: it is needed in any case.
    """
    with Engine() as engine:
        engine.run(builds.prepare(builds.parse(builds.RELEASES[-1])), cells.default_cells()[0])
        start = time.perf_counter()
        for release in builds.RELEASES:
            builds.prepare(builds.parse(release))
        canary.check(engine)
        seconds = time.perf_counter() - start
    _say("ours, checks before the first cell", seconds)
    return seconds


def _say(what: str, seconds: float) -> None:
    print(f"{seconds:7.1f} s  {what}", flush=True)


if __name__ == "__main__":
    main()
