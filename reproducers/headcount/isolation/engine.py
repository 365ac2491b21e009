"""Isolated processes, one per build, forked from a server that has imported torch and transformers once.

A process that raises, hangs, dies or answers with garbage costs one observation and is replaced.
"""

import atexit
import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Timer
from typing import Self

from packaging.version import Version

from headcount.isolation import forkserver as server
from headcount.builds import Overlay
from headcount.matrix.config import Config
from headcount.isolation.landlock import strays
from headcount.environment import environment
from headcount.errors import SetupError
from headcount.untrusted import placeless
from headcount.matrix import Cell
from headcount.models import FAMILIES, Model
from headcount.observation import END, LOG, MACHINES_FAULT, PRINTED_LIMIT, Ending, Observation, Phase, ScriptRun
from headcount.isolation.cache import Store

#: Seconds after which a build that does not answer is given up: for its import, a cell, a full-size cell.
IMPORT_TIMEOUT = 120.0
CELL_TIMEOUT = 60.0
FULL_SIZE_TIMEOUT = 300.0

#: So many cells in a row without an answer, and a build is asked no more: it would take hours.
HANGS = 3

#: Seconds that a script may take, and what is kept of what it prints, from its end, in bytes.
SCRIPT_TIMEOUT = 300.0
SCRIPT_PRINTED_LIMIT = 1_000_000

#: Seconds from an answer's first byte to its last.
ANSWER_TIMEOUT = 20.0

#: An answer longer than this, in bytes, is garbage.
ANSWER_LIMIT = 16_000_000

#: Seconds waited before the next try to start a process; a dying server takes a moment to go.
START_PAUSES = (0.1, 0.3, 1.0, 3.0, 0.0)

_UNKNOWN_STATUS = 255

_ENDINGS_OF_A_CHILD = (Ending.FINISHED, Ending.RAISED, Ending.UNIMPORTABLE)


@dataclass
class _Child:
    """A live process that has imported one build."""

    overlay: Overlay
    process: BaseProcess
    connection: Connection
    scratch: "_Scratch"
    greeting: Observation | None = None
    asked: int = 0


