"""Finished observations, kept: a cell is pruned once by a build, however many runs ask for it.

An observation is a pure function of the build's content, the cell, the environment and the harness,
and is kept under all of these. What may be the machine's fault, a timeout or a death, is not kept. A
store that cannot be read or written costs time and nothing else.
"""

import json
import platform
import sqlite3
import time
import zlib
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Self

from headcount.builds import Overlay, cache_folder
from headcount.environment import environment, harness_digest
from headcount.matrix import Cell
from headcount.observation import CANNOT_BE_TESTED, MACHINES_FAULT, Ending, Observation, ScriptRun

#: Seconds after which an observation that no one has asked for is forgotten.
FORGOTTEN_AFTER = 30 * 24 * 3600

_KEPT = (Ending.FINISHED, Ending.RAISED)

_SCHEMA = """
create table if not exists kept (key text primary key, value blob not null, used integer not null)
without rowid
"""


class Store:
    """One file, which several processes and runs may share; one of these, which threads may use in turns."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the store at `path`, or the one beside the overlays. One that is damaged is begun anew."""
        self.path = path or cache_folder() / "kept.sqlite"
        self._now = int(time.time())
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
        except sqlite3.OperationalError:  # no space, no permission, locked for good
            pass
        except sqlite3.DatabaseError:  # not a database
            with suppress(OSError, sqlite3.Error):
                self.path.unlink()
                self._database = self._open()
        except OSError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, overlay: Overlay, cell: Cell, *, alone: bool = False) -> Observation | None:
        """What this build did with this cell in this environment, if it is known.

        Args:
            alone: in a process that had run nothing before.
        """
        known = self._get(_key(overlay, cell, alone=alone))
        with suppress(ValueError):
            return None if known is None else Observation.from_json(known)
        return None

    def put(self, overlay: Overlay, cell: Cell, observation: Observation, *, alone: bool = False) -> None:
        """Keep an observation, if it is one that would come out the same again."""
        failure = f"{observation.failure.type}: {observation.failure.message}" if observation.failure else ""
        if observation.ending in _KEPT and not MACHINES_FAULT.search(failure):
            self._put(_key(overlay, cell, alone=alone), observation.to_json())

    def forget(self, overlay: Overlay, cell: Cell) -> None:
        """Keep it no longer, however it was seen."""
        if self._database is not None:
            keys = [_key(overlay, cell, alone=alone) for alone in (False, True)]
            with suppress(sqlite3.Error):
                self._database.execute("delete from kept where key in (?, ?)", keys)

    def get_run(self, overlay: Overlay, script: bytes) -> ScriptRun | None:
        """How a script ended with this build, if it is known."""
        known = self._get(_key(overlay, script))
        if isinstance(known, dict) and isinstance(known.get("lines"), list):
            with suppress(TypeError):
                return ScriptRun(**{**known, "lines": tuple(known["lines"])})
        return None

    def put_run(self, overlay: Overlay, script: bytes, run: ScriptRun) -> None:
        """Keep a script's end, if it is one that it chose, and the machine did not fail it."""
        if run.status in (0, 1, CANNOT_BE_TESTED) and not MACHINES_FAULT.search(run.printed):
            self._put(_key(overlay, script), asdict(run))

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _get(self, key: str) -> object:
        if self._database is None:
            return None
        try:
            row = self._database.execute("select value, used from kept where key = ?", [key]).fetchone()
            if row is None:
                return None
            if row[1] < self._now - FORGOTTEN_AFTER // 2:
                self._database.execute("update kept set used = ? where key = ?", [self._now, key])
            found: object = json.loads(zlib.decompress(row[0]))
        except (sqlite3.Error, zlib.error, ValueError):
            return None
        return found

    def _put(self, key: str, value: object) -> None:
        if self._database is None:
            return
        data = zlib.compress(json.dumps(value).encode(), 1)
        with suppress(sqlite3.Error):
            self._database.execute("insert or replace into kept values (?, ?, ?)", [key, data, self._now])

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=20, isolation_level=None, check_same_thread=False)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        database.execute(_SCHEMA)
        database.execute("delete from kept where used < ?", [self._now - FORGOTTEN_AFTER])
        return database


def _key(overlay: Overlay, asked: Cell | bytes, *, alone: bool = False) -> str:
    machine = (platform.system(), platform.machine())
    parts = (overlay.version, overlay.digest, asked, alone, sorted(environment().items()), machine, harness_digest())
    return sha256(repr(parts).encode()).hexdigest()
