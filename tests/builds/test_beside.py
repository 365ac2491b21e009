"""Packages beside the base environment: made once, whole or absent, and never in the place of its torch unasked."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from headcount import results
from headcount.builds import Beside, prepare_beside
from headcount.errors import ExitCode, SetupError, UsageError
from helpers import PLAIN, ROOT, make_wheel, miniature_wheel, no_leftovers, run_matrix

#: What the index has: name, version -> its code, what it needs.
INDEX = {
    ("lacking", "1.0"): ("import helping; VALUE = helping.VALUE", ["helping", "torch", "packaging>=24"]),
    ("lacking", "2.0"): ("VALUE = 2", ["torch>=99"]),
    ("helping", "3.0"): ("VALUE = 1", []),
    ("broken", "1.0"): ("raise RuntimeError('built for another torch')", ["torch"]),
    ("pruning_user", "1.0"): ("", ["torch-pruning"]),
    ("torch_pruning", "1.6.1"): ("", []),
    ("torch", "99.0"): ("__version__ = '99.0'", []),
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, in place of any index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for (name, number), (code, needs) in INDEX.items():
        make_wheel(folder, name=name, version=number, code=code, needs=needs)
    for installer in ("UV", "PIP"):
        monkeypatch.setenv(f"{installer}_FIND_LINKS", str(folder))
        monkeypatch.setenv(f"{installer}_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def names(found: Beside) -> set[str]:
    return {path.name.partition("-")[0] for path in found.path.glob("*.dist-info")}


def test_what_the_base_lacks_and_nothing_else(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepare_beside(["lacking==1.0"], tmp_path)
    assert names(found) == {"lacking", "helping"}
    assert found.shown["lacking"] == "1.0"
    monkeypatch.setenv("HEADCOUNT_UV", "/no/installer")
    assert prepare_beside(["lacking==1.0"], tmp_path) == found, "offline, and without an installer"
    with pytest.raises(SetupError, match="cannot install lacking==2.0"):
        prepare_beside(["lacking==2.0"], tmp_path)


def test_the_base_keeps_its_torch(index: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lacking==2.0 beside torch .* and .*torch.*--with torch=="):
        prepare_beside(["lacking==2.0"], tmp_path)
    assert no_leftovers(tmp_path, "beside")
    found = prepare_beside(["lacking==2.0", "torch==99.0"], tmp_path)
    assert names(found) == {"lacking", "torch"}
    assert found.shown["torch"] == "99.0"


def test_a_build_stays_what_is_tested(index: Path, tmp_path: Path) -> None:
    assert names(prepare_beside(["pruning-user"], tmp_path)) == {"pruning_user"}


def test_what_cannot_be_imported(index: Path, tmp_path: Path) -> None:
    said = rf"broken 1.0 cannot be imported beside torch {version('torch')}: RuntimeError: built for another torch"
    with pytest.raises(UsageError, match=said.replace("+", r"\+")):
        prepare_beside(["broken"], tmp_path)
    assert no_leftovers(tmp_path, "beside")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no such thing", "is no package"),
        ("--index-url=x", "is no package"),
        ("here @ file:///here", "names a place"),
        ("Torch_Pruning==1.6.1", "name builds of it with --build"),
        ("unheard-of==1.0", "cannot install unheard-of==1.0"),
    ],
)
def test_what_is_refused(index: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        prepare_beside([text], tmp_path)
    assert "\n" not in str(refused.value)


def test_half_of_it_is_made_whole(index: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = prepare_beside(["lacking==1.0"], tmp_path, said.append)
    for damage in (found.path / "helping/__init__.py", found.path / "headcount-beside.json"):
        damage.unlink()
        assert prepare_beside(["lacking==1.0"], tmp_path, said.append) == found
        assert damage.is_file()
        assert [line.partition(":")[2] for line in said[-2:]] == [
            " what is kept of it is not whole, installing it again",
            " installing",
        ]


def test_two_at_once_install_it_once(index: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: prepare_beside(["lacking==1.0"], tmp_path, said.append), range(2))
    assert first == second
    assert said == ["lacking==1.0: installing"]


def test_a_file_to_check_finds_it(index: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import lacking\n{(ROOT / 'tests/check/files/vit.py').read_text('utf-8')}", "utf-8")
    command = [sys.executable, "-m", "headcount", "check", str(file), "--build", miniature_wheel(tmp_path, "correct")]
    environment = os.environ | {"HEADCOUNT_CACHE": str(tmp_path / "cache")}
    lacking, there = (
        subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
        for more in ([], ["--with", "lacking==1.0", "--json", str(tmp_path / "answer.json")])
    )
    assert "No module named 'lacking'" in lacking.stderr
    assert (lacking.returncode, there.returncode) == (ExitCode.USAGE, ExitCode.CLEAN), there.stderr
    assert json.loads((tmp_path / "answer.json").read_text())["environment"]["lacking"] == "1.0"


def test_the_matrix_knows_what_it_ran_beside(index: Path, tmp_path: Path) -> None:
    """What was observed beside one set of packages is not taken for what is observed beside another."""
    wheel = miniature_wheel(tmp_path, "correct")
    for packages in ([], ["--with", "lacking==1.0"]):
        done = run_matrix(tmp_path, "--build", wheel, "-k", PLAIN, "-n", "1", *packages)
        assert done.returncode == ExitCode.CLEAN, done.stdout + done.stderr
        assert "were observed before" not in done.stdout
        (written,) = (tmp_path / "results").glob("*.jsonl")
        assert ("beside" in results.read(written).header.environment) is bool(packages)
        written.unlink()
    assert run_matrix(tmp_path, "--with", "unheard-of").returncode == ExitCode.USAGE
