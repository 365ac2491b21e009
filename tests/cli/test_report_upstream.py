"""`headcount report-upstream`, and `emit` of all that a release does wrong: the text and the files of issues."""

import ast
from pathlib import Path

import pytest

from headcount.cli import main
from headcount.defects import DEFECTS, defect
from headcount.errors import ExitCode
from headcount.observation import ScriptRun


def test_the_text_of_an_issue_has_all_that_a_maintainer_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report-upstream", "layernorm-order"]) == ExitCode.CLEAN
    text = capsys.readouterr().out
    known = defect("layernorm-order")
    assert text.startswith("# LayerNorm's surviving gains and biases are shuffled")
    assert "| seen with | Torch-Pruning 1.6.1, python 3." in text
    assert "| shows in | 1.3.0 to 1.6.1, the newest release |" in text
    assert f"> {known.breaks}" in text
    assert "AssertionError: " in text
    assert ", expected [" in text
    assert "torch-pruning==1.6.1" in text
    assert str(Path.cwd()) not in text


def test_what_was_reported_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report-upstream", "410"]) == ExitCode.CLEAN
    text = capsys.readouterr().out
    assert "Already reported: https://github.com/VainF/Torch-Pruning/issues/410." in text
    assert "| shows in | 1.4.1, and no longer in later ones |" in text


def test_a_file_that_shows_nothing_is_no_issue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("headcount.isolation.Engine.run_script", lambda *_, **__: ScriptRun(0, "as expected"))
    assert main(["report-upstream", "410"]) == ExitCode.INDETERMINATE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "does not show it on 1.4.1: it ends with 0" in printed.err


def test_all_that_a_release_does_wrong_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file and an issue for each defect, of whatever family; what has no file is named."""
    wanted = [known for known in DEFECTS if known.id in ("layernorm-order", "fused-index", "410-total-heads")]
    monkeypatch.setattr("headcount.defects.DEFECTS", wanted)
    folder = tmp_path / "open"
    assert main(["emit", "1.6.1", "-o", str(folder)]) == ExitCode.CLEAN
    assert "2 of the 2 defects of 1.6.1, each a file and an issue" in capsys.readouterr().err
    names = ["fused-index.md", "fused_index.py", "layernorm-order.md", "layernorm_order.py"]
    assert sorted(path.name for path in folder.iterdir()) == names
    ast.parse((folder / "fused_index.py").read_text())
    assert "`python fused_index.py` ends with" in (folder / "fused-index.md").read_text()
    assert main(["emit", "1.6.1", "-o", str(folder)]) == ExitCode.USAGE
    assert main(["emit", "1.6.1"]) == ExitCode.USAGE
    assert "-o FOLDER says where their files go" in capsys.readouterr().err
