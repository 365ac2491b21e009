"""The text of a file that stands alone: what it has, and what its exit status says."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

import miniatures
from headcount.builds import Overlay
from headcount.defects import REPRODUCERS, Explanation, Outcome
from headcount.errors import UsageError
from headcount.isolation import Engine
from headcount.matrix import Cell, Config, Criterion, Precision, Pruner, Second, Then
from headcount.matrix.cells import known_cells
from headcount.models import Model
from headcount.observation import Ending, Failure, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.reproduce.script import Weights, write

HEADS = Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3), pruning_ratio=Fraction(0))
CELL = Cell(Model(), Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3)))
SMALL = Cell(Model(layers=1), HEADS)
CRASH = Verdict(
    Kind.CRASH,
    failure=Failure("ValueError", "5 of 6 heads are odd", "pruner.algorithms.metapruner._prune", Phase.STEP),
)
TOO_FEW = Verdict(
    Kind.WRONG_HEADS,
    Finding(Rule.HEAD_COUNTS, Kind.WRONG_HEADS, Problem.COUNT, 0, "heads", found=(3,), allowed=(4,), dense=6),
)
UNKNOWN = Explanation(Outcome.UNEXPECTED_FAILURE)
KNOWN = Explanation(Outcome.EXPECTED, "410-total-heads")


def text_of(cell: Cell = CELL, verdict: Verdict = CRASH, explanation: Explanation = UNKNOWN) -> str:
    return write(cell, "1.4.1", verdict, explanation)


def plain_status(overlay: Overlay, path: Path) -> int:
    """The exit status of a file that is run as a stranger runs it."""
    environment = {**os.environ, "PYTHONPATH": f"{overlay.path}{os.pathsep}{REPRODUCERS}"}
    return subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, check=False).returncode


def test_only_what_differs_from_the_defaults_is_in_the_call() -> None:
    text = text_of()
    assert '"head_pruning_ratio": 1 / 3, ' in text
    assert '"prune_num_heads": True, ' in text
    assert "global_pruning" not in text
    assert "iterative_steps" not in text
    ast.parse(text)


def test_the_exit_status_depends_on_what_the_failure_is_known_by() -> None:
    """The numbers of a message differ from run to run."""
    assert 'sys.exit(1 if kind is ValueError and "heads are odd" in str(error) else 125)' in text_of()


def test_what_an_exception_says_is_only_text() -> None:
    """A build chooses what its exceptions are called, and what they say. Neither becomes code."""
    forged = 'X" or __import__("os").abort() or "'
    for changes in ({"exception": forged}, {"message": forged * 2}, {"frame": f"pruner.{forged}"}):
        failure = replace(CRASH.failure, **changes)  # type: ignore[type-var]
        names = {
            node.id
            for node in ast.walk(ast.parse(text_of(verdict=replace(CRASH, failure=failure))))
            if isinstance(node, ast.Name)
        }
        assert "__import__" not in names


def test_a_short_message_does_not_tell_a_failure_from_others() -> None:
    failure = replace(CRASH.failure, exception="OddError", message="7 odd") if CRASH.failure else None
    text = text_of(verdict=replace(CRASH, failure=failure))
    assert 'kind.__name__ == "OddError" and "odd" in str(error) and "_prune" in names else 125' in text


def test_the_title_is_the_known_defect_s() -> None:
    lines = text_of(explanation=KNOWN).splitlines()
    assert lines[4] == '"""Local head pruning crashes: initial_total_heads is set for global pruning only.'
    assert lines[6].startswith("Shows in 1.4.1, fixed in 1.4.2: https://github.com/VainF/Torch-Pruning/issues/410")


def test_the_title_of_what_no_defect_explains() -> None:
    lines = text_of().splitlines()
    assert lines[4].startswith('"""Torch-Pruning 1.4.1: ValueError at step in pruner.algorithms.metapruner._prune')
    assert "No known defect explains it." in lines


