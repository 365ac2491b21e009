"""The server that processes are forked from: it imports torch and transformers once.

It is multiprocessing's own, except for its address, which a confined process cannot reach. It may be started before
it is needed, and serve other processes of ours too, as pytest-xdist's workers.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from threading import Event, Lock, Thread
from types import ModuleType
from typing import Any

from headcount import environment, errors
from headcount.environment import CPU, device

#: One thread at a time changes this process's environment.
_STARTING = Lock()

_SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

#: Torch looks for a GPU when it is imported: this must not start what no forked process could use.
_FORKABLE = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}

#: Where a server is, and the key that it expects, the latter from Python 3.14 on.
_WHEREABOUTS = ("_forkserver_address", "_forkserver_pid", "_forkserver_authkey")

#: Seconds between two looks at whether the server was stopped.
LOOK_EVERY = 5.0


def context(*, many: bool, also: Sequence[str] = ()) -> multiprocessing.context.ForkServerContext:
    """Return how processes are started: forked from a server.

    Args:
        many: many cells are to come, of all families: their networks are made once, before the first.
        also: modules that the server imports as well; one that is not there is left out.
    """
    # On Linux a name in place of a file. Landlock keeps confined processes from it: they cannot have the server
    # start another.
    multiprocessing.connection.arbitrary_address = _address  # type: ignore[attr-defined]
    networks = ["headcount.isolation.preload_networks"] * many
    forkserver.set_forkserver_preload(["headcount.isolation.preload", *networks, *also])
    return multiprocessing.get_context("forkserver")


def warm_up(*, many: bool = False) -> Mapping[str, Any]:
    """Start the server now: it imports while something else takes time, and ends with this process.

    Returns:
        What other processes need to `join` it.
    """
    context(many=many)  # what it imports, and its address
    with starting():
        forkserver.ensure_running()
    state = vars(forkserver._forkserver).items()  # noqa: SLF001 - there is no public way
    return {name: value for name, value in state if name in _WHEREABOUTS and value is not None}


def join(whereabouts: Mapping[str, Any]) -> None:
    """Fork from another process's server; once that is gone, from one of our own."""
    if not whereabouts:
        return
    theirs, own = forkserver.ForkServer(), forkserver._forkserver  # noqa: SLF001 - there is no public way
    # Its children inherit this descriptor.
    vars(theirs).update(whereabouts, _forkserver_alive_fd=os.open(os.devnull, os.O_RDONLY))
    theirs.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]

    def connect(fds: Sequence[int]) -> tuple[int, int]:
        try:
            return theirs.connect_to_new_process(fds)
        except OSError:
            forkserver._forkserver = own  # noqa: SLF001 - there is no public way
            forkserver.ensure_running, forkserver.connect_to_new_process = (
                own.ensure_running,
                own.connect_to_new_process,
            )
            return own.connect_to_new_process(fds)

    forkserver._forkserver = theirs  # noqa: SLF001 - there is no public way
    forkserver.ensure_running, forkserver.connect_to_new_process = theirs.ensure_running, connect


#: How a process gets the device: imports, a fork, and confinement.
_PROBE = """
import os, sys, tempfile
import headcount.isolation.preload
from headcount.isolation import process
import torch
try:
    torch.device(sys.argv[1])
except RuntimeError as error:
    print(str(error).splitlines()[0], file=sys.stderr)
    sys.exit(2)
with tempfile.TemporaryDirectory() as scratch:
    forked = os.fork()
    if not forked:
        try:
            process.limit(process.FILE_LIMIT)
            process.confine(scratch)
            torch.zeros(1, device=sys.argv[1]).cpu()
        except BaseException as error:
            first = (str(error).splitlines() or [""])[0].partition(". ")[0]
            print(f"{type(error).__name__}: {first}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    sys.exit(os.waitpid(forked, 0)[1] and 1)
"""

#: Seconds after which a device that does not answer is taken for none.
_PATIENCE = 120


def lacks_device() -> str:
    """Return why cells cannot run on the device; "" if they can. Costs a process that imports torch.

    Raises:
        UsageError: torch knows no device of this name.
    """
    if device() == CPU:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", _PROBE, device()],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **_FORKABLE},
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"this machine's {device()} does not answer within {_PATIENCE} s"
    said = (done.stderr.strip().splitlines() or ["torch dies of it"])[-1]
    if done.returncode == errors.ExitCode.USAGE:
        raise errors.UsageError(f"no such device: {device()}", said)
    way = "; UV_TORCH_BACKEND=auto has nox install torch for it" * ("not compiled with" in said)
    return f"this machine has no {device()}: {said}{way}" if done.returncode else ""


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Start a process inside this: it and the server inherit the environment as a build may see it, without tokens.

    The process would import this program's main module, too, with all that it imports: it gets an empty one. A server
    that was stopped meanwhile is killed, so that the start fails in place of waiting for ever.
    """
    with _STARTING:
        ended = Event()
        Thread(target=_watch, args=(ended,), daemon=True).start()
        before, main, harmless = dict(os.environ), sys.modules["__main__"], environment.harmless_environment()
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.clear()
        os.environ.update(harmless | _SINGLE_THREADED | ({} if device() == CPU else _FORKABLE))
        try:
            yield
        finally:
            ended.set()
            sys.modules["__main__"] = main
            os.environ.clear()
            os.environ.update(before)


def _watch(ended: Event) -> None:
    while not ended.wait(LOOK_EVERY):
        kill_if_stopped()


def kill_if_stopped() -> None:
    """Kill a server that was stopped by a signal: it answers nothing. Only Linux shows this of a process."""
    process = getattr(forkserver._forkserver, "_forkserver_pid", None)  # noqa: SLF001 - there is no public way
    with contextlib.suppress(OSError, IndexError):
        if process and Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            os.kill(process, signal.SIGKILL)


def _address(family: str) -> str | tuple[str, int]:
    by_name = family == "AF_UNIX" and sys.platform == "linux"
    return f"\0headcount-{os.urandom(16).hex()}" if by_name else _ARBITRARY_ADDRESS(family)


_ARBITRARY_ADDRESS: Callable[[str], str | tuple[str, int]] = multiprocessing.connection.arbitrary_address  # type: ignore[attr-defined]
