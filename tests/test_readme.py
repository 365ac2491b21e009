"""The READMEs' commands are commands: sessions that exist, and options that pytest takes and that select something.

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

READMES = [ROOT / folder / "README.md" for folder in ("", "reproducers", "tests")]
FRONT = READMES[0].read_text("utf-8")
ALL = "\n".join(path.read_text("utf-8") for path in READMES)
COMMANDS = list(dict.fromkeys(line.partition("  #")[0] for line in re.findall(r"(?m)^\$ (.*)$", ALL)))
LINKS = sorted(
    {(path, link) for path in READMES for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8"))},
    key=str,
)
SESSIONS = {
    node.name
    for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
}


def test_the_first_screen_has_the_two_commands() -> None:
    first = FRONT.splitlines()[:30]
    for session in ("matrix", "tests"):
        assert f'$ python -m pip install "nox[uv]" && nox -s {session}' in first


def test_the_front_page_is_short() -> None:
    assert len(FRONT.splitlines()) <= 150
    assert len(FRONT.encode()) <= 8_000


@pytest.mark.parametrize("session", sorted(set(re.findall(r"nox -s \"?([a-z_]+)", ALL))))
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
    if getattr(parsed, "cell", None) and not parsed.cell.endswith(".py") and parsed.cell not in RELEASES:
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


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{page.parent.name}-{link}" for page, link in LINKS])
def test_links_lead_somewhere(page: Path, link: str) -> None:
    place, _, part = link.partition("#")
    if link.startswith("../../actions/workflows/"):  # GitHub's own pages of the repository
        assert (ROOT / ".github/workflows" / link.split("/")[4]).is_file()
        return
    if link.startswith("https://"):
        return
    found = (page.parent / place).resolve() if place else page
    assert found.exists()
    if part:
        titles = re.findall(r"(?m)^#+ (.*)$", found.read_text("utf-8"))
        assert part in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_ci_runs_every_family_on_the_newest_release() -> None:
    assert f"--all --build {RELEASES[-1]} " in (ROOT / ".ci/run").read_text("utf-8")
