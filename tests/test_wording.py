"""English is made in one place, and nothing depends on what it says."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import FunctionType

import pytest

import headcount
from headcount import wording
from headcount.builds import Overlay
from headcount.cli import main
from headcount.examine import Examined, examine
from headcount.isolation import Engine
from headcount.matrix import Cell, Config
from headcount.models import Model
from headcount.observation import Ending, Failure, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from helpers import miniature_wheel

Miniature = Callable[[str], Overlay]

PACKAGE = Path(headcount.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FUNCTIONS = {name: found for name, found in vars(wording).items() if isinstance(found, FunctionType)}

HEADS = Config(prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=Fraction(1, 3))
CELL = Cell(Model(heads=3), HEADS)
BUILDS = ("correct", "wrong-heads", "wrong-selection", "desync", "partial-heads", "wrong-output", "altered-weight")
MORE = ("wrong-channels", "crash-step", "crash-construct", "exit-zero", "crash-import")


def garbled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FUNCTIONS:
        monkeypatch.setattr(wording, name, lambda *_, **__: "garbage")


def seen(found: Examined) -> tuple[object, ...]:
    return found.verdict, found.explanation


@pytest.mark.parametrize("name", [*BUILDS, *MORE])
def test_garbage_changes_no_verdict(
    engine: Engine, miniature: Miniature, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(examine(engine, miniature(name), CELL))
    garbled(monkeypatch)
    assert wording.reason(Verdict(Kind.OK)) == "garbage"
    assert seen(examine(engine, miniature(name), CELL)) == before


@pytest.mark.parametrize(("name", "status"), [("correct", 0), ("wrong-heads", 1), ("crash-import", 3)])
def test_garbage_changes_no_exit_code(tmp_path: Path, name: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a gate, on six cells: both builds examined, compared, explained, written down, told."""
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [Cell(Model(heads=n), HEADS) for n in (3, 6)])
    base = miniature_wheel(tmp_path, "correct", "1.6.1")
    candidate = miniature_wheel(tmp_path, name, "1.6.2")
    words = ["gate", candidate, "--base", base, "--fresh", "--draws", "4", "--results"]
    assert main([*words, str(tmp_path / "said")]) == status
    garbled(monkeypatch)
    assert main([*words, str(tmp_path / "garbled")]) == status


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_evaluated(path: Path) -> None:
    """Python's eval, exec and compile are used nowhere in the package."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    names = {node.id for node in calls if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec", "compile"}


def patterns(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each literal that a function of `re` gets."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=args):
                texts = (arg for arg in args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
                yield from ((text.lineno, str(text.value)) for text in texts)


def test_no_sentence_is_matched() -> None:
    """No regular expression outside the wording has four words in a row of one of its sentences."""
    tree = ast.parse(inspect.getsource(wording))
    literals = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    words = [re.findall(r"[a-z']+", text) for text in literals if isinstance(text, str)]
    runs = {" ".join(found[i : i + 4]) for found in words for i in range(len(found) - 3)}
    assert "a channel went that" in runs
    for path in MODULES:
        if path.name != "wording.py":
            assert not [(path, line) for line, text in patterns(path) for run in runs if run in text]


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_has_a_sentence(problem: Problem) -> None:
    found = Finding(Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, problem, 0, "q", "a.weight", (3, 2, 1), (4,), 6)
    sentence = wording.finding(found)
    assert len(sentence) > 10
    assert "{" not in sentence


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict(Kind.OK), ""),
        (Verdict(Kind.KILLED, ending=Ending.KILLED, detail="killed by SIGSEGV"), "killed by SIGSEGV"),
        (Verdict(Kind.KILLED, ending=Ending.GARBAGE, detail="no JSON"), "garbage: no JSON"),
        (Verdict(Kind.UNTESTABLE, ending=Ending.TIMEOUT, detail="no answer"), "timeout: no answer"),
        (
            Verdict(Kind.NOT_APPLICABLE, ending=Ending.FINISHED),
            "no pruner can do more: this model's own code has sizes fixed",
        ),
        (
            Verdict(Kind.NOT_APPLICABLE, ending=Ending.FINISHED, detail="RuntimeError"),
            "no pruner can do more: the dense model cannot do it either: RuntimeError",
        ),
    ],
)
def test_why(verdict: Verdict, says: str) -> None:
    assert wording.reason(verdict) == says


def test_counts_and_ranges() -> None:
    assert [wording.counts(c) for c in ({4}, {3, 4, 5}, {0, 6})] == ["4", "3 to 5", "0 or 6"]
    assert wording.ranges(["1.3.1", "1.3.2", "1.4.2"]) == "1.3.1 to 1.3.2, 1.4.2"


def test_what_a_build_says_is_printable() -> None:
    """A lone surrogate cannot be encoded: it would end the process that reports it."""
    failure = Failure("E\x1b[2J", "\ud800 one\ntwo", "pruner.\udfff", Phase.STEP)
    said = wording.verdict(Verdict(Kind.CRASH, failure=failure))
    assert said.encode("utf-8").decode().isprintable()