class Engine:
    """Runs cells on builds, each build in a process of its own. Close it, or use it as a context.

    One process is kept, for the build used last: ask build by build.
    """

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        cell_timeout: float = CELL_TIMEOUT,
        import_timeout: float = IMPORT_TIMEOUT,
        script_timeout: float = SCRIPT_TIMEOUT,
        store: Store | None = None,
        *,
        fresh: bool = False,
        many: bool = False,
    ) -> None:
        """Start nothing yet.

        Args:
            many: many cells are to come, of all families: their networks are made once, before the first.
            store: where observations are looked for before a build is asked, and kept.
            fresh: look for none there, only keep them.
        """
        self._store = store
        self._fresh = fresh
        self._cell_timeout = cell_timeout
        self._import_timeout = import_timeout
        self._script_timeout = script_timeout
        self._child: _Child | None = None
        self._failed: dict[Path, Observation] = {}
        self._hung: Counter[Path] = Counter()
        self._server_lost = False
        self._context = server.context(many=many)
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, overlay: Overlay, cell: Cell, *, alone: bool = False, recall: bool = True) -> Observation:
        """What a build does with a cell. Whatever happens to the process, an observation comes back.

        Args:
            alone: use a process that has run nothing before; what it shows is kept apart from what others do.
            recall: look at the store first.
        """
        missing = absent(cell.model) or unpromised(overlay.version, cell.config)
        if missing:
            return Observation(Ending.NOT_APPLICABLE, detail=missing)
        if self._store is None:
            return self._observe(overlay, cell, alone=alone)
        known = self._store.get(overlay, cell, alone=alone) if recall and not self._fresh else None
        if known is not None:
            return replace(known, recalled=True)
        observation = self._observe(overlay, cell, alone=alone)
        self._store.put(overlay, cell, observation, alone=alone)
        return observation

    def _observe(self, overlay: Overlay, cell: Cell, *, alone: bool) -> Observation:
        """What a build does with a cell; asked again if the server was lost, which another build may have killed."""
        self._server_lost = False
        observation = self._ask(overlay, cell, alone=alone)
        if not self._server_lost:
            return observation
        self._failed.pop(overlay.path, None)
        return self._ask(overlay, cell, alone=True)

    def _ask(self, overlay: Overlay, cell: Cell, *, alone: bool) -> Observation:
        if overlay.path in self._failed:
            return self._failed[overlay.path]
        if self._hung[overlay.path] >= HANGS and not alone:
            return Observation(Ending.NOT_ASKED, detail=f"{HANGS} cells in a row had no end")
        if alone or (self._child is not None and self._child.overlay.path != overlay.path):
            self.close()
        child = self._child or self._start(overlay)
        self._child = child
        if child.greeting is None:
            child.greeting = self._receive(child, self._import_timeout, Phase.IMPORT)
        if child.greeting.ending is not Ending.FINISHED:
            # It will fare no better with the next cell, and a hang would be waited for each time.
            self._failed[overlay.path] = child.greeting
            self.close()
            return child.greeting
        child.asked += 1
        try:
            child.connection.send((child.asked, cell))
        except OSError:
            return self._lost(child, Phase.CELL)
        observation = self._receive(child, FULL_SIZE_TIMEOUT if cell.model.full_size else self._cell_timeout)
        hung = observation.ending is Ending.TIMEOUT
        self._hung[overlay.path] = self._hung[overlay.path] + 1 if hung else 0
        failed = observation.failure is not None and MACHINES_FAULT.search(observation.failure.message)
        if cell.model.full_size or failed:
            self.close()  # its memory does not come back otherwise, nor a GPU's state
        return observation

    def forget(self, overlay: Overlay, cell: Cell) -> None:
        """Let the store forget what a build did with a cell."""
        if self._store is not None:
            self._store.forget(overlay, cell)

    def run_script(
        self,
        overlay: Overlay,
        script: Path,
        *,
        recall: bool = False,
        environment: Mapping[str, str] | None = None,
        confined: bool = True,
    ) -> ScriptRun:
        """What a Python file does as a program, with a build in place of the one installed, if any.

        Args:
            environment: what it sees besides what is harmless.
            confined: it may write to a temporary folder only, if the system can see to it.
            recall: take for granted that it does what it did before, though what it reads may have changed.
        """
        if self._store is None:
            return self._run_script(overlay, script, environment, confined=confined)
        content = script.read_bytes()
        if confined and environment:  # then it is all that it can depend on; else recalling takes it for granted too
            content += json.dumps(dict(environment), sort_keys=True).encode()
        known = self._store.get_run(overlay, content) if recall and not self._fresh else None
        run = known or self._run_script(overlay, script, environment, confined=confined)
        if known is None:
            self._store.put_run(overlay, content, run)
        return run

    def _run_script(
        self, overlay: Overlay, script: Path, environment: Mapping[str, str] | None, *, confined: bool
    ) -> ScriptRun:
        self.close()
        scratch = _Scratch()

        def printed() -> str:
            return placeless(scratch.printed(SCRIPT_PRINTED_LIMIT), (*overlay.places, scratch.path))

        # A program may have children of its own, which a daemon may not.
        arguments = (overlay, scratch.path, script, dict(environment or {}), confined)
        process = self._started(_run_script, arguments, daemon=False)
        try:
            ended = bool(wait([process.sentinel], self._script_timeout))
            process.join(5 if ended else 0)
            status = process.exitcode
            if ended:
                if status is not None and status < 0:
                    return ScriptRun(None, f"{printed()}\n{_signal_name(-status)}")
                return _script_run(status, printed(), scratch.end())
            return ScriptRun(None, f"{printed()}\nno end within {self._script_timeout:g} s")
        finally:
            _kill(process)
            scratch.remove()

    def close(self) -> None:
        """End the process and whatever it started."""
        child, self._child = self._child, None
        if child is None:
            return
        child.connection.close()
        _kill(child.process)
        child.scratch.remove()

    def _start(self, overlay: Overlay) -> _Child:
        ours, theirs = self._context.Pipe()
        scratch = _Scratch()
        process = self._started(_serve, (theirs, overlay, scratch.path))
        theirs.close()
        return _Child(overlay, process, ours, scratch)

    def _started(
        self, target: Callable[..., None], arguments: tuple[object, ...], *, daemon: bool = True
    ) -> BaseProcess:
        """A new process. A build may have killed the server that forks them: then there is soon another.

        Raises:
            SetupError: none can be started, however often it is tried.
        """
        for pause in START_PAUSES:
            process: BaseProcess = self._context.Process(target=target, args=arguments, daemon=daemon)  # type: ignore[attr-defined]
            try:
                with server.starting():
                    process.start()
            except (OSError, EOFError) as error:
                failure = error
                time.sleep(pause)
            else:
                return process
        raise SetupError(f"cannot start a process: {failure!r}", "look at the machine's memory and process limits")

    def _receive(self, child: _Child, timeout: float, phase: Phase = Phase.CELL) -> Observation:
        ready = wait([child.connection, child.process.sentinel], timeout)
        if not ready:
            self.close()
            return Observation(Ending.TIMEOUT, phase, detail=f"no answer within {timeout:g} s")
        # A message that was begun may never be ended: who waits for it is woken by the process's death.
        late = Event()

        def give_up() -> None:
            late.set()
            _kill(child.process)

        watchdog = Timer(ANSWER_TIMEOUT, give_up)
        watchdog.start()
        try:
            if child.connection not in ready and not child.connection.poll():
                return self._lost(child, phase)
            answer = child.connection.recv_bytes(ANSWER_LIMIT)
        except (EOFError, OSError):
            lost = self._lost(child, phase)
            detail = f"an answer was begun and not ended within {ANSWER_TIMEOUT:g} s"
            return replace(lost, ending=Ending.TIMEOUT, detail=detail) if late.is_set() else lost
        finally:
            watchdog.cancel()
        try:
            return _read(answer, child.asked)
        except (ValueError, RecursionError) as error:
            self.close()
            return Observation(Ending.GARBAGE, phase, detail=str(error)[:200])

    def _lost(self, child: _Child, phase: Phase) -> Observation:
        """The process went away before it answered."""
        child.process.join(1)
        code = child.process.exitcode
        printed = child.scratch.printed()
        self.close()
        if code is not None and code < 0:
            known = -code in {number.value for number in signal.Signals}
            detail = f"killed by {signal.Signals(-code).name if known else f'signal {-code}'}"
        else:
            # 255 is also what multiprocessing says when no one is left who could know.
            self._server_lost = code == _UNKNOWN_STATUS
            detail = f"exited with status {code}" + (", or its server was killed" if code == _UNKNOWN_STATUS else "")
        return Observation(Ending.KILLED, phase, detail=detail, printed=printed)


