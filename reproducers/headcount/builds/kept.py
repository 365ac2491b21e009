"""Folders of the cache: each is whole or absent, made aside and renamed. Several runs may share them."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import platformdirs
from filelock import FileLock, Timeout

from headcount import errors

#: Seconds to wait for another run that makes the same: it may install a build of torch.
LOCK_SECONDS = 1800

T = TypeVar("T")


def cache_folder() -> Path:
    """Return where overlays and observations are kept: `$HEADCOUNT_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("HEADCOUNT_CACHE") or platformdirs.user_cache_path("headcount"))


@contextmanager
def folder(name: str, label: str, cache: Path | None) -> Iterator[Path]:
    """Give a folder of the cache, made if need be. What fails meanwhile is an error about what has this label.

    Raises:
        SetupError: another run holds it, or the disk fails.
    """
    found = (cache or cache_folder()) / name
    try:
        found.mkdir(parents=True, exist_ok=True)
        yield found
    except Timeout:
        raise errors.SetupError(
            f"another run has held the lock on {label} for {LOCK_SECONDS} s", f"end it, or delete {found}"
        ) from None
    except (OSError, subprocess.SubprocessError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise errors.SetupError(
                f"cannot install {label}: no space left for {found}",
                "free some, or point HEADCOUNT_CACHE elsewhere",
            ) from error
        raise errors.SetupError(
            f"cannot install {label}: {error}", "HEADCOUNT_CACHE names the folder for it"
        ) from error


def read(path: Path) -> str:
    """Return the text of a kept file.

    Raises:
        OSError: it cannot be read, or is no file: reading a pipe would never end.
        ValueError: it is no text.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    return path.read_text("utf-8")


def obtain(
    path: Path,
    look: Callable[[], T | None],
    make: Callable[[Path], T],
    mend: Callable[[], T | None],
) -> T:
    """Return what is kept at `path`; made first if it is not there, and again if it is not whole.

    What is whole needs no lock, as nothing half made has this name: so a cache that cannot be written can be used.

    Args:
        look: returns what is there; None if it is not whole.
        mend: puts right what it can of what is not whole, and returns it; None if it cannot.
        make: fills a folder that is not there yet, which then takes its place at `path`.

    Raises:
        Timeout: another run holds it.
        OSError: the disk fails.
    """
    if (found := look()) is not None:
        return found
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=LOCK_SECONDS):
        for half_made in path.parent.glob(f".{path.name}-*"):  # by a run that was killed: nobody else has the lock
            shutil.rmtree(half_made, ignore_errors=True)
        if path.exists():
            # Meanwhile another run may have made it.
            if (found := look() or mend()) is not None:
                return found
            shutil.rmtree(path)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
            aside = Path(scratch) / "made"
            made = make(aside)
            aside.replace(path)
        return made
