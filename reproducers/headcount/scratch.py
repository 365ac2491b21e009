"""Temporary folders that a run which was killed leaves to the next one to remove, with the processes that use them.

Each is held by a lock as long as its run lives: what is not held is nobody's any more.
"""

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

_PREFIX = "headcount-"

#: What a run holds, beside the folder that it uses.
_OWNER = "owner"

#: Seconds in which a folder without a lock may yet get one.
_BEING_MADE = 60


class Folder:
    """A temporary folder. Close it, or use `folder`."""

    def __init__(self) -> None:
        """Make it, and remove what runs left behind that were killed."""
        clear()
        with ExitStack() as failing:
            self._around = Path(tempfile.mkdtemp(prefix=_PREFIX))
            failing.callback(shutil.rmtree, self._around, ignore_errors=True)
            self._held = os.open(self._around / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            failing.callback(os.close, self._held)
            fcntl.flock(self._held, fcntl.LOCK_EX)
            self.path = self._around / "home"
            self.path.mkdir(0o700)
            failing.pop_all()

    def close(self) -> None:
        """Kill what still has a file open in it, and remove it."""
        _remove(self._around)
        os.close(self._held)


@contextmanager
def folder() -> Iterator[Path]:
    """Give a temporary folder."""
    made = Folder()
    try:
        yield made.path
    finally:
        made.close()


@cache
def clear() -> None:
    """Remove the folders that runs left behind which were killed, once in a process."""
    with suppress(OSError):  # there is no place for one
        for around in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if _is_nobodys(around):
                    _remove(around)


def _is_nobodys(around: Path) -> bool:
    """Return whether a folder of ours belongs to no run."""
    state = around.stat(follow_symlinks=False)
    is_old = time.time() - state.st_mtime > _BEING_MADE
    if state.st_uid != os.getuid() or not (around / _OWNER).is_file():
        return state.st_uid == os.getuid() and is_old and not any(around.iterdir())
    held = os.open(around / _OWNER, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(held)
    return is_old or (around / "home").is_dir()


def _remove(around: Path) -> None:
    for process in processes_using(around):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    # The owner's file goes last. By it the next run knows a folder that could not be removed now.
    shutil.rmtree(around / "home", ignore_errors=True)
    if not (around / "home").exists():
        shutil.rmtree(around, ignore_errors=True)


def processes_using(folder: Path) -> list[int]:
    """Return the other processes that have a file open beneath a folder. Only Linux shows them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            handles = [handle.readlink() for handle in (process / "fd").iterdir()]
            if int(process.name) != os.getpid() and any(folder in handle.parents for handle in handles):
                found.append(int(process.name))
    return found
