"""Isolated processes, one per build, forked from a server that has imported torch and transformers once.

A process that raises, hangs, dies or answers with garbage costs one observation and is replaced.
"""

import atexit
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from threading import Timer

from packaging.version import Version

from headcount import builds, environment, errors, matrix, scratch, untrusted
from headcount.isolation import Cache, forkserver, shared
from headcount.observation import (
    CANNOT_BE_TESTED,
    MACHINES_FAULT,
    Ending,
    Failure,
    Observation,
    Phase,
    Problem,
    ScriptRun,
)

#: Seconds after which a build that does not answer is given up: for its import, a cell, a full-size cell.
IMPORT_TIMEOUT = 120.0
CELL_TIMEOUT = 60.0
FULL_SIZE_TIMEOUT = 300.0

#: After so many cells in a row without an answer, a build gets no more: it would take hours.
HANGS = 3

#: Seconds that a script may take, and what is kept of what it prints, from its end, in bytes.
SCRIPT_TIMEOUT = 300.0
SCRIPT_PRINTED_LIMIT = 1_000_000

#: How the reason begins why a script that did not end in time tells nothing.
NO_END = "no end within"

#: Seconds from an answer's first byte to its last.
ANSWER_TIMEOUT = 20.0

#: An answer longer than this, in bytes, is garbage.
ANSWER_LIMIT = 16_000_000

#: Seconds before the next try to start a process: a dying server takes a moment to go.
START_PAUSES = (0.1, 0.3, 1.0, 3.0, 0.0)

#: What is said of a build whose files are no longer what was prepared.
CHANGED = "its files were changed after it was prepared: run it again"

_UNKNOWN_STATUS = 255


