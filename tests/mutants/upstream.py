"""Upstream's own tests, for comparison: those files that need nothing but torch, and pass on the release itself."""

import ast
import io
import subprocess
import tarfile
from pathlib import Path

from headcount.builds import Overlay
from headcount.environment import git_environment
from headcount.isolation import Engine

#: What a test may need that this project's environment has not, or has in another version than upstream's CI.
_BEYOND_TORCH = {"torchvision", "timm", "transformers", "datasets", "torch_geometric"}

_SCRIPT = """import sys
import pytest
import torch_pruning
alone = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest", "-c", "/dev/null"]
sys.exit(pytest.main(["-q", "-x", *alone, *{files!r}]))
"""


class UpstreamTests:
    """The test files of a release, laid out in a folder."""

    def __init__(self, clone: Path, release: str, folder: Path) -> None:
        """Take them from a clone of upstream, at the release's tag.

        Raises:
            subprocess.CalledProcessError: it has no such tag, or no tests there.
        """
        archive = subprocess.run(
            ["git", "-C", str(clone), "archive", f"v{release}", "tests"],
            check=True,
            capture_output=True,
            env=git_environment(),
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        self._script = folder / "run_upstream_tests.py"
        self.files = [str(path) for path in sorted((folder / "tests").glob("test_*.py")) if _needs_only_torch(path)]

    def keep_passing(self, engine: Engine, release: Overlay) -> None:
        """Leave out the files that fail on the release as it is."""
        passing = []
        for file in self.files:
            self._write([file])
            if engine.run_script(release, self._script).status == 0:
                passing.append(file)
        self.files = passing
        self._write(passing)

    def catch(self, engine: Engine, build: Overlay) -> bool:
        """Whether a build fails one of them, dies or hangs in it."""
        return engine.run_script(build, self._script).status != 0

    def _write(self, files: list[str]) -> None:
        self._script.write_text(_SCRIPT.format(files=files), "utf-8")


def _needs_only_torch(path: Path) -> bool:
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    tests = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test")]
    return bool(tests) and not imported & _BEYOND_TORCH
