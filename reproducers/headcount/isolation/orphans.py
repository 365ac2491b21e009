"""When the server ends, it kills every process that builds have started. That holds even if the run itself is killed.

The server ends when no process is left that could ask it for another. On Linux it has adopted by then whatever a build
started and left behind, so it finds and kills it. On other systems the next run does that.
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

#: Seconds after which processes that keep forking are given up.
_PATIENCE = 10.0

#: Seconds until killed processes are dead and their children are adopted.
_PAUSE = 0.01


def adopt() -> None:
    """Adopt orphans of this process's descendants, and kill all descendants when it ends.

    It also leaves its caller's process group, so that a signal to that group does not end it early.
    """
    if sys.platform != "linux":
        return
    with suppress(PermissionError):  # it leads a group of its own
        os.setsid()
    ctypes.CDLL(None).prctl(_ADOPT, 1)
    # The server would warn of each child that it has adopted.
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    atexit.register(_end, os.getpid())


def _end(adopter: int) -> None:
    """Kill all descendants. In a process that the adopter has forked, do nothing."""
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
    """Return the descendants of a process, its children first. Only on Linux are any found."""
    children: dict[int, list[int]] = {}
    for shown in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            parent = int((shown / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(shown.name))
    found = [ancestor]
    for process in found:  # which grows
        found += children.get(process, [])
    return found[1:]
