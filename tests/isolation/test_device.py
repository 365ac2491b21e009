"""Cells on another device: a GPU where there is one, and everywhere a simulated one that keeps CUDA's rules.

The simulated device (`simulated/`) is compiled here, against the torch that is installed, and found by torch as
every maker's device is. It stands for what moves and what may not be mixed; not for a driver or for its arithmetic.
"""

import os
import shutil
import subprocess
from pathlib import Path

import filelock
import pytest
import torch
from torch.utils.cpp_extension import include_paths, library_paths

import miniatures
from headcount import results
from helpers import PLAIN, make_wheel, miniature_wheel, run_matrix

SOURCES = Path(__file__).parents[1] / "simulated"

#: What a build may do on the CPU alone.
MIXES = "MetaPruner.after = lambda self: self.blocks[0].fc1.weight.data.mul_(torch.ones(1))"


def on_device(tmp_path: Path, simulated: Path, *options: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(simulated), os.environ.get("PYTHONPATH")]))
    return run_matrix(tmp_path, "--device", "simulated", *options, PYTHONPATH=path)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Python's path, from which torch learns of the device. Compiled once for all workers."""
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("there is no C++ compiler to make the device with")
    run_of_all = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run_of_all = run_of_all.parent
    folder = run_of_all / "simulated"
    with filelock.FileLock(run_of_all / "simulated.lock"):
        if not folder.exists():
            _compile(compiler, run_of_all / "simulated.made")
            (run_of_all / "simulated.made").rename(folder)
    return folder


def _compile(compiler: str, folder: Path) -> None:
    info = folder / "simulated-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simulated\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[torch.backends]\nsimulated = simulated_device:load\n")
    shutil.copy(SOURCES / "simulated_device.py", folder)
    places = [f"-isystem{path}" for path in include_paths()]
    linked = [word for path in library_paths() for word in (f"-L{path}", f"-Wl,-rpath,{path}")]
    output = ["-o", str(folder / "simulated.so"), *linked, "-lc10", "-ltorch_cpu"]
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run([compiler, *flags, *places, str(SOURCES / "simulated.cpp"), *output], check=True)


def test_a_simulated_device(tmp_path: Path, simulated: Path) -> None:
    """The newest release does there, in the default matrix, what it does on the CPU, as far as a verdict tells."""
    done = on_device(tmp_path, simulated, "--build", "1.6.1")
    assert done.returncode == 0, done.stdout
    assert ", 0 unexpected" in done.stdout
    (path,) = (tmp_path / "results").glob("*.jsonl")
    assert results.read(path).header.environment["device"] == "simulated"


def test_what_only_another_device_shows(tmp_path: Path, simulated: Path) -> None:
    wheel = str(make_wheel(tmp_path, code=f"{miniatures.CORRECT}\n{MIXES}\n"))
    on_cpu = run_matrix(tmp_path, "--build", wheel, "-k", PLAIN)
    assert on_cpu.returncode == 0, on_cpu.stdout
    there = on_device(tmp_path, simulated, "--build", wheel, "-k", PLAIN)
    assert there.returncode == 1, there.stdout
    assert "Expected all tensors to be on the same device" in there.stdout


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu(tmp_path: Path) -> None:
    """The newest release does the same there: what is left, and what it says, within the tolerance."""
    done = run_matrix(tmp_path, "--device", "cuda", "--build", "1.6.1", "-k", "steps1")
    assert done.returncode == 0, done.stdout
    assert ", 0 unexpected" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    """All is skipped, which is not green, and leaves no results."""
    done = run_matrix(tmp_path, "--device", "cuda", "--build", miniature_wheel(tmp_path, "correct"), "-k", PLAIN)
    assert done.returncode == 3, done.stdout
    assert "nothing was tested: this machine has no cuda: " in done.stdout
    assert ("UV_TORCH_BACKEND=auto has nox install" in done.stdout) == (torch.version.cuda is None)
    assert "1 skipped" in done.stdout
    assert not list((tmp_path / "results").glob("*.jsonl"))


def test_a_device_without_memory_is_none(tmp_path: Path) -> None:
    done = run_matrix(tmp_path, "--device", "meta", "--build", miniature_wheel(tmp_path, "correct"), "-k", PLAIN)
    assert done.returncode == 3, done.stdout
    assert "this machine has no meta: NotImplementedError: Cannot copy out of meta tensor" in done.stdout


def test_a_device_that_torch_does_not_know(tmp_path: Path) -> None:
    done = run_matrix(tmp_path, "--device", "gpu", "--build", miniature_wheel(tmp_path, "correct"))
    assert done.returncode == 2, done.stdout
    assert "no such device: gpu (Expected one of cpu, cuda, " in done.stdout + done.stderr
