"""What cases have in common: builds, worlds, undisturbed runs to compare with, and what must hold after each fault."""

import ctypes
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import miniatures
import victim
from headcount.isolation import forkserver
from helpers import make_wheel
from victim import End, Verdicts, World

#: Where the library is that fails calls: `campaign` has it loaded before all others.
SHIM = "HEADCOUNT_FAULTS"

WRITES, READS = 1, 2

Does = Callable[[Path], int]


@dataclass(frozen=True)
class Case:
    """One thing that is done to runs.

    Attributes:
        does: does it on a stage, with what is given; returns what was wrong then, and "" if nothing.
    """

    group: str
    name: str
    does: Callable[..., str]
    given: tuple[Any, ...] = ()


class Stage:
    """What cases are run on."""

    def __init__(self, folder: Path) -> None:
        """Start the server."""
        self.folder = folder
        self.serve()
        self._numbers = itertools.count()
        self._known: dict[str, tuple[Verdicts, int, float]] = {}
        self.figures: dict[str, int] = {}
        self.wrong: list[str] = []

    def serve(self) -> None:
        """Start the server that all runs share, if there is none."""
        self._server: Mapping[str, Any] = forkserver.warm_up()

    @property
    def server(self) -> int:
        """Its process."""
        return int(self._server["_forkserver_pid"])

    def count(self, what: str, number: int = 1) -> None:
        """Add to a figure."""
        self.figures[what] = self.figures.get(what, 0) + number

    def wheel(self, name: str, version: str = "1.6.2", code: str | None = None) -> Path:
        """A fake build, as a wheel."""
        folder = self.folder / "wheels" / f"{name}-{version}"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            make_wheel(folder, version=version, code=miniatures.source(name) if code is None else code)
        return next(folder.glob("*.whl"))

    @property
    def fine(self) -> Does:
        """A gate of a build that is right: exit code 0."""
        return victim.gate(self.wheel("two-names"), self.wheel("correct", "1.6.1"))

    @property
    def bad(self) -> Does:
        """A gate of a build that is wrong: exit code 1."""
        return victim.gate(self.wheel("wrong-heads"), self.wheel("correct", "1.6.1"))

    @property
    def matrix(self) -> Does:
        """The matrix on a build that is wrong: exit code 1."""
        return victim.matrix(self.wheel("wrong-heads"))

    def does(self, name: str) -> Does:
        """One of these three, by its name."""
        found: Does = getattr(self, name)
        return found

    @contextmanager
    def world(self) -> Iterator[World]:
        """A new world, which is gone afterwards."""
        folder = self.folder / f"world-{next(self._numbers)}"
        try:
            yield World(folder, self._server)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def used(self, name: str) -> Iterator[World]:
        """A new world with all that an undisturbed run has kept, and without its results."""
        with self.world() as world:
            shutil.rmtree(world.disk / "cache")
            if not (kept := self.folder / f"kept-{name}").is_dir():
                with self.world() as first:
                    first.run(self.does(name))
                    shutil.copytree(first.disk / "cache", kept)
            shutil.copytree(kept, world.disk / "cache")
            yield world

    def undisturbed(self, name: str) -> tuple[Verdicts, int, float]:
        """What a run comes to if nothing is done to it: its verdicts, its exit code, and its seconds.

        Raises:
            RuntimeError: it comes to nothing.
        """
        if name not in self._known:
            with self.world() as world:
                start = time.monotonic()
                end = world.run(self.does(name))
                seconds = time.monotonic() - start
            if end.code != (0 if name == "fine" else 1) or not end.verdicts:
                raise RuntimeError(f"an undisturbed run of {name} exits with {end.code}:\n{end.said}")
            self._known[name] = end.verdicts, end.code, seconds
        return self._known[name]

    def disturbed(self, name: str, end: End) -> str:
        """What is wrong with a run to which something was done: it may give up, and must not say anything else."""
        verdicts, code, _ = self.undisturbed(name)
        if end.code is None:
            return f"{name}: it had no end, or died"
        if end.code not in victim.DOCUMENTED:
            return f"{name}: it exits with {end.code}: {_last(end.said)}"
        if "Traceback (most recent" in end.said or "INTERNALERROR" in end.said:
            return f"{name}: it prints a traceback: {_last(end.said)}"
        if end.code in (0, 1) and end.code != code:
            return f"{name}: it exits with {end.code}, and not {code}: {_last(end.said)}"
        self.count("given up" if end.code not in (0, 1) else "went on")
        wrong = {key: found for key, found in end.verdicts.items() if found[0] != verdicts[key][0]}
        if wrong and end.code in (0, 1):
            return f"{name}: other verdicts: {wrong}"
        return ""

    def recovered(self, name: str, world: World) -> str:
        """What is wrong with a run on what a disturbed one left: it must come to what an undisturbed one does."""
        verdicts, code, _ = self.undisturbed(name)
        end = world.run(self.does(name))
        if end.code != code:
            return f"{name}: the run after it exits with {end.code}, and not {code}: {_last(end.said)}"
        if end.verdicts != verdicts:
            return f"{name}: the run after it comes to {end.verdicts}, and not {verdicts}"
        left = world.left()
        self.count("left behind", len(left))
        return f"{name}: left behind: {left}" if left else ""

    def after(self, name: str, world: World, end: End) -> str:
        """What is wrong with a disturbed run, or with the one after it."""
        return self.disturbed(name, end) or self.recovered(name, world)


def shim() -> ctypes.CDLL:
    """The library that fails calls, in this process."""
    library = ctypes.CDLL(None)
    library.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int]
    library.faults_clock.argtypes = [ctypes.c_long, ctypes.c_long]
    library.faults_seen.restype = ctypes.c_long
    return library


def _last(said: str) -> str:
    return " / ".join(said.strip().splitlines()[-4:])[-600:]
