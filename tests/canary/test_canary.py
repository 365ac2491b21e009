"""A harness that is broken says nothing of any build: it stops before the first."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import headcount
from headcount import canary
from headcount.builds import Overlay
from headcount.cli import main
from headcount.errors import ExitCode, SetupError
from headcount.isolation import Engine
from headcount.matrix.cells import EDGE_CASES
from headcount.observation import Ending
from helpers import PLAIN, miniature_wheel, run_matrix

#: What is broken in a copy of the harness: where, what stands there, and what in its place; and what then is said.
BROKEN = {
    "an adapter that lies": (
        "models/isotropic.py",
        '"attention_head_size": Number.HEAD_DIM,',
        '"attention_head_size": Number.CHANNELS,',
        "heads1of3-chan0-steps1 is broken-forward",
    ),
    "an adapter that cannot be imported": (
        "models/isotropic.py",
        "import transformers\n",
        "import transformers, gone_tomorrow\n",
        "No module named 'gone_tomorrow'",
    ),
    "weights that are traced wrong": (
        "pruning/trace.py",
        "    return [indices], problem",
        "    return [indices[::-1]], problem",
        "heads1of3-chan0-steps1 is wrong-",
    ),
    "a judge whom all pleases": (
        "oracle/judge.py",
        "    verdict = _judged(",
        "    return Verdict(Kind.OK)\n    verdict = _judged(",
        "heads1of2-chan0-steps1 is ok, and not wrong-heads",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_harness_stops_the_matrix(tmp_path: Path, how: str) -> None:
    place, before, after, says = BROKEN[how]
    copy = tmp_path / "harness" / "headcount"
    shutil.copytree(Path(headcount.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / place).read_text("utf-8")
    assert text.count(before) == 1
    (copy / place).write_text(text.replace(before, after), "utf-8")
    path = os.pathsep.join((str(copy.parent), *filter(None, [os.environ.get("PYTHONPATH")])))
    done = run_matrix(tmp_path, "--build", miniature_wheel(tmp_path, "correct"), "-k", PLAIN, PYTHONPATH=path)
    said = done.stdout + done.stderr
    assert (done.returncode, says in said) == (ExitCode.SETUP, True), said
    assert sum(says in line for line in said.splitlines()) == 1, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["gate", "BUILD", "--base", "BUILD", "--cell", PLAIN, "--results", "r"],
        ["explore", "--build", "BUILD", "--draws", "2", "--results", "r"],
        ["emit", PLAIN, "--build", "BUILD"],
        ["reproduce", "410", "--build", "BUILD"],
    ],
    ids=lambda words: words[0],
)
def test_each_command_opens_with_it(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Engine) -> None:
        raise SetupError("Headcount itself does not work here: broken for this test", "please report it")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("headcount.cli.explore._releases", list)
    monkeypatch.setattr("headcount.canary._checked", [])
    monkeypatch.setattr("headcount.canary.check", broken)
    wheel = miniature_wheel(tmp_path, "correct")
    assert main([wheel if word == "BUILD" else word for word in words]) == ExitCode.SETUP
    assert "headcount: Headcount itself does not work here: broken for this test (please report it)\n" in (
        capsys.readouterr().err
    )


def test_it_is_run_once(miniature: Callable[[str], Overlay], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first thing that a process runs; what was observed before needs none."""
    runs: list[Engine] = []
    monkeypatch.setattr("headcount.canary._checked", [])
    monkeypatch.setattr("headcount.canary.check", runs.append)
    for _ in range(2):
        with canary.Engine() as engine:
            engine.run(miniature("correct"), EDGE_CASES[0])
            engine.run(miniature("correct"), EDGE_CASES[1])
    assert len(runs) == 1


def test_what_the_machine_does_once_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The known build is run again, in a process of its own, before the harness is blamed."""
    found = iter(["of a build that is known, one is killed, and not ok", ""])
    monkeypatch.setattr("headcount.canary._wrong", lambda *_, **__: next(found))
    with Engine() as engine:
        canary.check(engine)
    assert next(found, None) is None


@pytest.mark.parametrize(
    ("name", "why"), [("breaks-networks", "OSError: no layer today"), ("sets-dtype", "RuntimeError: ")]
)
def test_a_build_that_keeps_networks_from_being_made_is_to_blame(
    miniature: Callable[[str], Overlay], name: str, why: str
) -> None:
    """Beside the known build the network can be made: so it is no fault of ours."""
    with canary.Engine() as engine:
        found = engine.run(miniature(name), EDGE_CASES[0])
    assert found.ending is Ending.UNIMPORTABLE
    assert found.detail.startswith(f"beside it the network cannot be made: {why}")


def test_it_is_right_here() -> None:
    with Engine() as engine:
        canary.check(engine)
