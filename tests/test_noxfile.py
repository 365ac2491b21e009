"""The noxfile's environments, with a tiny project and a folder of fake packages in place of all that is real."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import ROOT, make_wheel

NOX = [sys.executable, "-m", "nox"] if importlib.util.find_spec("nox") else [shutil.which("nox") or ""]

pytestmark = pytest.mark.skipif(not NOX[-1], reason="there is no nox")

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "headcount"
version = "1"
[project.optional-dependencies]
matrix = ["for_matrix"]
[dependency-groups]
test = ["for_test"]
"""

#: Builds the tiny project: its programs say what they were called with, and what they can import.
BACKEND = '''
import tomllib, zipfile
EXTRA = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["matrix"]
PROGRAM = """import importlib.util, sys
def main():
    found = [name for name in ("torch", "transformers", "for_matrix", "for_test") if importlib.util.find_spec(name)]
    print("ran", sys.argv[0].rpartition("/")[2], *sys.argv[1:], "with", *found)
"""
FILES = {
    "program.py": PROGRAM,
    "headcount-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: headcount\\nVersion: 1\\nProvides-Extra: matrix\\n"
    + "".join(f"Requires-Dist: {name}; extra == 'matrix'\\n" for name in EXTRA),
    "headcount-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "headcount-1.dist-info/entry_points.txt": "[console_scripts]\\nheadcount = program:main\\npytest = program:main\\n",
}
FILES["headcount-1.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in FILES) + "headcount-1.dist-info/RECORD,,\\n"
def build_editable(folder, *_):
    with zipfile.ZipFile(f"{folder}/headcount-1-py3-none-any.whl", "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return "headcount-1-py3-none-any.whl"
'''

Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of fake packages, one within the other: pip's variable names both."""
    folder = tmp_path_factory.mktemp("wheels")
    (folder / "more").mkdir()
    for name, version in (
        ("torch", "2.13.0"),
        ("torch", "99.0"),
        ("transformers", "4.57.6"),
        ("transformers", "5.23.0"),
        ("transformers", "99.0"),
        ("for_matrix", "1"),
    ):
        make_wheel(folder, name=name, version=version, code="")
    make_wheel(folder / "more", name="for_test", version="1", code="")
    return folder


#: With uv, and as it is where there is none.
both = pytest.mark.parametrize("project", ["uv", "virtualenv"], indirect=True)


@pytest.fixture
def project(tmp_path: Path, wheelhouse: Path, request: pytest.FixtureRequest) -> list[str]:
    """The tiny project; returns how nox is called in it."""
    backend = getattr(request, "param", "")
    if backend == "uv" and not (shutil.which("uv") or os.environ.get("HEADCOUNT_UV")):
        pytest.skip("there is no uv")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    return [*NOX, "--envdir", str(tmp_path / "envs"), *["--default-venv-backend", backend] * bool(backend)]


def start(project: list[str], folder: Path, wheelhouse: Path, *words: str) -> "subprocess.Popen[str]":
    left_out = ("UV_", "PIP_", "NOX", "VIRTUAL_ENV", "PYTHONPATH", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    uv = os.environ.get("HEADCOUNT_UV")
    path = os.pathsep.join(filter(None, (str(Path(uv).parent) if uv else "", kept.get("PATH", ""))))
    places = {"PIP_FIND_LINKS": f"{wheelhouse} {wheelhouse / 'more'}", "PIP_NO_INDEX": "1"}
    return subprocess.Popen(
        [*project, *words],
        cwd=folder,
        env=kept | places | {"PIP_CONFIG_FILE": os.devnull, "PATH": path, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def run(project: list[str], tmp_path: Path, wheelhouse: Path) -> Run:
    def _run(*words: str, status: int = 0) -> str:
        process = start(project, tmp_path, wheelhouse, *words)
        said, _ = process.communicate()
        assert process.returncode == status, said
        return said

    return _run


def environments(folder: Path) -> list[Path]:
    return [path for path in (folder / "envs").glob("python-*") if path.is_dir()]


@both
def test_one_environment_for_all_sessions(run: Run, tmp_path: Path) -> None:
    assert "installing into" in run("-s", "bisect", "--", "410")
    said = run("-s", "reproduce", "matrix(transformers='4.57.6')", "gate(transformers='4.57.6')")
    assert "installing" not in said
    assert re.findall(r"(?m)^ran (\w+) .*(with .*)$", said) == [
        ("headcount", "with torch transformers for_matrix"),
        ("pytest", "with torch transformers for_matrix"),
        ("headcount", "with torch transformers for_matrix"),
    ]
    (made,) = environments(tmp_path)
    assert made.name.endswith("-torch-2.13.0-transformers-4.57.6")
    assert "ran headcount check x with" in run("-s", "check(transformers='5.23.0')", "--", "x")
    assert len(environments(tmp_path)) == 2


def test_a_group_is_added_where_it_is_needed(run: Run) -> None:
    assert "for_test" not in run("-s", "bisect")
    said = run("-s", "tests")
    assert said.count("installing into") == 1
    assert "with torch transformers for_matrix for_test" in said
    assert "installing" not in run("-s", "tests", "bisect")


@both
def test_what_is_half_made_or_half_gone_is_made_anew(run: Run, tmp_path: Path) -> None:
    run("-s", "tests")
    (made,) = environments(tmp_path)
    (package,) = made.glob("lib/python*/site-packages/torch")
    for damage in (
        (made / "headcount-installed.json").unlink,
        lambda: shutil.rmtree(package),
        lambda: shutil.rmtree(made / "bin"),
        lambda: (made / "headcount-installed.json").write_text('{"groups": 1}'),
    ):
        damage()
        said = run("-s", "bisect")
        assert f"{made.name} is not whole: making it anew" in said
        assert "with torch transformers for_matrix" in said
    shutil.rmtree(made)
    assert "installing into" in run("-s", "bisect")


def test_two_at_once_make_it_once(project: list[str], tmp_path: Path, wheelhouse: Path) -> None:
    runs = [start(project, tmp_path, wheelhouse, "-s", session) for session in ("bisect", "reproduce")]
    said = [process.communicate()[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], said
    assert "".join(said).count("installing into") == 1
    assert len(environments(tmp_path)) == 1


def test_another_project_is_installed_again(run: Run, tmp_path: Path) -> None:
    run("-s", "bisect")
    (tmp_path / "pyproject.toml").write_text(PROJECT.replace('"for_matrix"', '"for_matrix", "for_test"'))
    assert "with torch transformers for_matrix for_test" in run("-s", "bisect")


def test_the_newest_is_looked_for(run: Run, tmp_path: Path) -> None:
    run("-s", "matrix_on(newest)")
    (made,) = environments(tmp_path)
    assert made.name.endswith("-torch-transformers")
    assert {path.name for path in made.glob("lib/python*/site-packages/t*.dist-info")} == {
        "torch-99.0.dist-info",
        "transformers-99.0.dist-info",
    }


def test_what_cannot_be_installed_leaves_nothing_that_counts(run: Run, tmp_path: Path) -> None:
    assert "2.4.1" in run("-s", "matrix_on(oldest)", status=1)
    (half,) = environments(tmp_path)
    assert not (half / "headcount-installed.json").exists()


def test_a_python_that_is_not_there(run: Run, tmp_path: Path) -> None:
    assert "Python interpreter 3.99 not found" in run("-s", "bisect", "--force-python", "3.99", status=1)
    assert not environments(tmp_path)