class Engine(contextlib.AbstractContextManager["Engine"]):
    """Runs cells on builds, each build in a process of its own. Close it, or use it as a context.

    One process is kept, for the build used last: run build by build.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        cell_timeout: float = CELL_TIMEOUT,
        script_timeout: float = SCRIPT_TIMEOUT,
        cache: Cache | None = None,
        *,
        fresh: bool = False,
        many: bool = False,
        also: Sequence[str] = (),
    ) -> None:
        """Start nothing yet.

        Args:
            cache: where observations are kept, and looked up before a cell is run.
            fresh: look nothing up.
            many: many cells are to come, of all families: their networks are made once, before the first.
            also: modules that processes need beside torch and transformers: they are imported once.
        """
        self._cache, self._known = cache, None if fresh else cache
        self._cell_timeout, self._script_timeout = cell_timeout, script_timeout
        self._child: _Child | None = None
        self._failed: dict[Path, Observation] = {}
        self._hung: Counter[Path] = Counter()
        self._server_lost = False
        self._context = forkserver.context(many=many, also=also)
        atexit.register(self.close)

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, overlay: builds.Overlay, cell: matrix.Cell, *, alone: bool = False, recall: bool = True
    ) -> Observation:
        """Return what a build does with a cell. Whatever happens to the process, an observation comes back.

        Args:
            alone: use a process that has run nothing before. Its observations are kept apart from others.
            recall: look it up in the cache first.
        """
        if missing := unpromised(overlay.version, cell):
            return Observation(Ending.NOT_APPLICABLE, detail=missing)
        known = self._known.get(Observation, overlay, cell, alone=alone) if self._known and recall else None
        if known:
            return replace(known, recalled=True)
        self.begin()
        observation = self.observe(overlay, cell, alone=alone)
        if self._cache is not None:
            self._cache.put(overlay, cell, observation, alone=alone)
        return observation

    def begin(self) -> None:
        """Do nothing. It is called before the first build runs; subclasses may check something here."""

    def can_make(self, cell: matrix.Cell) -> bool:  # noqa: ARG002 - subclasses use it
        """Return whether another build is known beside which the cell's network can be made."""
        return False

    def observe(self, overlay: builds.Overlay, cell: matrix.Cell, *, alone: bool) -> Observation:
        """Run a cell, and keep nothing. Try a second time if the server was lost, or no network could be made.

        Another build, or the cell before, may have done that.

        Raises:
            SetupError: our own code fails in a new process, too.
        """
        self._server_lost = False
        observation = self._run(overlay, cell, alone=alone)
        if self._server_lost or observation.ending is Ending.OURS:
            self._failed.pop(overlay.path, None)
            observation = self._run(overlay, cell, alone=True)
        if observation.ending is Ending.OURS:
            why = _first_line(observation.failure)
            if self.can_make(cell):
                return Observation(Ending.UNIMPORTABLE, detail=f"beside it the network cannot be made: {why}"[:500])
            raise errors.SetupError(
                f"the network {cell.model.id} cannot be made here: {why}",
                "look at the versions of torch and transformers; if they are the recorded ones, please report it",
            )
        return observation

    def _run(self, overlay: builds.Overlay, cell: matrix.Cell, *, alone: bool) -> Observation:
        if overlay.path in self._failed:
            return self._failed[overlay.path]
        if self._hung[overlay.path] >= HANGS and not alone:
            return Observation(Ending.NOT_RUN, detail=f"{HANGS} cells in a row had no end")
        if alone or (self._child is not None and self._child.overlay.path != overlay.path):
            self.close()
        if self._child is None:
            self._child = _Child(self._context, overlay)
            greeting = self._receive(self._child, IMPORT_TIMEOUT, Phase.IMPORT)
            if greeting.ending is not Ending.FINISHED:
                # It will fare no better with the next cell, and a hang would be waited for each time.
                self._failed[overlay.path] = greeting
                self.close()
                return greeting
        timeout = FULL_SIZE_TIMEOUT if cell.model.full_size else self._cell_timeout
        observation = self._receive(self._child, timeout, Phase.CELL, cell)
        if builds.has_changed(overlay):  # whatever it was that ran
            self.close()
            observation = self._failed[overlay.path] = Observation(Ending.UNIMPORTABLE, detail=CHANGED)
        self._hung[overlay.path] = self._hung[overlay.path] + 1 if observation.ending is Ending.TIMEOUT else 0
        if any(effect.problem is Problem.PROCESS for effect in observation.effects):
            self.close()  # the next cell must not see it
        if cell.model.full_size or (observation.failure and MACHINES_FAULT.search(observation.failure.message)):
            self.close()  # only so does its memory come back, and a GPU's state
        return observation

    def doubt(self, overlay: builds.Overlay, cell: matrix.Cell) -> None:
        """Remove what a build did with a cell from the cache, and remember that it did not repeat."""
        if self._cache is not None:
            self._cache.doubt(overlay, cell)

    def is_doubted(self, overlay: builds.Overlay, cell: matrix.Cell) -> bool:
        """Return whether what a build does with a cell once did not repeat, in this run or another."""
        return self._known is not None and self._known.is_doubted(overlay, cell)

    def run_script(
        self,
        overlay: builds.Overlay,
        script: Path,
        *,
        recall: bool = False,
        environment: Mapping[str, str] | None = None,
        confined: bool = True,
    ) -> ScriptRun:
        """Run a Python file as a program, with a build in place of the one installed, if any.

        Args:
            environment: more variables than the harmless ones.
            confined: it may write to a temporary folder only, if the system can enforce that.
            recall: look it up in the cache first, though what the script reads may have changed.
        """
        content = script.read_bytes()
        if confined and environment:  # what is not confined may depend on more, which `recall` disregards as well
            content += json.dumps(dict(environment), sort_keys=True).encode()
        known = self._known.get(ScriptRun, overlay, content) if self._known and recall else None
        if known is None:
            self.begin()
        run = known or self._run_script(overlay, script, environment, confined=confined)
        if known is None and builds.has_changed(overlay):
            return replace(run, status=CANNOT_BE_TESTED, why=CHANGED)
        if self._cache is not None and known is None:
            self._cache.put(overlay, content, run)
        return run

    def _run_script(
        self, overlay: builds.Overlay, script: Path, environment: Mapping[str, str] | None, *, confined: bool
    ) -> ScriptRun:
        self.close()
        arguments = (str(overlay.path), str(script), dict(environment or {}), confined)
        # A program may have children of its own, which a daemon may not.
        with contextlib.closing(_Room(self._context, "isolation.script.run_script", *arguments, daemon=False)) as room:
            ended = bool(wait([room.process.sentinel], self._script_timeout))
            room.process.join(5 if ended else 0)
            printed = untrusted.placeless(
                shared.tail(room.log, SCRIPT_PRINTED_LIMIT),
                (str(overlay.path), str(overlay.path.resolve()), room.folder),
            )
            if not ended:
                return ScriptRun(None, printed, why=f"{NO_END} {self._script_timeout:g} s")
            return _script_run(room.process.exitcode, printed, shared.tail(room.end, SCRIPT_PRINTED_LIMIT))

    def ask(self, overlay: builds.Overlay, main: str, *arguments: object, timeout: float) -> bytes | Observation:
        """Return the one answer of a process that imports a build and does something else than cells.

        Args:
            main: its function, as `shared.enter` has it. It gets a folder, a connection, the build's path and version.
            timeout: seconds that it may take.

        Returns:
            The bytes that it sent; or how it ended without an answer.
        """
        self.begin()
        self.close()
        connection, theirs = self._context.Pipe()
        told = (theirs, str(overlay.path), overlay.version, *arguments)
        # The user's file may start processes, which a daemon may not.
        with (
            contextlib.closing(theirs),
            contextlib.closing(connection),
            contextlib.closing(_Room(self._context, main, *told, daemon=False)) as room,
        ):
            theirs.close()
            if not wait([connection, room.process.sentinel], timeout):
                return Observation(Ending.TIMEOUT, Phase.CELL, detail=f"no answer within {timeout:g} s")
            watchdog = Timer(ANSWER_TIMEOUT, _kill, [room.process])
            watchdog.start()
            try:
                answer = connection.recv_bytes(ANSWER_LIMIT)
            except (EOFError, OSError):
                room.process.join(1)
                code, printed = room.process.exitcode, shared.tail(room.log, shared.PRINTED_LIMIT)
                return Observation(Ending.KILLED, Phase.CELL, detail=_end(code), printed=printed)
            finally:
                watchdog.cancel()
        return Observation(Ending.UNIMPORTABLE, detail=CHANGED) if builds.has_changed(overlay) else answer

    def close(self) -> None:
        """End the process and all that it started."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _receive(self, child: "_Child", timeout: float, phase: Phase, cell: matrix.Cell | None = None) -> Observation:
        """Return a process's answer to a cell; to none, whether the build could be imported."""
        if cell is not None:
            child.sent += 1
            with contextlib.suppress(OSError):  # it has gone away: that shows below
                child.connection.send((child.sent, cell))
        if not (ready := wait([child.connection, child.process.sentinel], timeout)):
            self.close()
            return Observation(Ending.TIMEOUT, phase, detail=f"no answer within {timeout:g} s")
        # A message that was begun may never be ended: then the process's death ends the wait.
        watchdog, latest = Timer(ANSWER_TIMEOUT, _kill, [child.process]), time.monotonic() + ANSWER_TIMEOUT
        watchdog.start()
        try:
            if child.connection not in ready and not child.connection.poll():
                return self._lost(child, phase)
            return _read(child.connection.recv_bytes(ANSWER_LIMIT), child.sent)
        except (EOFError, OSError):
            lost = self._lost(child, phase)
            detail = f"an answer was begun and not ended within {ANSWER_TIMEOUT:g} s"
            return replace(lost, ending=Ending.TIMEOUT, detail=detail) if time.monotonic() > latest else lost
        except (ValueError, RecursionError) as error:
            self.close()
            return Observation(Ending.GARBAGE, phase, detail=str(error)[:200])
        finally:
            watchdog.cancel()

    def _lost(self, child: "_Child", phase: Phase) -> Observation:
        child.process.join(1)
        code, printed = child.process.exitcode, shared.tail(child.log, shared.PRINTED_LIMIT)
        self.close()
        # 255 is also what multiprocessing gives when the server, which knows the status, is gone.
        self._server_lost = code == _UNKNOWN_STATUS
        detail = _end(code) + ", or its server was killed" * self._server_lost
        return Observation(Ending.KILLED, phase, detail=detail, printed=printed)


