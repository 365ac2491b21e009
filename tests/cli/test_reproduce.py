"""`headcount reproduce`: what it prints and exits with, on releases and on builds of one's own."""

from pathlib import Path

import pytest

from headcount.builds import Overlay
from headcount.cli import main
from headcount.errors import ExitCode
from headcount.observation import ScriptRun

OK, DEFECT = ScriptRun(0, "as expected"), ScriptRun(1, "", "AssertionError: that")
UNTESTED, KILLED = ScriptRun(125, "cannot be tested"), ScriptRun(None, "")


@pytest.fixture
def _overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    """No build is installed: the test says what a file does."""
    monkeypatch.setattr("headcount.builds.prepare", lambda b, say: Overlay(b.label, Path(), b.spec, ""))


@pytest.mark.usefixtures("_overlays")
@pytest.mark.parametrize(
    ("bad", "good", "code"),
    [(DEFECT, OK, 0), (OK, OK, 1), (DEFECT, DEFECT, 1), (DEFECT, KILLED, 3), (UNTESTED, OK, 3), (OK, UNTESTED, 1)],
)
def test_reproduce_compares_with_the_catalogue(
    bad: ScriptRun, good: ScriptRun, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "headcount.isolation.engine.Engine.run_script",
        lambda _self, overlay, _path: bad if overlay.label == "1.4.1" else good,
    )
    assert main(["reproduce", "410"]) == code
    assert f"2 runs: {(bad is DEFECT) + (good is OK)} as the catalogue states" in capsys.readouterr().out


@pytest.mark.usefixtures("_overlays")
@pytest.mark.parametrize(("status", "code"), [(0, 0), (1, 1), (125, 3), (None, 3)])
def test_reproduce_on_a_build(status: int | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.isolation.engine.Engine.run_script", lambda *_: ScriptRun(status, ""))
    assert main(["reproduce", "410-total-heads", "--build", "1.5.3"]) == code


def test_a_reproducer_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "999"]) == ExitCode.USAGE
    assert "there is no defect '999' (the nearest are" in capsys.readouterr().err


@pytest.mark.usefixtures("_overlays")
def test_what_this_transformers_lacks_is_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DINOv3 alone shows it."""
    monkeypatch.setattr("headcount.cli.reproduce.environment", lambda: {"transformers": "4.49.0"})
    monkeypatch.setattr(
        "headcount.isolation.engine.Engine.run_script",
        lambda _self, overlay, _path: DEFECT if overlay.label == "1.4.1" else OK,
    )
    assert main(["reproduce", "split-tokens", "410"]) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    assert "n/a  split-tokens     DINOv3 came with transformers 4.56, this is 4.49.0\n" in printed
    assert "2 runs: 2 as the catalogue states, 0 not" in printed
    assert main(["reproduce", "split-tokens"]) == ExitCode.INDETERMINATE
