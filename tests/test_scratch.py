"""Temporary folders: gone when they are closed, and when their run is; those of others stay."""

import os
import time
from pathlib import Path

import pytest

from headcount import scratch


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch.clear.cache_clear()
    return tmp_path


def test_a_folder_that_cannot_be_held_is_not_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space today")

    monkeypatch.setattr("fcntl.flock", full)
    with pytest.raises(OSError, match="no space today"):
        scratch.Folder()
    assert not list(folder.iterdir())


def test_what_belongs_to_no_run_is_removed(folder: Path) -> None:
    """With an owner at once; without one when it is old and empty, as it is nobody's until then."""
    for name in ("headcount-owned", "headcount-empty", "headcount-others", "headcount-new", "another"):
        (folder / name).mkdir()
    (folder / "headcount-owned" / "home").mkdir()
    (folder / "headcount-owned" / "owner").touch()
    (folder / "headcount-others" / "file").touch()
    for path in folder.iterdir():
        if path.name != "headcount-new":
            os.utime(path, (time.time() - 600,) * 2)
    scratch.clear()
    assert {path.name for path in folder.iterdir()} == {"headcount-others", "headcount-new", "another"}


def test_no_place_for_one_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("no usable temporary folder")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    scratch.clear()
