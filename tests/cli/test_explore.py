"""headcount explore: what it prints, writes and exits with, on fake builds; and what it refuses."""

from pathlib import Path

import pytest

from headcount import results
from headcount.cli import main
from headcount.errors import ExitCode
from helpers import miniature_wheel


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No other release is looked at: that would take the index."""
    monkeypatch.setattr("headcount.cli.explore._releases", list)
    monkeypatch.chdir(tmp_path)


def explore(tmp_path: Path, name: str, *options: str) -> int:
    wheel = miniature_wheel(tmp_path, name)
    folder = str(tmp_path / "r")
    return main(["explore", "--build", wheel, "--draws", "12", "--seed", "3", "--results", folder, *options])


def test_a_correct_build_has_nothing_to_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explore(tmp_path, "correct") == ExitCode.CLEAN
    printed = capsys.readouterr().out
    assert "12 calls: 12 ok" in printed
    (rows,) = (tmp_path / "r").glob("*.jsonl")
    assert len(results.read(rows).rows) == 12
    assert results.read(rows).complete


def test_a_kind_that_nothing_explains_is_shrunk_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explore(tmp_path, "wrong-heads") == ExitCode.REGRESSION
    printed = capsys.readouterr().out
    assert "smallest call: vit" in printed
    entries = list((tmp_path / "r").glob("*-entry.txt"))
    assert entries
    assert all(entry.read_text("utf-8").startswith("Defect(\n") for entry in entries)


def test_two_builds_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    other = miniature_wheel(tmp_path / "other", "correct")
    assert explore(tmp_path, "wrong-heads", "--against", other) == ExitCode.REGRESSION
    assert "of 12 calls come to something else" in capsys.readouterr().out
    assert explore(tmp_path / "other", "correct", "--against", other) == ExitCode.CLEAN


@pytest.mark.parametrize(
    "options",
    [("--draws", "0"), ("--seconds", "-1"), ("--seed", "one"), ("--draws", "3", "--seconds", "3")],
    ids=["no draws", "no time", "no seed", "both"],
)
def test_what_is_no_call_is_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explore", *options])
    assert ended.value.code == ExitCode.USAGE


def test_a_family_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--model", "resnet"]) == ExitCode.USAGE
    assert "no such family: resnet" in capsys.readouterr().err