def _serve(connection: Connection, overlay: Overlay, scratch: str) -> None:
    """The process's main. The worker is imported there: it brings torch, which has no business here."""
    from headcount.isolation.process import serve  # noqa: PLC0415 - see above

    serve(connection, overlay, scratch)


def _run_script(overlay: Overlay, scratch: str, script: Path, environment: dict[str, str], confined: bool) -> None:  # noqa: FBT001 - multiprocessing passes no keywords here
    """Likewise, for a script."""
    from headcount.isolation.process import run_script  # noqa: PLC0415 - see above

    run_script(overlay, scratch, script, environment, confined=confined)


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _script_run(status: int | None, printed: str, end: str) -> ScriptRun:
    """A script's run, with what its process wrote down of its end, if that is anything."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        noted = json.loads(end)
        lines, answer = tuple(map(int, noted["lines"])), str(noted["answer"])
        return ScriptRun(status, printed, str(noted["raised"])[:500], str(noted["frame"])[:200], lines, answer)
    return ScriptRun(status, printed)


def _read(answer: bytes, asked: int) -> Observation:
    """The observation in a process's answer to its question number `asked`.

    Raises:
        ValueError: it is none, or none that a process can make of itself, or answers another question.
        RecursionError: it is nested too deep to be one.
    """
    data = json.loads(answer)
    answered = data.pop("asked", None) if isinstance(data, dict) else None
    observation = Observation.from_json(data)
    if answered != asked:
        raise ValueError(f"an answer to question {answered}, not {asked}")
    if observation.ending not in _ENDINGS_OF_A_CHILD:
        raise ValueError(f"a process cannot say of itself: {observation.ending}")
    if observation.recalled:
        raise ValueError("a process cannot say of itself: recalled")
    return observation


def absent(model: Model) -> str:
    """The transformers that a model's family needs, if the one that is installed is older; "" if it is not."""
    family, installed = FAMILIES[model.family], environment()["transformers"]
    if family.is_in(installed):
        return ""
    return f"{family.title} came with transformers {family.since}, this is {installed}"


def unpromised(version: str, config: Config) -> str:
    """What a config needs that a release of this version never promised; "" if there is nothing."""
    release = Version(version)
    lacking = [f"{name} came with {since}" for name, since in config.needs().items() if release < Version(since)]
    return "; ".join(lacking)


def _kill(process: BaseProcess) -> None:
    """Kill a process and its process group, which is its own (see `worker.serve`)."""
    if process.pid is not None and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(5)
    if process.is_alive():  # so says its server, if it still says anything
        server.kill_if_stopped()
        process.join(5)


class _Scratch:
    """A process's home folder, with its log; what it prints is read by handle, since it may put anything in the way."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="headcount-")
        self._log, self._end = (os.open(Path(self.path) / name, os.O_RDONLY | os.O_CREAT, 0o600) for name in (LOG, END))

    def printed(self, limit: int = PRINTED_LIMIT) -> str:
        """The end of it; "" once it is removed."""
        return _tail(self._log, limit)

    def end(self) -> str:
        """What a script's process wrote of its end."""
        return _tail(self._end, SCRIPT_PRINTED_LIMIT)

    def remove(self) -> None:
        """Remove the folder, and end what still writes to it: a process may have left its group."""
        for handle in (self._log, self._end):
            with contextlib.suppress(OSError):
                os.close(handle)
        for stray in strays(self.path):
            with contextlib.suppress(OSError):
                os.kill(stray, signal.SIGKILL)
        shutil.rmtree(self.path, ignore_errors=True)


def _tail(handle: int, limit: int) -> str:
    """The end of an open file; "" if it is closed."""
    with contextlib.suppress(OSError):
        start = max(os.fstat(handle).st_size - limit, 0)
        return os.pread(handle, limit, start).decode("utf-8", "replace")
    return ""
