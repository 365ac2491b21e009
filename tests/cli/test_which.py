"""`headcount which` and `headcount history`: what they print, what they write, what they exit with."""

import json
from pathlib import Path

import pytest

import miniatures
from headcount.builds import Build, Overlay
from headcount.cli import main
from headcount.defects import recorded
from headcount.environment import environment
from headcount.errors import ExitCode


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))


CELL = "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1"


@pytest.fixture
def _miniatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the releases: 1.4.1 crashes, 1.3.x cannot be imported, all others are right."""

    def prepare(wanted: Build, **_: object) -> Overlay:
        name = {"1.4.1": "crash-step"}.get(wanted.label, "crash-import" if wanted.label < "1.4" else "correct")
        return miniatures.build(tmp_path / wanted.label, name)

    monkeypatch.setattr("headcount.builds.prepare", prepare)


@pytest.mark.usefixtures("_miniatures")
def test_which_release_to_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "told.json"
    assert main(["which", "--heads", "12", "--head-ratio", "1/3", "--json", str(output)]) == ExitCode.CLEAN
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "vit12h-local-prunenum-keepdims-heads1of3-chan1of2-steps1, on 2 blocks:"
    assert [line for line in lines if line.startswith("1.4.1")] == [
        "1.4.1            crash           KeyError at step in __init__.<lambda>: 'step'  [no known defect explains it]"
    ]
    assert lines[2] == "take 1.6.1: the newest that does it right (1.4.0, 1.4.2 to 1.6.0 too)"
    assert lines[3] == "to stay on 1.4.1: no change of the call is known that helps"
    assert lines[5].startswith("1.3.0 to 1.3.7   untestable      RuntimeError")
    assert [line for line in lines if line.startswith("  layernorm-order: ")]
    assert len(lines) <= 24, "the answer is seen without scrolling"
    known = json.loads(output.read_text())
    assert (known["take"], known["releases"]["1.4.1"]["verdict"]) == ("1.6.1", "crash")
    assert "layernorm-order" in known["known_defects_of_it"]


@pytest.mark.parametrize(("name", "code"), [("crash-step", 1), ("crash-import", 3)])
def test_no_release_to_take(
    name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headcount.builds.prepare", lambda b, **_: miniatures.build(tmp_path / b.label, name))
    assert main(["which", "--head-ratio", "0.5", "--global", "--steps", "2", "--head-dims"]) == code
    assert "no release does it right" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        *(["--head-ratio", r] for r in ("3/2", "1", "x", "1/0")),
        ["--head-ratio", "1/3", "--heads", "0"],
        ["--head-ratio", "1/3", "--layers", "65"],
    ],
)
def test_which_wants_a_call_that_can_be(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["which", *words])
    assert ended.value.code == ExitCode.USAGE
    assert "which: error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--model", "dino"], "no such model: dino (there are adaln, adaln_bare, "),
        (["--model", "clip"], "does not run a pruned CLIP, whichever pruner is used"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headcount.cli.which.environment", lambda: {"transformers": "4.57.6"})
    assert main(["which", "--head-ratio", "1/3", *words]) == ExitCode.USAGE
    assert problem in capsys.readouterr().err


@pytest.mark.usefixtures("_miniatures")
def test_which_release_to_take_for_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    cell = "vit3h4b1d8m2c-global-prunenum-prunedims-heads1of3-chan1of2-steps1-one_shot"
    assert main(["which", cell]) == ExitCode.CLEAN
    assert capsys.readouterr().out.splitlines()[0] == f"{cell}, on 4 blocks:"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no call is given"),
        (["--heads", "12"], "no call is given"),
        ([CELL, "--head-ratio", "1/2"], f"{CELL} and options beside it"),
        ([CELL, "--global"], f"{CELL} and options beside it"),
        (["vit-local-prunenum"], "there is no cell 'vit-local-prunenum'"),
    ],
)
def test_which_wants_one_call(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["which", *words]) == ExitCode.USAGE
    assert problem in capsys.readouterr().err


@pytest.mark.usefixtures("_miniatures")
def test_which_release_to_take_where_the_width_stays(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["which", "--head-ratio", "1/3", "--keep-width", "--model", "deit_bare"]
    assert main(words) == ExitCode.CLEAN
    asked = "deit_bare-local-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_residual_outputs, on 2 blocks:"
    assert capsys.readouterr().out.splitlines()[0] == asked


@pytest.mark.usefixtures("_miniatures")
def test_which_release_to_take_for_a_class_a_sum_and_a_step_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["which", "--head-ratio", "1/3", "--ignore", "LayerNorm", "--output-transform", "--skip-attention"]
    assert main(words) == ExitCode.CLEAN
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(
        "vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_LayerNorm-output_transform-skips"
    )


def test_the_history_of_a_defect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As recorded: no build is prepared."""
    output = tmp_path / "said.json"
    assert main(["history", "#410", "eval-mode", "--json", str(output)]) == ExitCode.CLEAN
    found = json.loads(output.read_text())
    assert found["410-total-heads"]["1.4.0"] == {"mark": "fine", "cells": 0}
    assert found["410-total-heads"]["1.4.1"]["mark"] == "shows"
    assert found["410-total-heads"]["1.4.1"]["cells"] > 100
    printed = capsys.readouterr().out.splitlines()
    row = next(line for line in printed if line.startswith("410-total-heads"))
    assert row.split()[1:] == [*"·········X········"]
    assert printed[-1].endswith(f"with transformers {_recorded_version()}")


def _recorded_version() -> str:
    return recorded(environment()["transformers"]).transformers
