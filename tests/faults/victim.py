"""A run that something is done to: a fork of this process, with a cache, results and temporary files of its own.

It imports nothing anew, and its builds are forked from one server: so it takes a second, and hundreds can be run.
"""

import multiprocessing.forkserver
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headcount import errors, results
from headcount.cli import main
from headcount.isolation import forkserver
from headcount.scratch import processes_using
from helpers import ISSUE_410, PLAIN, ROOT

#: Seconds that a run may take, and its processes after it.
PATIENCE = 300.0
LINGERING = 20.0

#: What a run may exit with.
DOCUMENTED = (*errors.ExitCode, 130)

#: Of a build and a cell, the verdict and what it comes to.
Verdicts = Mapping[tuple[str, str], tuple[str, str]]

#: The cells of each run: three on one network, and one on another.
CELLS = (
    PLAIN,
    ISSUE_410,
    "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1",
    "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1",
)


@dataclass(frozen=True)
class End:
    """How a run ended.

    Attributes:
        code: its exit code; None if it was killed, or had no end.
        said: all that it printed.
        verdicts: of its results, if they are complete.
    """

    code: int | None
    said: str
    verdicts: Verdicts


def gate(candidate: Path, base: Path, cells: Sequence[str] = CELLS) -> Callable[[Path], int]:
    """A gate of one build against another."""
    chosen = [word for cell in cells for word in ("--cell", cell)]
    return lambda disk: main(["gate", str(candidate), "--base", str(base), *chosen, "--results", str(disk / "results")])


def matrix(build: Path, cells: Sequence[str] = CELLS) -> Callable[[Path], int]:
    """The matrix on one build, some cells of it."""
    words = ["-q", "-p", "no:cacheprovider", "tests/matrix", "-k", " or ".join(f"{cell}]" for cell in cells)]
    return lambda disk: int(pytest.main([*words, "--build", str(build), "--results", str(disk / "results")]))


class World:
    """What runs share that follow each other: a folder that stands for the machine's disk."""

    def __init__(self, folder: Path, server: Mapping[str, Any]) -> None:
        """Make the folder."""
        self.folder, self.disk, self._server = folder, folder / "disk", server
        for name in ("cache", "results", "tmp"):
            (self.disk / name).mkdir(parents=True)

    def begin(self, does: Callable[[Path], int], first: Callable[[], object] = lambda: None) -> int:
        """Start a run; return its process.

        Args:
            first: what is done to it before it begins.
        """
        said = self.folder / f"said-{len(list(self.folder.glob('said-*')))}"
        process = os.fork()
        if process:
            return process
        code = 70
        try:  # the fork, which ends here
            _become_a_run(self.disk, said, self._server)
            first()
            code = int(does(self.disk))
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 71
        except BaseException:  # noqa: BLE001 - it would go on as the campaign
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(code)

    def end(self, process: int, kill_after: float | None = None) -> End:
        """Wait for a run's end, or kill it after a time; then for the end of its processes."""
        latest = time.monotonic() + (PATIENCE if kill_after is None else kill_after)
        while not (ended := os.waitpid(process, os.WNOHANG))[0] and time.monotonic() < latest:
            time.sleep(0.005)
        if not ended[0]:
            os.kill(process, signal.SIGKILL)
            ended = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(ended[1])
        said = max(self.folder.glob("said-*"), key=lambda path: int(path.name.partition("-")[2]))
        return End(code if code >= 0 else None, said.read_text("utf-8", "replace"), self._verdicts())

    def run(self, does: Callable[[Path], int], first: Callable[[], object] = lambda: None) -> End:
        """Run to the end."""
        return self.end(self.begin(does, first))

    def left(self) -> list[str]:
        """What runs have left behind that are over: processes, and folders that no run could still make use of."""
        latest = time.monotonic() + LINGERING
        while (found := processes_using(self.folder)) and time.monotonic() < latest:
            time.sleep(0.05)
        folders = [
            path for path in (*self.disk.glob("tmp/headcount-*"), *self.disk.glob("cache/*/.*-*")) if path.is_dir()
        ]
        return [f"process {process}" for process in found] + [str(path.relative_to(self.disk)) for path in folders]

    def _verdicts(self) -> Verdicts:
        """Those of the newest results that are complete."""
        for path in sorted(self.disk.glob("results/*.jsonl"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
            with suppress(errors.UsageError):
                if (read := results.read(path)).complete:
                    return {(row.build, row.cell): (row.verdict.kind, row.outcome) for row in read.rows}
        return {}


def _become_a_run(disk: Path, said: Path, server: Mapping[str, Any]) -> None:
    """Turn this fork into a run of its own: where it writes, what it holds open, what it knows."""
    os.setsid()
    log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.chdir(ROOT)
    os.environ |= {"HEADCOUNT_CACHE": str(disk / "cache"), "TMPDIR": str(disk / "tmp")}
    tempfile.tempdir = None
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        os.environ.pop(name, None)
    multiprocessing.forkserver._forkserver = multiprocessing.forkserver.ForkServer()  # noqa: SLF001 - the campaign's is no child of this one
    forkserver.join(server)


def cleared(world: World) -> None:
    """Remove what runs have written."""
    for name in ("cache", "results", "tmp"):
        shutil.rmtree(world.disk / name)
        (world.disk / name).mkdir()
