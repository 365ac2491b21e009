"""The README's commands are commands: sessions that exist, and options that pytest takes and that select something.

What they do is checked elsewhere: CI runs the first screen's two, `test_pytest_plugin.py` the matrix as a whole.
"""

import ast
import re
import shlex
from pathlib import Path

import pytest

from headcount.builds import RELEASES
from headcount.cli import parser
from headcount.matrix.cells import default_cells
from helpers import ROOT, make_wheel, run_matrix

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [line.partition("  #")[0] for line in re.findall(r"(?m)^\$ (.*)$", README)]
SESSIONS = {
    node.name
    for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
}


def test_the_first_screen_has_the_two_commands() -> None:
    first = README.splitlines()[:45]
    for session in ("matrix", "tests"):
        assert f'$ python -m pip install "nox[uv]" && nox -s {session}' in first


@pytest.mark.parametrize("session", sorted(set(re.findall(r"nox -s \"?([a-z]+)", README))))
def test_sessions_exist(session: str) -> None:
    assert session in SESSIONS


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if re.search(r"-s \"?(headcount|reproduce|bisect|gate|report|check).* -- ", c)]
)
def test_commands_are_parsed(command: str) -> None:
    session, _, options = command.partition(" -- ")
    words = shlex.split(options)
    before = [
        name
        for name in ("reproduce", "bisect", "gate", "report", "check")
        if session.strip('"').partition("(")[0].endswith(name)
    ]
    parsed = parser().parse_args([*before, *words])
    if hasattr(parsed, "cell") and not parsed.cell.endswith(".py"):
        assert parsed.cell in {cell.id for cell in default_cells()}


@pytest.mark.parametrize("command", [c for c in COMMANDS if re.search(r"-s \"?matrix.* -- ", c)])
def test_options_select_cells(command: str, tmp_path: Path) -> None:
    options = shlex.split(command.partition(" -- ")[2])
    for index, option in enumerate(options):
        if option == "--build":
            # The build itself is beside the point, and its place is not on this machine.
            version = options[index + 1] if re.fullmatch(r"[\d.]+", options[index + 1]) else "1.6.1"
            options[index + 1] = str(make_wheel(tmp_path, version=version))
        elif option == "--junitxml":
            options[index + 1] = str(tmp_path / options[index + 1])
    done = run_matrix(tmp_path, "--collect-only", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("test_cell[") > 1


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()


def test_ci_runs_every_family_on_the_newest_release() -> None:
    assert f"--all --build {RELEASES[-1]} " in (ROOT / ".ci/run").read_text("utf-8")
