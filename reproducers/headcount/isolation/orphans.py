"""The server ends with all that its processes have started, also where the run is killed that started the server.

The server ends when the last process is gone that may ask it for another, however that came. On Linux whatever a build
started, and left, is the server's child by then, wherever it went: so it is found, and killed. Elsewhere it is left to
the next run.
"""

import atexit
import ctypes
import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

_ADOPT = 36  # PR_SET_CHILD_SUBREAPER

#: Seconds for which what goes on forking is killed.
_PATIENCE = 10.0

#: Seconds in which what was killed dies, and its children get another parent.
_PAUSE = 0.01


def adopt() -> None:
    """Take the children of those that die for this process's own, and kill all that there are when it ends.

    It leaves its caller's process group: a signal to that group must not keep it from this.
    """
    if sys.platform != "linux":
        return
    with suppress(PermissionError):  # it leads a group of its own
        os.setsid()
    ctypes.CDLL(None).prctl(_ADOPT, 1)
    # The server tells of each child that it has not forked itself.
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    atexit.register(_end, os.getpid())


def _end(adopter: int) -> None:
    """Kill all that descends from the process that adopts, where this is that process, and none that it forked."""
    latest = time.monotonic() + _PATIENCE
    while adopter == os.getpid() and time.monotonic() < latest and (found := descendants(adopter)):
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_PAUSE)


def descendants(ancestor: int) -> list[int]:
    """Return the processes that descend from one, its children first. Only Linux shows them."""
    children: dict[int, list[int]] = {}
    for shown in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parent = int((shown / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(shown.name))
    found = [ancestor]
    for process in found:  # which grows
        found += children.get(process, [])
    return found[1:]
