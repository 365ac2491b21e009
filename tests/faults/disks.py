"""Disks that are full or broken, limits that are low, and clocks that move."""

import errno
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from stage import READS, SHIM, WRITES, Case, Stage, shim
from victim import World

#: The last call: all from the first on fail.
_FOR_GOOD = 1 << 40

#: What calls fail, how, and in which run.
_FAILING = ((WRITES, errno.ENOSPC, "fine"), (WRITES, errno.EIO, "matrix"), (READS, errno.EIO, "fine"))

_DAY = 86_400

#: Name -> seconds that the clock is off, and by how many more with each look at it.
_CLOCKS = {
    "a year ahead": (365 * _DAY, 0),
    "forty days ahead": (40 * _DAY, 0),
    "a year behind": (-365 * _DAY, 0),
    "in 1980": (-46 * 365 * _DAY, 0),
    "an hour ahead with each look": (0, 3600),
    "a second back with each look": (0, -1),
    "a day back with each look": (400 * _DAY, -_DAY),
}


def cases(rng: random.Random, stage: Stage, sample: int, is_wanted: Callable[[str], bool]) -> Iterator[Case]:
    """Faults at as many calls as `sample` says, of all that a run makes."""
    yield from _of_limits()
    yield from _of_small_disks()
    if SHIM not in os.environ:
        return
    for name, (offset, step) in _CLOCKS.items():
        yield Case("clock", name, _clock, (offset, step))
    for kind, error, name in _FAILING:
        group = f"{errno.errorcode[error]} at a {'write' if kind == WRITES else 'read'}"
        if not is_wanted(group):
            continue
        calls = _number(stage, kind, name)
        stage.count(f"{group}: calls of a run", calls)
        for call in sorted(rng.sample(range(1, calls + 1), min(sample, calls))):
            for last in (call, _FOR_GOOD):
                said = f"{name}, call {call} of {calls}{', and all after it' if last != call else ''}"
                yield Case(group, said, _fail, (name, kind, call, last, error))


def _of_limits() -> Iterator[Case]:
    for kilobytes in (1, 4, 16, 64, 256):
        for name in ("bad", "matrix"):
            yield Case(
                "file-size limit",
                f"{name}, {kilobytes} kB",
                _limited,
                (name, resource.RLIMIT_FSIZE, kilobytes * 1000),
            )
    for files in (12, 16, 20, 24, 28, 32, 40):
        for name in ("fine", "matrix"):
            yield Case(
                "open files",
                f"{name}, {files}",
                _limited,
                (name, resource.RLIMIT_NOFILE, files),
            )


def _limited(stage: Stage, name: str, kind: int, limit: int) -> str:
    limits = (limit, resource.getrlimit(kind)[1])
    with stage.world() as world:
        return stage.after(name, world, world.run(stage.does(name), lambda: resource.setrlimit(kind, limits)))


def _of_small_disks() -> Iterator[Case]:
    if os.geteuid() != 0 or not shutil.which("mount"):
        return
    for kilobytes in (8, 32, 64, 128, 192, 256, 512):
        for place in ("cache", "results", "tmp"):
            yield Case("small disk", f"{place}, {kilobytes} kB", _small, (place, kilobytes))


def _small(stage: Stage, place: str, kilobytes: int) -> str:
    with stage.world() as world:
        folder = world.disk / place
        options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
            stage.count("not run: no mount")
            return ""
        try:
            end = world.run(stage.fine)
            wrong = stage.disturbed("fine", end) or "; ".join(_processes(world))
            kept = world.folder / "kept"
            shutil.copytree(folder, kept, ignore_dangling_symlinks=True)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        if place == "cache":  # what was written to it must do no harm on a larger one
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        return wrong or stage.recovered("fine", world)


def _processes(world: World) -> list[str]:
    return [left for left in world.left() if left.startswith("process")]


def _clock(stage: Stage, offset: int, step: int) -> str:
    with stage.world() as world:
        for _ in range(2):  # the second has what the first has kept
            end = world.run(stage.matrix, lambda: shim().faults_clock(offset, step))
            if wrong := stage.disturbed("matrix", end):
                return wrong
            if end.code != stage.undisturbed("matrix")[1]:
                return f"a clock keeps it from its end: {end.said[-300:]}"
        return stage.recovered("matrix", world)


def _arm(disk: Path, kind: int, first: int, last: int, error: int) -> Callable[[], object]:
    return lambda: shim().faults_arm(str(disk).encode(), kind, first, last, error)


def _number(stage: Stage, kind: int, name: str) -> int:
    """How many calls a run makes: of a first one the writes, of a second one the reads."""
    with stage.used(name) if kind == READS else stage.world() as world:
        told = world.folder / "told"

        def does(disk: Path) -> int:
            code = stage.does(name)(disk)
            seen = shim().faults_seen()
            shim().faults_arm(b"/nowhere", 0, 0, 0, 0)
            told.write_text(str(seen))
            return code

        world.run(does, _arm(world.disk, kind, 0, 0, 0))
        return int(told.read_text())


def _fail(stage: Stage, name: str, kind: int, first: int, last: int, error: int) -> str:
    with stage.used(name) if kind == READS else stage.world() as world:
        end = world.run(stage.does(name), _arm(world.disk, kind, first, last, error))
        return stage.after(name, world, end)
