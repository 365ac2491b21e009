"""The server that processes are forked from: it imports torch and transformers once, and may serve several who ask.

multiprocessing's own, but for its address, which a confined process cannot reach, and for how long it is waited for:
one who asks may begin it before it is needed, and have others ask it too.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from headcount.environment import CPU, device, harmless_environment
from headcount.errors import ExitCode, UsageError

#: One thread at a time changes this process's environment.
_STARTING = Lock()

_PRELOADED = ["headcount.isolation.preload"]
_MANY = ["headcount.isolation.preload_networks"]

_SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

#: Torch, asked by an import whether there is a GPU, must not start what no forked process could use.
_FORKABLE = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}

#: Where a server is, and what it wants to hear; the latter from Python 3.14 on.
_WHEREABOUTS = ("_forkserver_address", "_forkserver_pid", "_forkserver_authkey")

#: Seconds between two looks at whether a server that is waited for was stopped.
LOOK_EVERY = 5.0

#: The server that this process has joined, if it has.
_joined: list[forkserver.ForkServer] = []


def context(*, many: bool) -> BaseContext:
    """Fork from a server where there is fork, spawn where there is none.

    Args:
        many: many cells are to come, of all families: their networks are made once, before the first.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    # A name in place of a file: what is confined cannot reach it, nor have the server start what is not.
    multiprocessing.connection.arbitrary_address = _address  # type: ignore[attr-defined]
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(_PRELOADED + _MANY * many)
    return found


def warm_up(*, many: bool = False) -> None:
    """Start the server now, where something else takes time first: it imports meanwhile."""
    if context(many=many).get_start_method() == "forkserver":
        with starting():
            forkserver.ensure_running()


def shared(*, many: bool) -> Mapping[str, Any]:
    """Start the server now, for other processes too: what they need to `join`, if anything. It ends with this one."""
    warm_up(many=many)
    server = forkserver._forkserver  # noqa: SLF001 - there is no public way
    return {name: getattr(server, name) for name in _WHEREABOUTS if getattr(server, name, None) is not None}


def join(whereabouts: Mapping[str, Any]) -> None:
    """Have this process's processes forked by another's server; by one of its own, once that is gone."""
    if not whereabouts:
        return
    theirs, own = forkserver.ForkServer(), forkserver.connect_to_new_process
    for name, value in whereabouts.items():
        setattr(theirs, name, value)
    theirs._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)  # type: ignore[attr-defined]  # noqa: SLF001 - what its children inherit of it
    theirs.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]
    _joined.append(theirs)

    def connect(fds: Sequence[int]) -> tuple[int, int]:
        try:
            return theirs.connect_to_new_process(fds)
        except OSError:
            forkserver.connect_to_new_process = own
            _joined.clear()
            return own(fds)

    forkserver.connect_to_new_process = connect


#: What is done to come by a process that has the device: imports, a fork where there is one, and its confinement.
_PROBE = """
import os, sys, tempfile
from headcount.isolation.preload import worker
import torch
try:
    torch.device(sys.argv[1])
except RuntimeError as error:
    print(str(error).splitlines()[0], file=sys.stderr)
    sys.exit(2)
with tempfile.TemporaryDirectory() as scratch:
    forked = os.fork() if hasattr(os, "fork") else 0
    if not forked:
        try:
            worker.reach_device(scratch)
        except BaseException as error:
            told = (str(error).splitlines() or [""])[0].partition(". ")[0]
            print(f"{type(error).__name__}: {told}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    sys.exit(os.waitpid(forked, 0)[1] and 1)
"""

#: Seconds within which a device is there, or is not.
_PATIENCE = 120


def lacks_device() -> str:
    """Why cells cannot run on the device; "" if they can. Costs a process that imports torch.

    Raises:
        UsageError: torch knows no device of this name.
    """
    if device() == CPU:
        return ""
    command, variables = [sys.executable, "-c", _PROBE, device()], {**os.environ, **_FORKABLE}
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, text=True, check=False, env=variables, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"this machine's {device()} does not answer within {_PATIENCE} s"
    said = (done.stderr.strip().splitlines() or ["torch dies of it"])[-1]
    if done.returncode == ExitCode.USAGE:
        raise UsageError(f"no such device: {device()}", said)
    way = "; UV_TORCH_BACKEND=auto has nox install torch for it" * ("not compiled with" in said)
    return f"this machine has no {device()}: {said}{way}" if done.returncode else ""


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """While a process is started: the environment as a build may see it, without tokens. The server inherits it.

    A server that was stopped meanwhile is killed: who waits for it learns that it is lost.
    """
    with _STARTING, _watched():
        before = dict(os.environ)
        harmless = harmless_environment()
        os.environ.clear()
        os.environ.update(harmless | _SINGLE_THREADED | ({} if device() == CPU else _FORKABLE))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    ended = Event()

    def watch() -> None:
        while not ended.wait(LOOK_EVERY):
            kill_if_stopped()

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def kill_if_stopped() -> None:
    """End a server that was stopped, as by a signal, and answers no one. Only Linux says so of a process."""
    server = _joined[-1] if _joined else forkserver._forkserver  # noqa: SLF001 - there is no public way
    process = getattr(server, "_forkserver_pid", None)
    with contextlib.suppress(OSError, IndexError):
        if process and Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            os.kill(process, signal.SIGKILL)


def _address(family: str) -> str | tuple[str, int]:
    """An address for a server: abstract, where Linux has these, which Landlock keeps what is confined away from."""
    if family == "AF_UNIX" and sys.platform == "linux":
        return f"\0headcount-{os.urandom(16).hex()}"
    return _ARBITRARY_ADDRESS(family)


_ARBITRARY_ADDRESS: Callable[[str], str | tuple[str, int]] = multiprocessing.connection.arbitrary_address  # type: ignore[attr-defined]
