"""What was observed once is not observed again, unless anything that it depends on has changed."""

import sqlite3
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from headcount import builds
from headcount.builds import Overlay
from headcount.isolation import Cache, Engine, cache
from headcount.isolation import engine as engine_module
from headcount.matrix import cells
from headcount.observation import Ending, Failure, Observation, ScriptRun
from helpers import make_wheel

CELL, OTHER = cells.EDGE_CASES[:2]
OVERLAY = Overlay("some", Path("nowhere"), "1.6.1", digest="a")
SEEN = Observation(Ending.FINISHED, kept={"width": (0, 2)}, output_gap=0.0)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A cache with one observation."""
    path = tmp_path / "kept.sqlite"
    with Cache(path) as opened:
        opened.put(OVERLAY, CELL, SEEN)
    return path


def test_what_was_put_is_got(kept: Path) -> None:
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) == SEEN


def test_another_build_cell_version_or_harness_is_not_known(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cache(kept) as opened:
        assert opened.get(Observation, replace(OVERLAY, digest="b"), CELL) is None
        assert opened.get(Observation, replace(OVERLAY, version="1.6.0"), CELL) is None
        assert opened.get(Observation, OVERLAY, OTHER) is None
        assert opened.get(Observation, replace(OVERLAY, label="other", path=Path("elsewhere")), CELL) == SEEN
        monkeypatch.setattr("headcount.environment.observing_digest", lambda: "another")
        assert opened.get(Observation, OVERLAY, CELL) is None


@pytest.mark.parametrize(
    "observation",
    [
        *(Observation(e) for e in (Ending.TIMEOUT, Ending.KILLED, Ending.GARBAGE, Ending.UNIMPORTABLE)),
        Observation(Ending.RAISED, failure=Failure("RuntimeError", "DefaultCPUAllocator: can't allocate memory")),
    ],
)
def test_what_may_be_the_machines_fault_is_not_kept(tmp_path: Path, observation: Observation) -> None:
    with Cache(tmp_path / "kept.sqlite") as opened:
        opened.put(OVERLAY, CELL, observation)
        assert opened.get(Observation, OVERLAY, CELL) is None


def test_a_scripts_end_is_kept_with_its_text(tmp_path: Path) -> None:
    with Cache(tmp_path / "kept.sqlite") as opened:
        opened.put(OVERLAY, b"exit(1)", ScriptRun(1, "happened", lines=(1, 2), why="so"))
        opened.put(OVERLAY, b"loop", ScriptRun(None, ""))
        assert opened.get(ScriptRun, OVERLAY, b"exit(1)") == ScriptRun(1, "happened", lines=(1, 2), why="so")
        assert opened.get(ScriptRun, OVERLAY, b"exit(2)") is None
        assert opened.get(ScriptRun, OVERLAY, b"loop") is None
        assert opened.get(ScriptRun, replace(OVERLAY, digest="b"), b"exit(1)") is None


def test_a_damaged_cache_is_begun_anew(kept: Path) -> None:
    kept.write_bytes(b"not a database " * 1000)
    for name in ("-wal", "-shm"):
        kept.with_name(kept.name + name).unlink(missing_ok=True)
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) is None
        opened.put(OVERLAY, CELL, SEEN)
        assert opened.get(Observation, OVERLAY, CELL) == SEEN


def test_a_damaged_row_is_not_believed(kept: Path) -> None:
    with closing(sqlite3.connect(kept)) as database, database:
        database.execute("update kept set value = x'00'")
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) is None


@pytest.mark.parametrize(
    "text", ["[" * 5000 + "]" * 5000, "3", '["", {}, {}]', '["key", {"ending": "finished"}]', "[" + " " * 70_000_000]
)
def test_what_is_no_observation_of_this_cell_is_not_believed(kept: Path, text: str) -> None:
    with closing(sqlite3.connect(kept)) as database, database:
        database.execute("update kept set value = ?", [zlib.compress(text.encode())])
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) is None


def test_another_cells_observation_is_not_believed(kept: Path) -> None:
    with Cache(kept) as opened:
        opened.put(OVERLAY, OTHER, Observation(Ending.FINISHED, output_gap=1.0))
    with closing(sqlite3.connect(kept)) as database, database:
        values = [row[0] for row in database.execute("select value from kept")]
        for value, swapped in zip(values, reversed(values), strict=True):
            database.execute("update kept set used = 0, value = ? where value = ? and used > 0", [swapped, value])
        assert [row[0] for row in database.execute("select value from kept")] != values
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) is None


def test_a_cache_that_cannot_be_written_is_read(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cache, "_open", _raises)
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) == SEEN
        opened.put(OVERLAY, OTHER, SEEN)
        assert opened.get(Observation, OVERLAY, OTHER) is None


def _raises(_: Cache) -> sqlite3.Connection:
    raise sqlite3.OperationalError("attempt to write a readonly database")


def test_a_cache_that_cannot_be_opened_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Cache(tmp_path / "file" / "kept.sqlite") as opened:
        opened.put(OVERLAY, CELL, SEEN)
        assert opened.get(Observation, OVERLAY, CELL) is None


def test_what_nobody_uses_is_forgotten(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + cache.FORGOTTEN_AFTER * 0.6)
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) == SEEN
    monkeypatch.setattr(time, "time", lambda: now + cache.FORGOTTEN_AFTER * 1.2)
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) == SEEN  # used since
    monkeypatch.setattr(time, "time", lambda: now + cache.FORGOTTEN_AFTER * 3)
    with Cache(kept) as opened:
        assert opened.get(Observation, OVERLAY, CELL) is None


def test_the_engine_recalls(tmp_path: Path, miniature: Callable[[str], Overlay]) -> None:
    path = tmp_path / "kept.sqlite"
    with Cache(path) as opened, Engine(cache=opened) as engine:
        first, second = (engine.run(miniature("correct"), CELL) for _ in range(2))
        assert (first.recalled, second.recalled) == (False, True)
        assert replace(second, recalled=False) == first
        assert not engine.run(miniature("correct"), CELL, recall=False).recalled
    with Cache(path) as opened, Engine(cache=opened, fresh=True) as engine:
        assert not engine.run(miniature("correct"), CELL).recalled


def test_what_a_process_alone_showed_is_kept_apart(tmp_path: Path, miniature: Callable[[str], Overlay]) -> None:
    """A failure is made sure of in a new process, once; and what did not repeat is forgotten altogether."""
    overlay = miniature("correct")
    with Cache(tmp_path / "kept.sqlite") as opened, Engine(cache=opened) as engine:
        engine.run(overlay, CELL)
        assert [engine.run(overlay, CELL, alone=True).recalled for _ in range(2)] == [False, True]
        engine.doubt(overlay, CELL)
        assert engine.is_doubted(overlay, CELL)
        assert not engine.is_doubted(overlay, OTHER)
        assert not engine.run(overlay, CELL).recalled
        assert not engine.run(overlay, CELL, alone=True).recalled


def test_nothing_is_kept_of_a_build_that_was_changed(tmp_path: Path) -> None:
    """Not even if its files are as they were again: other code may have run."""
    wheel = make_wheel(tmp_path)
    overlay = builds.prepare(builds.parse(str(wheel)), tmp_path / "cache")
    code = overlay.path / "torch_pruning" / "__init__.py"
    before = code.read_text("utf-8")
    with Cache(tmp_path / "kept.sqlite") as opened, Engine(cache=opened) as engine:
        assert engine.run(overlay, CELL).ending is Ending.FINISHED
        code.write_text(before + "\n# another\n", "utf-8")
        code.write_text(before, "utf-8")
        assert builds.is_whole(overlay)
        found = engine.run(overlay, OTHER)
        assert (found.ending, found.detail) == (Ending.UNIMPORTABLE, engine_module.CHANGED)
        assert opened.get(Observation, overlay, OTHER) is None
        again = builds.prepare(builds.parse(str(wheel)), tmp_path / "cache")
    with Cache(tmp_path / "kept.sqlite") as opened, Engine(cache=opened) as engine:
        assert engine.run(again, CELL).recalled
        assert engine.run(again, OTHER).ending is Ending.FINISHED
