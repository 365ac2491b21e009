"""The text of a standalone file: what it holds, and when its run is taken for proof."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import miniatures
from headcount.bisect import probe as probing
from headcount.reproduce import prove as reproduction
from headcount.reproduce import script as scripts
from headcount.builds import RELEASES
from headcount.matrix.config import Config
from headcount.defects import catalogue
from headcount.isolation.engine import Engine
from headcount.errors import UsageError
from headcount.matrix import Cell
from headcount.models import Model
from headcount.oracle.verdict import Kind, Signature, Verdict, normalised

FOLDER = Path(__file__).parents[1] / "reproducers"
CELL = Cell(Model(), Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3)))
CRASH = Verdict(
    Kind.CRASH,
    "ValueError at step in pruner.algorithms.metapruner._prune: 5 of 6 heads are odd",
    Signature(Kind.CRASH, "ValueError", "N of N heads are odd", "pruner.algorithms.metapruner._prune"),
)
RAISED = """\
  File "/somewhere/torch_pruning/pruner/algorithms/metapruner.py", line 7, in _prune
    raise ValueError("4 of 6 heads are odd")
ValueError: 4 of 6 heads are odd
expected: no exception
happened: ValueError: 4 of 6 heads are odd
"""


def wrong(reason: str) -> Verdict:
    return Verdict(Kind.WRONG_HEADS, reason, Signature(Kind.WRONG_HEADS, message=normalised(reason)))


def test_only_what_differs_from_the_defaults_is_in_the_call() -> None:
    text = scripts.write(CELL, "1.4.1", CRASH)
    assert "head_pruning_ratio=1 / 3," in text
    assert "prune_num_heads=True," in text
    assert "global_pruning" not in text
    assert "iterative_steps" not in text
    ast.parse(text)


def test_the_exit_status_asks_for_what_the_failure_is_known_by() -> None:
    """The numbers of a message differ from run to run, and are not asked for."""
    assert 'isinstance(error, ValueError) and "heads are odd" in str(error)' in scripts.write(CELL, "1.4.1", CRASH)


def test_a_verdict_that_no_check_is_written_for() -> None:
    with pytest.raises(UsageError, match="no reproducer can be written for wrong-heads: what now"):
        scripts.write(CELL, "1.4.1", wrong("what now"))


@pytest.mark.parametrize(
    ("status", "printed", "doubt"),
    [
        (1, RAISED, ""),
        (0, "no exception, as expected\n", "it exits with 0 and says 'no exception, as expected'"),
        (None, "", "it exits with None and says 'nothing printed'"),
        (1, RAISED.replace("ValueError", "TypeError"), "it raises TypeError, not ValueError"),
        (1, RAISED.replace("are odd", "are even"), "it says 'N of N heads are even', not 'N of N heads are odd'"),
        (1, RAISED.replace("_prune", "step"), "it fails in pruner.algorithms.metapruner.step"),
    ],
)
def test_proof_is_the_same_signature(status: int | None, printed: str, doubt: str) -> None:
    found = scripts.unproven(CRASH, status, printed)
    assert found.startswith(doubt) if doubt else found == ""


def test_proof_of_a_wrong_count_is_the_same_sentence() -> None:
    verdict = wrong("block 0: 1 heads are left, 2 should be: too few")
    assert scripts.unproven(verdict, 1, "happened: block 1: 3 heads are left, 4 should be: too few\n") == ""
    assert scripts.unproven(verdict, 1, "happened: block 1: 5 heads are left, 4 should be: too many\n") != ""


def test_the_frame_is_the_build_s(tmp_path: Path) -> None:
    """A checkout's own folder may bear the package's name."""
    printed = RAISED.replace("/somewhere/", "/torch_pruning/")
    assert scripts.unproven(CRASH, 1, printed) == ""


HEADS = Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3), pruning_ratio=Fraction(0))


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
        ("crash-construct", HEADS, Kind.CRASH),
        ("segfault", HEADS, Kind.KILLED),
        ("exit-zero", HEADS, Kind.KILLED),
        ("hang", HEADS, Kind.TIMEOUT),
    ],
)
def test_every_kind_of_failure_has_its_file(
    name: str, config: Config, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the failure on a build that has it, and ends with 0 on one that has not."""
    monkeypatch.setattr("headcount.reproduce.script._PATIENCE", 12)
    bad, good = miniatures.build(tmp_path, name), miniatures.build(tmp_path)
    with Engine(cell_timeout=2) as engine:
        cell = Cell(Model(layers=1), config)
        assert probing.verdict_on(engine, bad, cell).kind is kind
        path = tmp_path / "shown.py"
        path.write_text(reproduction.proven_script(engine, bad, cell))
        assert engine.run_script(good, path).status == 0


@pytest.mark.parametrize("line", ["import torch\n", "HEADS, HEAD_DIM", "heads = ["])
def test_what_fails_beside_the_call_is_no_defect(line: str, tmp_path: Path) -> None:
    text = scripts.write(CELL, "1.4.1", wrong("block 0: 1 heads are left, 2 should be: too few"))
    assert line in text
    path = tmp_path / "shown.py"
    path.write_text(text.replace(line, f"{{}}['what now']\n{line}", 1))
    with Engine() as engine:
        run = engine.run_script(miniatures.build(tmp_path), path)
        assert (run.status, "KeyError: 'what now'" in run.said) == (125, True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "correct")}
    assert subprocess.run([sys.executable, str(path)], env=environment, check=False).returncode == 125


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        ("raise SystemExit(0)", 125),
        ("raise SystemExit(1)", 125),
        ("def step(*_, **__): raise SystemExit(0)\nMetaPruner.step = step", 125),
        ("MetaPruner.surplus = -1", 125),  # too many: another failure than too few
        ("MetaPruner.count = lambda self, block: self.model_heads", 125),  # the count is not the weights'
        ("MetaPruner.surplus = 1", 1),
        ("", 0),
    ],
)
def test_only_this_failure_is_the_defect(broken: str, status: int, tmp_path: Path) -> None:
    """As a plain script, and as we run it."""
    cell = Cell(Model(layers=1), HEADS)
    path = tmp_path / "shown.py"
    path.write_text(scripts.write(cell, "1.4.1", wrong("block 0: 1 heads are left, 2 should be: too few")))
    overlay = miniatures.build(tmp_path)
    (overlay.path / "torch_pruning" / "__init__.py").write_text(f"{miniatures.CORRECT}\n{broken}\n")
    with Engine() as engine:
        assert engine.run_script(overlay, path).status == status
    environment = {**os.environ, "PYTHONPATH": f"{overlay.path}{os.pathsep}{FOLDER}"}
    done = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, check=False)
    assert done.returncode == status, done.stderr


