"""How a script ends is an answer about the build, or it is 125 and says why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headcount.builds import Overlay
from headcount.isolation import Engine

#: As the reproducers have it.
HOOK = """
import sys, traceback
def status(kind, error, _):
    traceback.print_exception(error)
    sys.exit(1 if kind is AssertionError and "expected" in str(error) else 125)
sys.excepthook = status
import torch_pruning
"""

EXITS = """
import argparse, sys
def exits(code=1): sys.exit(code)
def parses(): argparse.ArgumentParser().parse_args(["--unknown"])
def calls(function): function()
"""


@pytest.fixture
def overlay(tmp_path: Path, miniature: Callable[[str], Overlay]) -> Overlay:
    """A right build that can end the process in several ways."""
    made = miniature("correct")
    path = tmp_path / "exits" / "torch_pruning"
    path.mkdir(parents=True)
    code = (made.path / "torch_pruning" / "__init__.py").read_text()
    (path / "__init__.py").write_text(f"{code}\n{EXITS}")
    return Overlay("exits", path.parent, made.version, "exits")


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        # The script's own hook chooses, and may fail itself.
        (f"{HOOK}assert 1 > 2, 'one is expected'", 1, ""),
        (f"{HOOK}assert 1 > 2, 'something else'", 125, ""),
        (f"{HOOK}{{}}['slip']", 125, ""),
        (f"{HOOK}print(undefined)", 125, "the script is at fault itself"),
        (f"{HOOK}torch_pruning.exits(1)", 125, "the build ended the process"),
        (f"{HOOK}torch_pruning.exits(0)", 125, "the build ended the process"),
        ("import sys, torch_pruning\nsys.excepthook = lambda *_: 1 / 0\nassert False", 125, ""),
        ("import sys, torch_pruning\nsys.excepthook = lambda *_: sys.exit()\nassert False", 0, ""),
        # SystemExit is the script's own, also out of the standard library, and in what the build calls back.
        ("import sys, torch_pruning\nsys.exit(1)", 1, ""),
        ("import sys, torch_pruning\nsys.exit('a word')", 1, ""),
        ("import sys\nsys.exit('a word')", 125, "the script never imported torch_pruning"),
        ("import beside, torch_pruning\nbeside.ends()", 1, ""),
        ("import torch_pruning, argparse\nargparse.ArgumentParser().exit()", 0, ""),
        ("import sys, torch_pruning\ntorch_pruning.calls(lambda: sys.exit(1))", 1, ""),
        ("import torch_pruning\ntorch_pruning.parses()", 125, "the build ended the process"),
        # Ends without a word.
        ("import os, torch_pruning\nos._exit(0)", 125, "it ended before it could say how"),
        ("import atexit, os, torch_pruning\natexit.register(os._exit, 0)", 125, "it ended before it could say how"),
        ("import torch_pruning\nraise KeyboardInterrupt", 125, ""),
    ],
)
def test_how_a_script_ends(overlay: Overlay, tmp_path: Path, code: str, status: int, why: str) -> None:
    (tmp_path / "beside.py").write_text("def ends(): raise SystemExit(1)\n")
    script = tmp_path / "script.py"
    script.write_text(code)
    with Engine() as engine:
        run = engine.run_script(overlay, script)
    assert (run.status, run.why) == (status, why), run


@pytest.mark.parametrize(("name", "raised"), [("crash-import", "RuntimeError: no import today"), ("exit-import", "")])
def test_a_build_that_cannot_be_imported(
    miniature: Callable[[str], Overlay], tmp_path: Path, name: str, raised: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(HOOK)
    with Engine() as engine:
        run = engine.run_script(miniature(name), script)
    assert (run.status, run.raised, run.why) == (125, raised, "the build cannot be imported")


def test_what_is_noted_of_an_end(miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    """The exception, where it came from in the build and in the script, and the answer; not what is forged."""
    script = tmp_path / "script.py"
    script.write_text("import torch_pruning\ndef fails():\n    torch_pruning.fails()\nfails()\n")
    with Engine() as engine:
        run = engine.run_script(miniature("raises-here"), script)
        assert (run.status, run.raised) == (1, "IndexError: list index out of range")
        assert (run.frame, run.lines) == ("__init__.here", (4, 3))
        script.write_text("import pathlib, os, torch_pruning\nANSWER = 'yes'\nprint('forged')\n")
        run = engine.run_script(miniature("correct"), script)
        assert (run.status, run.answer, run.printed) == (0, "yes", "forged\n")
        script.write_text(
            "import pathlib, os\npathlib.Path(os.environ['HOME'], 'end.json').write_text('[1]')\nos._exit(0)"
        )
        assert engine.run_script(miniature("correct"), script).status == 125