class _Room:
    """A process and its home folder. The log and the end's note are read by handle: it may replace the files."""

    def __init__(self, context: ForkServerContext, main: str, *arguments: object, daemon: bool) -> None:
        with contextlib.ExitStack() as opened:
            made = scratch.Folder()
            opened.callback(made.close)
            self.folder = str(made.path)
            self.log, self.end = (self._opened(opened, name) for name in (shared.LOG, shared.END))
            self.process = _started(context, (main, self.folder, *arguments), daemon=daemon)
            self._held = opened.pop_all()

    def _opened(self, until: contextlib.ExitStack, name: str) -> int:
        handle = os.open(Path(self.folder) / name, os.O_RDONLY | os.O_CREAT, 0o600)
        until.callback(os.close, handle)
        return handle

    def close(self) -> None:
        """End the process and what still writes to the folder, as it may have left its group; remove the folder."""
        _kill(self.process)
        self._held.close()


class _Child(_Room):
    """A process that imports one build and runs cells; `sent` says how many it got."""

    def __init__(self, context: ForkServerContext, overlay: builds.Overlay) -> None:
        self.overlay, self.sent = overlay, 0
        self.connection, theirs = context.Pipe()
        told = (theirs, str(overlay.path), overlay.version)
        with contextlib.closing(theirs), contextlib.ExitStack() as failing:
            failing.callback(self.connection.close)
            super().__init__(context, "isolation.process.serve", *told, daemon=True)
            failing.pop_all()

    def close(self) -> None:
        self.connection.close()
        super().close()