def test_a_verdict_that_no_check_is_written_for() -> None:
    finding = Finding(Rule.SIDE_EFFECTS, Kind.SIDE_EFFECT, Problem.HOOKS, where="model")
    with pytest.raises(UsageError, match="no reproducer can be written for side-effect: model"):
        text_of(verdict=Verdict(Kind.SIDE_EFFECT, finding))
    with pytest.raises(UsageError, match="no reproducer can be written for killed"):
        text_of(verdict=Verdict(Kind.KILLED, ending=Ending.GARBAGE, detail="what now"))


FINDINGS = [
    TOO_FEW.finding,
    Finding(Rule.HEAD_COUNTS, Kind.WRONG_HEADS, Problem.TOTAL, None, "heads.0+heads.1", "", (9,), (8,), 12),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_SHAPE, Problem.COUNT, 1, "dims", "", (4,), (8,), 8),
    Finding(Rule.CHANNEL_COUNTS, Kind.WRONG_SHAPE, Problem.COUNT, None, "width", "", (40,), (24, 25), 48),
    Finding(Rule.CHANNEL_COUNTS, Kind.WRONG_SHAPE, Problem.COUNT, 1, "mlp", "", (40,), (24, 36), 72),
    Finding(Rule.CHANNEL_COUNTS, Kind.WRONG_SHAPE, Problem.TOTAL, None, "mlp.0+dims.1", "", (40,), (24,), 80),
    Finding(Rule.REPORTED_HEADS, Kind.DESYNC, Problem.REPORTED, 0, "k", "", (0,), (1,), 8),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_HEADS, Problem.UNEVEN_HEADS, 0, "o", found=(3, 4)),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_HEADS, Problem.UNLIKE_CHANNELS, 0, "vo"),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_HEADS, Problem.UNLIKE_HEADS, 0, "qv"),
    Finding(Rule.LEAST_IMPORTANT, Kind.WRONG_SELECTION, Problem.HEAD_RANKING, 0, "heads", found=(4, 1, 0)),
    Finding(Rule.SIDE_EFFECTS, Kind.SIDE_EFFECT, Problem.TRAINING, None, "True>False", "model"),
    Finding(Rule.SIDE_EFFECTS, Kind.SIDE_EFFECT, Problem.REQUIRES_GRAD, None, "False>True", "query.weight"),
    Finding(Rule.SIDE_EFFECTS, Kind.SIDE_EFFECT, Problem.CHANNEL_GROUPS, None, "", "another pruner", (6,)),
    Finding(Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, Problem.OTHER_INDICES, None, "width", "norm.weight"),
    Finding(Rule.MASKED_OUTPUT, Kind.WRONG_OUTPUT, Problem.OUTPUT, found=(7,)),
]
VERDICTS = [
    *(Verdict(finding.kind, finding) for finding in FINDINGS if finding),
    CRASH,
    Verdict(Kind.BROKEN_FORWARD, failure=Failure("RuntimeError", "shape '[1, 2]' is invalid", "", Phase.FORWARD)),
    Verdict(Kind.KILLED, ending=Ending.KILLED, detail="killed by SIGSEGV"),
]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    "verdict", VERDICTS, ids=lambda v: f"{v.finding.problem}-{v.finding.dimension}" if v.finding else v.kind
)
def test_a_file_is_short_and_plain(
    verdict: Verdict, layers: int, tmp_path: Path, engine: Engine, miniature: Callable[[str], Overlay]
) -> None:
    """On a build that is right it ends with 0; it imports nothing of ours, and one assertion alone is the defect's."""
    frozen = verdict.finding is not None and verdict.finding.problem is Problem.REQUIRES_GRAD
    cell = Cell(Model(layers=layers, mlp=24), replace(HEADS, frozen=frozen))
    path = tmp_path / "shown.py"
    path.write_text(text_of(cell, verdict))
    text = path.read_text()
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 45
    assert all(len(line) <= 120 for line in text.splitlines())
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"copy", "sys", "traceback", "torch", "torch_pruning"}
    asserts = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    blocks = layers if verdict == TOO_FEW or (verdict.finding and verdict.finding.dimension == "dims") else 1
    assert sum("expected" in line for line in asserts) == (blocks if verdict.finding else 0)
    if verdict.finding is None or verdict.finding.dimension in ("heads", "k", "o", "vo", "qv", "False>True", ""):
        assert engine.run_script(miniature("correct"), path).status == 0


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("problem", [Problem.REPORTED, Problem.UNEVEN_HEADS, Problem.UNLIKE_CHANNELS])
def test_in_half_precision_values_are_unlike_too(
    problem: Problem, layers: int, tmp_path: Path, engine: Engine, miniature: Callable[[str], Overlay]
) -> None:
    """A value tells where it was: of 16 bits that are drawn, many are equal."""
    finding = next(found for found in FINDINGS if found and found.problem is problem)
    half = replace(HEADS, precision=Precision.BFLOAT16)
    path = tmp_path / "shown.py"
    path.write_text(text_of(Cell(Model(layers=layers, heads=25), half), Verdict(finding.kind, finding)))
    assert "torch.bfloat16" in path.read_text()
    assert engine.run_script(miniature("correct"), path).status == 0