def test_a_full_disk_changes_no_status(tmp_path: Path) -> None:
    path = tmp_path / "shown.py"
    path.write_text(scripts.write(CELL, "1.4.1", wrong("block 0: 1 heads are left, 2 should be: too few")))
    environment = {**os.environ, "PYTHONPATH": f"{miniatures.build(tmp_path).path}{os.pathsep}{FOLDER}"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, str(path)], env=environment, stdout=full, stderr=full, check=False)
    assert done.returncode in (0, 125)


@pytest.mark.parametrize("broken", ["import os; os.kill(os.getpid(), 11)", "raise SystemExit(1)"])
def test_a_build_that_dies_while_imported_is_untestable(broken: str, tmp_path: Path) -> None:
    cell = Cell(Model(layers=1), HEADS)
    died = Verdict(Kind.KILLED, "killed by SIGSEGV", Signature(Kind.KILLED, message="killed by SIGSEGV"))
    path = tmp_path / "shown.py"
    path.write_text(scripts.write(cell, "1.4.1", died))
    overlay = miniatures.build(tmp_path)
    (overlay.path / "torch_pruning" / "__init__.py").write_text(broken)
    with Engine() as engine:
        assert engine.run_script(overlay, path).status == 125


@pytest.mark.parametrize(
    "message", ["\x00 and \x1b[2J", "\nnext line", '"quoted" \\ {braces}', '"""' + "'''" + " done", "", "7 " * 400]
)
def test_whatever_an_exception_says(message: str, tmp_path: Path) -> None:
    """The file holds no control characters, compiles, and is proven."""
    overlay = miniatures.build(tmp_path)
    code = f"{miniatures.CORRECT}\ndef step(*_, **__): raise RuntimeError({message!r})\nMetaPruner.step = step\n"
    (overlay.path / "torch_pruning" / "__init__.py").write_text(code)
    with Engine() as engine:
        text = reproduction.proven_script(engine, overlay, Cell(Model(layers=1), HEADS))
    ast.parse(text)
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_build_that_is_no_release_is_not_pinned(tmp_path: Path) -> None:
    overlay = replace(miniatures.build(tmp_path, "crash-step"), label="clone@883f800e4c")
    with Engine() as engine:
        text = reproduction.proven_script(engine, overlay, Cell(Model(layers=1), HEADS))
    assert "with clone@883f800e4c (it says 1.6.1)" in text
    assert '"torch-pruning"]' in text


def test_a_slip_is_no_refusal(tmp_path: Path) -> None:
    """Where a call may be refused, not every exception is a refusal."""
    cell = Cell(Model(layers=1), replace(HEADS, head_pruning_ratio=Fraction(3, 2)))
    path = tmp_path / "shown.py"
    path.write_text(scripts.write(cell, "1.4.1", wrong("block 0: 1 heads are left, 2 should be: too few")))
    overlay = miniatures.build(tmp_path)
    package = overlay.path / "torch_pruning" / "__init__.py"
    for error, status in (("ValueError", 0), ("AttributeError", 125)):
        package.write_text(f"{miniatures.CORRECT}\ndef step(*_, **__): raise {error}\nMetaPruner.__init__ = step\n")
        with Engine() as engine:
            assert engine.run_script(overlay, path).status == status


# --- the catalogue's files ------------------------------------------------------------------------


@pytest.mark.parametrize("defect", catalogue().defects, ids=lambda defect: defect.id)
def test_every_defect_has_its_file(defect: Any) -> None:
    """What the file does is asked by `nox -s reproduce`."""
    text = (FOLDER / defect.reproducer.file).read_text("utf-8")
    tree = ast.parse(text)
    block = re.search(r"(?ms)^# /// script$\n(.*?)^# ///$", text)
    assert block is not None
    metadata = tomllib.loads(re.sub(r"(?m)^# ?", "", block[1]))
    assert f"torch-pruning=={defect.reproducer.bad}" in metadata["dependencies"]
    assert defect.affects(defect.reproducer.bad, "4.57.6")
    assert defect.reproducer.good in ("", *RELEASES)
    docstring = ast.get_docstring(tree) or ""
    assert defect.title[1:] in docstring.splitlines()[0]
    assert defect.upstream in docstring
    for word in ("Symptom: ", "Cause: ", "Affected: ", "It breaks: "):
        assert word in docstring
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {
        "atexit",
        "copy",
        "os",
        "subprocess",
        "sys",
        "traceback",
        "torch",
        "torch_pruning",
        "transformers",
    }
    code = text.partition('"""\n\n')[2].splitlines()
    assert len([line for line in code if line]) <= 60  # what a person would write, and read


def test_every_file_belongs_to_a_defect() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {defect.reproducer.file for defect in catalogue().defects}
