"""What is kept is damaged between two runs, or shared by several at once."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from stage import Case, Stage


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 0x40
        path.write_bytes(content)


def _to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _to_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


#: How a file is damaged.
_WAYS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a bit flipped": _flipped,
    "zeros at its end": lambda path: path.write_bytes(path.read_bytes() + bytes(5000)),
    "gone": Path.unlink,
    "a folder": _to_folder,
    "a link to itself": _to_loop,
    "a pipe": _to_pipe,
}

#: What may stand in the store's rows.
_ROWS = {
    "of another cell": "update kept set value = (select value from kept order by key limit 1)",
    "cut off": "update kept set value = substr(value, 1, length(value) / 2)",
    "no blobs": "update kept set value = 'text'",
    "from the future": "update kept set used = 1 << 60",
    "from before": "update kept set used = -1",
    "none, nor a table": "drop table kept",
    "another table": "drop table kept; create table kept (one int)",
    "of no flaky cells": "drop table unsteady",
}


def cases(stage: Stage) -> Iterator[Case]:
    """Each file that a run keeps, damaged in each way; and several runs at once."""
    for name in _kept(stage):
        for way in _WAYS:
            yield Case("damaged file", f"{name}: {way}", _damaged, (name, way))
    for what, statement in _ROWS.items():
        yield Case("damaged store", f"rows {what}", _rows, (statement,))
    for number in (2, 3, 4):
        for name in ("bad", "fine", "matrix"):
            yield Case("runs at once", f"{number} x {name}", _at_once, ([name] * number,))
    yield Case("runs at once", "bad, fine and matrix", _at_once, (["bad", "fine", "matrix"],))


def _kept(stage: Stage) -> list[str]:
    """The files that a run keeps."""
    with stage.used("matrix") as world:
        cache = world.disk / "cache"
        return [path.relative_to(cache).as_posix() for path in sorted(cache.rglob("*")) if path.is_file()]


def _damaged(stage: Stage, name: str, way: str) -> str:
    with stage.used("matrix") as world:
        _WAYS[way](world.disk / "cache" / name)
        end = world.run(stage.matrix)
        return stage.disturbed("matrix", end) or (stage.recovered("matrix", world) if end.code in (0, 1) else "")


def _rows(stage: Stage, statement: str) -> str:
    with stage.used("matrix") as world:
        with closing(sqlite3.connect(world.disk / "cache" / "kept.sqlite")) as store:
            store.executescript(statement)
        return stage.recovered("matrix", world) or stage.recovered("matrix", world)


def _at_once(stage: Stage, names: list[str]) -> str:
    with stage.world() as world:
        running = [(name, world.begin(stage.does(name))) for name in names]
        for name, process in running:
            end = world.end(process)
            if end.code != stage.undisturbed(name)[1]:
                return f"{name}: it exits with {end.code}: {end.said[-300:]}"
        for name in dict.fromkeys(names):
            shutil.rmtree(world.disk / "results")
            (world.disk / "results").mkdir()
            if wrong := stage.recovered(name, world):
                return wrong
        return ""