CALLS = [
    *(replace(HEADS, importance=criterion) for criterion in Criterion),
    replace(HEADS, pruner=Pruner.GROUP_NORM, iterative_steps=2),
    replace(HEADS, precision=Precision.BFLOAT16, importance=Criterion.TAYLOR),
    replace(HEADS, second=Second.SAME, importance=Criterion.HESSIAN),
    replace(HEADS, interactive=True, one_shot=True, iterative_steps=3),
    replace(HEADS, skips_attention=True, output_transform=True, pruner=Pruner.BASE),
    replace(HEADS, second=Second.LOADED, importance=Criterion.TAYLOR, ignored_layers=("LayerNorm", "Conv2d")),
    replace(HEADS, num_heads="kv", ignored_layers=("residual_outputs", "qkv.1"), training=True),
    replace(
        HEADS,
        head_pruning_ratio_dict=((("attention.1",), Fraction(2, 3)), (("query.0",), Fraction(1, 2))),
        pruning_ratio_dict=((("mlp.0", "mlp.1"), Fraction(1, 4)),),
    ),
]


@pytest.mark.parametrize("config", CALLS, ids=lambda config: "-".join(config.extras()) or "plain")
def test_every_way_to_call_is_printed(
    config: Config, tmp_path: Path, engine: Engine, miniature: Callable[[str], Overlay]
) -> None:
    """The call is made in the file, by a build that refuses what it does not know."""
    path = tmp_path / "shown.py"
    weights = Weights(normal=True, synthetic=True)
    path.write_text(write(Cell(Model(mlp=24), config), "1.4.1", CRASH, UNKNOWN, weights))
    assert all(len(line) <= 120 for line in path.read_text().splitlines())
    run = engine.run_script(miniature("correct"), path)
    assert (run.status, run.raised) == (0, "")


@pytest.mark.parametrize("then", Then)
def test_what_the_user_does_next_is_in_the_file(
    then: Then, tmp_path: Path, engine: Engine, miniature: Callable[[str], Overlay]
) -> None:
    """It is done, and on a build that is right nothing is wrong. What takes too many lines is refused."""
    cell = Cell(Model(layers=1, mlp=24), replace(HEADS, then=then))
    problem = Problem.NO_GRADIENT if then is Then.TRAIN else Problem.OTHER_OUTPUT
    failure = Failure("RuntimeError", "it cannot be pickled", "", Phase.USE)
    verdicts = [
        Verdict(Kind.BROKEN_USE, failure=failure),
        *[Verdict(Kind.BROKEN_USE, Finding(Rule.USE, Kind.BROKEN_USE, problem, found=(500,)))]
        * (then is not Then.SAVE_PRETRAINED),
    ]
    for verdict in verdicts if then is not Then.NOTHING else ():
        path = tmp_path / "shown.py"
        if then in (Then.GRADIENTS, Then.BY_HAND):
            with pytest.raises(UsageError, match="no reproducer can be written for broken-use"):
                text_of(cell, verdict)
            continue
        path.write_text(text_of(cell, verdict))
        text = path.read_text()
        assert sum(bool(line.strip()) for line in text.splitlines()) <= 45
        assert all(len(line) <= 120 for line in text.splitlines())
        assert engine.run_script(miniature("correct"), path).status == 0


