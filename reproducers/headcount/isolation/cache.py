"""Finished observations, kept: a build prunes a cell once, for all runs.

An observation is a pure function of the build's content, the cell, the environment and the source that the
isolated process imports. It is kept under all of these. What may be the machine's fault, a timeout or a death, is
not kept. A cache that cannot be written is read; one that cannot be read costs time and nothing else. What is read says
itself what it is of, and is held against that.
"""

import json
import platform
import sqlite3
import time
import zlib
from contextlib import AbstractContextManager, ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from headcount import builds, environment, matrix, untrusted
from headcount.observation import CANNOT_BE_TESTED, MACHINES_FAULT, Ending, Observation, ScriptRun

#: Seconds after which an observation is removed if no run used it.
FORGOTTEN_AFTER = 30 * 24 * 3600

#: The most that one observation is unpacked to, in bytes.
LARGEST = 64_000_000

_SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists kept (key text primary key, value blob not null, used integer not null)
without rowid;
create table if not exists unsteady (key text primary key, used integer not null) without rowid;
"""

T = TypeVar("T")


class Cache(AbstractContextManager["Cache"]):
    """One file, which several processes and runs may share. Threads may take turns with one `Cache`."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file at `path`, or the one beside the overlays. One that is damaged is replaced."""
        self.path = path or builds.cache_folder() / "kept.sqlite"
        self._now = int(time.time())
        try:
            try:
                self._database = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # it is no database
                self.path.unlink()
                self._database = self._open()
        except (OSError, sqlite3.Error):  # no space, no permission, locked for good
            self._database = self._unwritable()

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def get(
        self, kind: type[T], overlay: builds.Overlay, subject: matrix.Cell | bytes, *, alone: bool = False
    ) -> T | None:
        """Return what this build did with a cell, or a script, in this environment, if it is known.

        Args:
            kind: `Observation` for a cell, `ScriptRun` for a script's content.
            alone: in a process that had run nothing before.
        """
        key = _key(overlay, subject, alone=alone)
        with suppress(sqlite3.Error, zlib.error, ValueError, TypeError, RecursionError):
            row = self._database.execute("select value, used from kept where key = ?", [key]).fetchone()
            if row is None:
                return None
            of, value = json.loads(_unpacked(row[0]))
            found = untrusted.checked(kind, value, "what is kept")
            if row[1] < self._now - FORGOTTEN_AFTER // 2:
                with suppress(sqlite3.Error):  # it may be read only
                    self._database.execute("update kept set used = ? where key = ?", [self._now, key])
            return found if of == key else None
        return None

    def put(
        self,
        overlay: builds.Overlay,
        subject: matrix.Cell | bytes,
        value: Observation | ScriptRun,
        *,
        alone: bool = False,
    ) -> None:
        """Keep an observation, or a script's run, if it is one that would come out the same again."""
        if _repeats(value):
            key = _key(overlay, subject, alone=alone)
            text = f"[{json.dumps(key)}, {untrusted.encoded(value)}]"
            with suppress(sqlite3.Error):
                row = [key, zlib.compress(text.encode(), 1), self._now]
                self._database.execute("insert or replace into kept values (?, ?, ?)", row)

    def doubt(self, overlay: builds.Overlay, cell: matrix.Cell) -> None:
        """Remove an observation that did not repeat, from a process of its own or not, and remember that it did not."""
        keys = [_key(overlay, cell, alone=alone) for alone in (False, True)]
        with suppress(sqlite3.Error):
            self._database.execute("delete from kept where key in (?, ?)", keys)
            self._database.execute("insert or replace into unsteady values (?, ?)", [keys[0], self._now])

    def is_doubted(self, overlay: builds.Overlay, cell: matrix.Cell) -> bool:
        """Return whether what a build does with a cell once did not repeat."""
        with suppress(sqlite3.Error):
            key = _key(overlay, cell)
            return bool(self._database.execute("select 1 from unsteady where key = ?", [key]).fetchone())
        return False

    def _unwritable(self) -> sqlite3.Connection:
        """Open what is there to be read; where nothing is, a database that has no table: nothing is kept or found."""
        with suppress(OSError, sqlite3.Error), ExitStack() as opened:
            found = sqlite3.connect(f"{self.path.resolve(strict=True).as_uri()}?immutable=1", uri=True)
            opened.callback(found.close)
            found.execute("select count(*) from kept").fetchone()
            opened.pop_all()
            return found
        return sqlite3.connect(":memory:")

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            database = sqlite3.connect(self.path, timeout=20, isolation_level=None, check_same_thread=False)
            opened.callback(database.close)
            database.executescript(_SCHEMA)
            for forget in ("delete from kept where used < ?", "delete from unsteady where used < ?"):
                database.execute(forget, [self._now - FORGOTTEN_AFTER])
            opened.pop_all()
        return database


def _unpacked(kept: bytes) -> bytes:
    """Return what was kept.

    Raises:
        ValueError: it is larger than anything that is kept.
        zlib.error: it was not packed here.
    """
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(kept, LARGEST)
    if unpacker.unconsumed_tail:
        raise ValueError("what is kept is too large")
    return found


def _repeats(value: Observation | ScriptRun) -> bool:
    """Return whether the build, or the script, chose this end, and it is not the machine's fault."""
    if isinstance(value, ScriptRun):
        return value.status in (0, 1, CANNOT_BE_TESTED) and not MACHINES_FAULT.search(value.printed)
    text = f"{value.failure.exception}: {value.failure.message}" if value.failure else ""
    return value.ending in (Ending.FINISHED, Ending.RAISED) and not MACHINES_FAULT.search(text)


def _key(overlay: builds.Overlay, subject: matrix.Cell | bytes, *, alone: bool = False) -> str:
    parts = (
        overlay.version,
        overlay.digest,
        subject,
        alone,
        sorted(environment.environment().items()),
        (platform.system(), platform.machine()),
        environment.interpreter(),
        environment.observing_digest(),
    )
    return sha256(repr(parts).encode()).hexdigest()