def unpromised(version: str, cell: matrix.Cell) -> str:
    """Return what a cell needs that this transformers, or a release of this version, never had; "" if nothing."""
    if lacking := cell.model.traits.lacking(environment.environment()["transformers"]):
        return lacking
    return "; ".join(
        f"{name} came with {since}" for name, since in cell.config.needs().items() if Version(version) < Version(since)
    )


def _started(context: ForkServerContext, arguments: tuple[object, ...], *, daemon: bool) -> ForkServerProcess:
    """Start a process. If a build has killed the server that forks them, there is soon another.

    Raises:
        SetupError: none can be started, after several tries.
    """
    for pause in START_PAUSES:
        process = context.Process(target=shared.enter, args=arguments, daemon=daemon)
        try:
            with forkserver.starting():
                process.start()
        except (OSError, EOFError) as error:
            failure = error
            time.sleep(pause)
        else:
            return process
    raise errors.SetupError(f"cannot start a process: {failure!r}", "look at the machine's memory and process limits")


def _read(answer: bytes, sent: int) -> Observation:
    """Return the observation in a process's answer to cell number `sent`.

    Raises:
        ValueError: it is none, or none that a process can make of itself, or of another cell.
        RecursionError: it is nested too deep to be one.
    """
    data = json.loads(answer)
    number = data.pop("number", None) if isinstance(data, dict) else None
    observation = untrusted.checked(Observation, data, "observation")
    if number != sent:
        raise ValueError(f"an answer to cell {number}, not {sent}")
    own = observation.ending in (Ending.FINISHED, Ending.RAISED, Ending.UNIMPORTABLE, Ending.OURS)
    if not own or observation.recalled:
        raise ValueError(f"a process cannot say of itself: {observation.ending if not own else 'recalled'}")
    return observation


def _script_run(status: int | None, printed: str, note: str) -> ScriptRun:
    if status is not None and status < 0:
        return ScriptRun(None, printed, why=_signal_name(-status))
    with contextlib.suppress(ValueError, RecursionError):
        noted = untrusted.checked(ScriptRun, json.loads(note), "note")
        return replace(
            noted,
            status=status,
            printed=printed,
            raised=noted.raised[:500],
            frame=noted.frame[:200],
            why=noted.why[:300],
        )
    return ScriptRun(CANNOT_BE_TESTED, printed, why="it ended before it could say how")


def _first_line(failure: Failure | None) -> str:
    if failure is None:
        return "no reason is given"
    return untrusted.clean(f"{failure.exception}: {failure.first_line}")


def _end(code: int | None) -> str:
    """Say how a process ended."""
    return f"killed by {_signal_name(-code)}" if code is not None and code < 0 else f"exited with status {code}"


def _signal_name(number: int) -> str:
    return {int(known): known.name for known in signal.Signals}.get(number, f"signal {number}")


def _kill(process: ForkServerProcess) -> None:
    """Kill a process and its process group, which is its own (see `process.isolate`)."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(5)
    if process.is_alive():  # so its server says, if it is not stopped
        forkserver.kill_if_stopped()
        process.join(5)
