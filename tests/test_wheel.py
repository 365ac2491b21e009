"""The wheel, where there is no checkout: it holds what the commands and the matrix need."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import distributions, version
from pathlib import Path

import pytest

from headcount.builds import installer
from headcount.defects import DEFECTS
from headcount.environment import harness_digest
from headcount.errors import ExitCode
from helpers import PLAIN, ROOT, miniature_wheel


@pytest.fixture(scope="module")
def uv() -> str:
    if not (found := installer.find_uv()):
        pytest.skip("there is no uv to build with")
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made of the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([uv, "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    """The wheel as it is installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


def run(site: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of it, away from the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own = {"PYTHONPATH": str(site), "HEADCOUNT_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=kept | own, capture_output=True, text=True, check=False)


def test_it_holds_all(unpacked: Path) -> None:
    package = unpacked / "headcount"
    assert {path.name for path in (package / "reproducers").iterdir()} == {d.reproducer.file for d in DEFECTS}
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    told = metadata.read_text("utf-8")
    assert all(f"\n{line}" in told for line in ("Classifier: Typing :: Typed", "Project-URL: Source", "Author: "))
    assert (package / "py.typed").is_file()
    assert (package / "defects/expectations/5.23.0.tsv").is_file()


def test_the_commands_run(unpacked: Path, tmp_path: Path) -> None:
    told = run(unpacked, tmp_path, "headcount", "--version")
    assert told.stdout.startswith(f"headcount {version('headcount')} (python ")
    code = f"import headcount.environment as e; print(e.__file__, e.harness_digest() == {harness_digest()!r})"
    (tmp_path / "digest.py").write_text(code)
    assert run(unpacked, tmp_path, "digest").stdout == f"{unpacked / 'headcount/environment.py'} True\n"
    assert "410-total-heads" in run(unpacked, tmp_path, "headcount", "history", "410").stdout
    assert run(unpacked, tmp_path, "headcount", "support", "--model", "vit").returncode == ExitCode.CLEAN


def test_a_reproducer_runs(unpacked: Path, tmp_path: Path) -> None:
    build = miniature_wheel(tmp_path, "correct")
    done = run(unpacked, tmp_path, "headcount", "reproduce", "410", "--build", build)
    assert done.returncode == ExitCode.CLEAN, done.stdout + done.stderr


def test_the_matrix_runs(unpacked: Path, tmp_path: Path) -> None:
    suite = ["-p", "headcount.pytest_plugin", "--pyargs", "headcount.suite", "-W", "error"]
    build = miniature_wheel(tmp_path, "correct")
    done = run(unpacked, tmp_path, "pytest", *suite, "--build", build, "-k", PLAIN, "-p", "no:cacheprovider")
    assert done.returncode == ExitCode.CLEAN, done.stdout + done.stderr
    assert "1 cells: 1 ok, 0 explained by a known defect, 0 unexpected" in done.stdout
    assert list((tmp_path / "results").glob("*.jsonl"))


def test_uvx_says_which_release_to_take(uv: str, wheel: Path, tmp_path: Path) -> None:
    """As README has it for whoever has no checkout; with the versions that are here, which uv has kept."""
    here = {found.name: found.version for found in distributions() if found.name != "headcount"}
    (tmp_path / "here.txt").write_text("".join(f"{name}=={release}\n" for name, release in here.items()))
    # As the sessions install torch: for another build uv would need the network.
    torch = installer.for_uv(os.environ) or {"UV_TORCH_BACKEND": "cpu"}
    program = [uv, "tool", "run", "--offline", "--python", sys.executable, "--constraints", str(tmp_path / "here.txt")]

    def headcount(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [*program, "--from", str(wheel), "headcount", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=torch | dict(os.environ), capture_output=True, text=True, check=False
        )

    told = headcount("--version")
    if "network was disabled" in " ".join(told.stderr.split()):
        pytest.skip("uv has not kept all that it needs")
    assert told.stdout.startswith(f"headcount {version('headcount')} (python "), told.stderr
    said = headcount("which", "--heads", "6", "--head-ratio", "1/3")
    assert said.returncode == ExitCode.CLEAN, said.stderr
    assert "\n\ntake 1.6.1: the newest that does it right" in said.stdout
