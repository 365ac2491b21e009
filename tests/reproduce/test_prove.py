"""A file is given out once its own run has shown the failure."""

import ast
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import miniatures
from headcount.builds import Overlay
from headcount.defects import Explanation, Outcome
from headcount.examine import examine
from headcount.isolation import Engine
from headcount.matrix import Cell, Config, Second, Then
from headcount.models import Model
from headcount.observation import Ending, Failure, Phase, ScriptRun
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.reproduce.prove import proven_script, shows

HEADS = Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3), pruning_ratio=Fraction(0))
SMALL = Cell(Model(layers=1), HEADS)
UNKNOWN = Explanation(Outcome.UNEXPECTED_FAILURE)

CRASH = Verdict(Kind.CRASH, failure=Failure("ValueError", "5 of 6 heads are odd", "metapruner._prune", Phase.STEP))
TOO_FEW = Verdict(
    Kind.WRONG_HEADS,
    Finding(Rule.HEAD_COUNTS, Kind.WRONG_HEADS, Problem.COUNT, 0, "heads", found=(3,), allowed=(4,), dense=6),
)
SEGFAULT = Verdict(Kind.KILLED, ending=Ending.KILLED, detail="killed by SIGSEGV")
EXITED = Verdict(Kind.KILLED, ending=Ending.KILLED, detail="exited with status 0")
HANGS = Verdict(Kind.TIMEOUT, ending=Ending.TIMEOUT, detail="no answer within 60 s")

RAISED = ScriptRun(1, "", "ValueError: 4 of 6 heads are odd", "metapruner._prune", (31,))
ASSERTED = ScriptRun(1, "", "AssertionError: 3 heads are left, expected 4", "", (33,))


@pytest.mark.parametrize(
    ("verdict", "run", "shown"),
    [
        (CRASH, RAISED, True),
        (CRASH, ScriptRun(0, "no exception, as expected\n"), False),
        (CRASH, ScriptRun(None, "", why="SIGSEGV"), False),
        (CRASH, replace(RAISED, status=125), False),
        (CRASH, replace(RAISED, raised="TypeError: 4 of 6 heads are odd"), False),
        (CRASH, replace(RAISED, raised="ValueError: 4 of 6 heads are even"), False),
        (CRASH, replace(RAISED, frame="metapruner.step"), False),
        (TOO_FEW, ASSERTED, True),
        (TOO_FEW, replace(ASSERTED, status=125), False),
        (TOO_FEW, replace(ASSERTED, frame="metapruner._prune"), False),
        (TOO_FEW, RAISED, False),
        (SEGFAULT, ScriptRun(None, "", why="SIGSEGV"), True),
        (SEGFAULT, ScriptRun(None, "", why="SIGKILL"), False),
        (SEGFAULT, RAISED, False),
        (EXITED, ScriptRun(125, "", why="it ended before it could say how"), True),
        (EXITED, ScriptRun(125, "", "KeyError: 'step'"), False),
        (EXITED, ScriptRun(0, ""), False),
        (HANGS, ScriptRun(None, "", why="no end within 300 s"), True),
        (HANGS, ScriptRun(None, "", why="SIGKILL"), False),
        (HANGS, ScriptRun(0, ""), False),
    ],
)
def test_proof_is_the_same_failure(verdict: Verdict, run: ScriptRun, shown: bool) -> None:
    assert shows(verdict, run) is shown


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [
        ("wrong-heads", HEADS, Kind.WRONG_HEADS),
        ("wrong-selection", HEADS, Kind.WRONG_SELECTION),
        ("desync", HEADS, Kind.DESYNC),
        ("partial-heads", HEADS, Kind.WRONG_HEADS),
        ("wrong-output", Config(), Kind.WRONG_OUTPUT),
        ("wrong-output", HEADS, Kind.WRONG_OUTPUT),
        ("thaws", replace(HEADS, frozen=True), Kind.SIDE_EFFECT),
        ("shares-groups", replace(HEADS, second=Second.OTHER), Kind.SIDE_EFFECT),
        ("keeps-a-hook", replace(HEADS, then=Then.SAVE), Kind.BROKEN_USE),
        ("one-image", replace(HEADS, then=Then.BATCH), Kind.BROKEN_USE),
        ("no-gradient", replace(HEADS, then=Then.TRAIN), Kind.BROKEN_USE),
        ("crash-construct", HEADS, Kind.CRASH),
        ("segfault", HEADS, Kind.KILLED),
        ("exit-zero", HEADS, Kind.KILLED),
        ("hang", HEADS, Kind.TIMEOUT),
    ],
)
def test_every_kind_of_failure_has_its_file(name: str, config: Config, kind: Kind, tmp_path: Path) -> None:
    """It shows the failure on a build that has it, and ends with 0 on one that has not."""
    bad, good = miniatures.build(tmp_path, name), miniatures.build(tmp_path)
    patience = 3 if kind is Kind.TIMEOUT else 60
    with Engine(cell_timeout=patience, script_timeout=10 * patience) as engine:
        cell = Cell(Model(layers=1), config)
        assert examine(engine, bad, cell).verdict.kind is kind
        path = tmp_path / "shown.py"
        path.write_text(proven_script(engine, bad, cell, UNKNOWN))
        assert engine.run_script(good, path).status == 0


def raising(folder: Path, message: str) -> Overlay:
    """A build whose step raises a message."""
    overlay = miniatures.build(folder)
    code = f"{miniatures.CORRECT}\ndef step(*_, **__): raise RuntimeError({message!r})\nMetaPruner.step = step\n"
    (overlay.path / "torch_pruning" / "__init__.py").write_text(code)
    return overlay


@pytest.mark.parametrize(
    "message", ["\x00 and \x1b[2J", "\nnext line", '"quoted" \\ {braces}', '"""' + "'''" + " done", "", "7 " * 400]
)
def test_whatever_an_exception_says(message: str, tmp_path: Path) -> None:
    """The file has no control characters, compiles, and is proven."""
    with Engine() as engine:
        text = proven_script(engine, raising(tmp_path, message), SMALL, UNKNOWN)
    ast.parse(text)
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_build_that_is_no_release_is_not_pinned(tmp_path: Path) -> None:
    overlay = replace(miniatures.build(tmp_path, "crash-step"), label="clone@883f800e4c")
    with Engine() as engine:
        text = proven_script(engine, overlay, SMALL, UNKNOWN)
    assert "Torch-Pruning clone@883f800e4c (it says 1.6.1): KeyError at step" in text
    assert '"torch-pruning"]' in text
