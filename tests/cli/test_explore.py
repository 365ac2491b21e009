"""headcount explore: what it prints, writes and exits with, on fake builds; and what it refuses."""

import errno
from functools import partial
from pathlib import Path

import pytest

from headcount import oracle, results
from headcount.canary import Engine
from headcount.cli import main
from headcount.defects.defect import Breaks, Raises
from headcount.errors import ExitCode, HeadcountError
from headcount.results import Row, Writer
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
    printed = capsys.readouterr().out
    assert printed.startswith("WORSE: vit")
    assert "of 12 calls come to something else" in printed
    assert explore(tmp_path / "other", "correct", "--against", other) == ExitCode.CLEAN
    assert "0 of 12 calls come to something else, 0 of them for the worse" in capsys.readouterr().out


def test_what_is_better_is_no_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    worse = miniature_wheel(tmp_path / "other", "wrong-heads")
    assert explore(tmp_path, "correct", "--against", worse) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    assert "WORSE" not in printed
    assert "of them for the worse" in printed
    assert "0 of 12 calls" not in printed


@pytest.mark.parametrize(("build", "base"), [("crash-import", "correct"), ("correct", "crash-import")])
def test_a_comparison_with_what_cannot_be_tested_is_undecided(build: str, base: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = miniature_wheel(tmp_path / "other", base)
    assert explore(tmp_path, build, "--against", other) == ExitCode.INDETERMINATE


def test_both_builds_are_asked_the_same_calls_where_time_decides(tmp_path: Path) -> None:
    wheel = miniature_wheel(tmp_path, "correct")
    words = ["--build", wheel, "--against", wheel, "--seconds", "0.001", "--results", str(tmp_path / "r")]
    assert main(["explore", *words]) == ExitCode.CLEAN
    one, two = (results.read(path).rows for path in (tmp_path / "r").glob("*.jsonl"))
    assert len(one) > 0
    assert [row.cell for row in one] == [row.cell for row in two]


@pytest.mark.parametrize("name", ["crash-import", "exit-import"])
def test_a_build_that_cannot_be_imported(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explore(tmp_path, name) == ExitCode.INDETERMINATE
    printed = capsys.readouterr().out
    assert "12 calls: 12 untestable\n  untestable: " in printed
    assert "0 fail" in printed


def test_a_build_that_hangs_is_not_waited_for_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headcount.canary.Engine", partial(Engine, cell_timeout=0.5))
    assert explore(tmp_path, "hang") == ExitCode.REGRESSION
    printed = capsys.readouterr().out
    assert "1. timeout: " in printed
    assert "no file: a call that has no end is not shrunk" in printed


def test_fresh_looks_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explore(tmp_path, "wrong-heads") == ExitCode.REGRESSION

    def get(*_: object, **__: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr("headcount.isolation.Cache.get", get)
    other = ("--results", str(tmp_path / "other"))
    assert explore(tmp_path, "wrong-heads", "--fresh", *other) == ExitCode.REGRESSION
    assert explore(tmp_path, "wrong-heads", "--results", str(tmp_path / "third")) == ExitCode.SETUP  # it did look


def test_what_was_found_is_told_if_it_is_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Writer.write

    def write(self: Writer, row: Row) -> None:
        if self._verdicts.total() == 5:
            raise KeyboardInterrupt
        written(self, row)

    monkeypatch.setattr("headcount.results.Writer.write", write)
    assert explore(tmp_path, "correct") == 130
    printed = capsys.readouterr()
    assert "seed 3: 5 calls: 5 ok" in printed.out
    assert "the same call goes on" in printed.err
    (rows,) = (tmp_path / "r").glob("*.jsonl")
    assert (len(results.read(rows).rows), results.read(rows).complete) == (5, False)


def test_kinds_are_told_though_the_disk_is_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_new(path: Path, _: str) -> None:
        raise HeadcountError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("headcount.cli.shared.write_new", write_new)
    assert explore(tmp_path, "wrong-heads") == ExitCode.SETUP
    printed = capsys.readouterr()
    assert "smallest call: vit" in printed.out
    assert "rows: " in printed.out
    assert "-entry.txt: No space left on device" in printed.err


def test_rows_that_cannot_be_written_end_it_and_what_was_found_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Writer.write

    def write(self: Writer, row: Row) -> None:
        if self._verdicts.total() == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, row)

    monkeypatch.setattr("headcount.results.Writer.write", write)
    assert explore(tmp_path, "correct") == ExitCode.SETUP
    printed = capsys.readouterr()
    assert "cut off: " in printed.out
    assert "seed 3: 5 calls: 5 ok" in printed.out
    assert "No space left on device (--results DIR names a folder)" in printed.err


def test_an_entry_is_written_as_the_catalogue_is(tmp_path: Path) -> None:
    """It can be read with the catalogue's own names, and its signature is that of the call that it names."""
    assert explore(tmp_path, "wrong-heads") == ExitCode.REGRESSION
    for file in (tmp_path / "r").glob("*-entry.txt"):
        text = file.read_text("utf-8")
        signature = text.partition("signature=")[2].partition(",\n")[0]
        (sign,) = eval(signature, {"Breaks": Breaks, "Raises": Raises, "oracle": oracle})  # noqa: S307 - just written
        assert isinstance(sign, Breaks)
        assert "'" not in signature


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