def test_a_file_can_be_written_of_every_cell() -> None:
    for cell in known_cells().values():
        ast.parse(text_of(cell))


@pytest.mark.parametrize("line", ["import torch\n", "sizes = {", "heads = "])
def test_what_fails_beside_the_call_is_no_defect(line: str, tmp_path: Path) -> None:
    text = text_of(verdict=TOO_FEW)
    assert line in text
    path = tmp_path / "shown.py"
    path.write_text(text.replace(line, f"{{}}['what now']\n{line}", 1))
    overlay = miniatures.build(tmp_path)
    with Engine() as engine:
        run = engine.run_script(overlay, path)
        assert (run.status, "KeyError: 'what now'" in run.said) == (125, True)
    assert plain_status(overlay, path) == 125


@pytest.mark.parametrize(
    ("broken", "status", "plainly"),
    [
        ("raise SystemExit(0)", 125, 0),  # what a build ends, the runner alone sees
        ("raise SystemExit(1)", 125, 1),
        ("def step(*_, **__): raise SystemExit(0)\nMetaPruner.step = step", 125, 0),
        ("MetaPruner.surplus = -1", 125, 125),  # too many: another failure than too few
        ("MetaPruner.count = lambda self, block: self.model_heads", 125, 125),  # the count is not the weights'
        ("MetaPruner.surplus = 1", 1, 1),
        ("", 0, 0),
    ],
)
def test_only_this_failure_is_the_defect(broken: str, status: int, plainly: int, tmp_path: Path) -> None:
    """As we run it, and as a plain script."""
    path = tmp_path / "shown.py"
    path.write_text(text_of(SMALL, TOO_FEW).replace("heads <= 6", "heads <= 4"))
    overlay = miniatures.build(tmp_path)
    (overlay.path / "torch_pruning" / "__init__.py").write_text(f"{miniatures.CORRECT}\n{broken}\n")
    with Engine() as engine:
        assert engine.run_script(overlay, path).status == status
    assert plain_status(overlay, path) == plainly


def test_a_full_disk_changes_no_status(tmp_path: Path) -> None:
    path = tmp_path / "shown.py"
    path.write_text(text_of(verdict=TOO_FEW))
    environment = {**os.environ, "PYTHONPATH": f"{miniatures.build(tmp_path).path}{os.pathsep}{REPRODUCERS}"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, str(path)], env=environment, stdout=full, stderr=full, check=False)
    assert done.returncode in (0, 125)


@pytest.mark.parametrize("broken", ["import os; os.kill(os.getpid(), 11)", "raise SystemExit(1)"])
def test_a_build_that_dies_while_imported_is_no_defect(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.py"
    path.write_text(text_of(SMALL, CRASH))
    overlay = miniatures.build(tmp_path)
    (overlay.path / "torch_pruning" / "__init__.py").write_text(broken)
    with Engine() as engine:
        assert engine.run_script(overlay, path).status in (125, None)


def test_a_slip_is_no_refusal(tmp_path: Path) -> None:
    """Where a call may be refused, not every exception is a refusal."""
    path = tmp_path / "shown.py"
    path.write_text(text_of(Cell(Model(layers=1), replace(HEADS, head_pruning_ratio=Fraction(3, 2))), TOO_FEW))
    overlay = miniatures.build(tmp_path)
    package = overlay.path / "torch_pruning" / "__init__.py"
    for error, status in (("ValueError", 0), ("AttributeError", 125)):
        package.write_text(f"{miniatures.CORRECT}\ndef step(*_, **__): raise {error}\nMetaPruner.__init__ = step\n")
        with Engine() as engine:
            assert engine.run_script(overlay, path).status == status
