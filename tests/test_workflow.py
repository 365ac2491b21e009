"""The gate's workflow, its own steps run here as GitHub would run them: shards, artifacts, and what they amount to.

What cannot be had here, the checkouts, Python and nox itself, is put in its place; all else is the file's own words.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

import miniatures
from headcount.environment import environment
from helpers import checkout

ACTION = yaml.safe_load((Path(__file__).parents[1] / ".github/actions/gate/action.yml").read_text("utf-8"))

WORKFLOW = yaml.safe_load((Path(__file__).parents[1] / ".github/workflows/gate.yml").read_text("utf-8"))

#: nox, but that the session runs in this environment, and runs a few cells only.
NOX = f"""#!{sys.executable}
import sys
from headcount import cli
from headcount.gate import run
from headcount.matrix.cells import default_cells
session, arguments = sys.argv[1:4], sys.argv[4:]
if session != ["-s", "gate(transformers='{environment()["transformers"]}')", "--"]:
    sys.exit(f"no such session: {{session}}")
run.every_cell = lambda: list(default_cells()[:6])
if __name__ == "__main__":
    sys.exit(cli.main(["gate", *arguments]))
"""


class Runner:
    """A machine that runs one job after another, each in a folder of its own."""

    def __init__(self, folder: Path, inputs: Mapping[str, str], sources: Mapping[str, Path]) -> None:
        self.folder = folder
        declared = WORKFLOW[True]["workflow_call"]["inputs"]  # the key "on" is a truth value, to YAML
        self.inputs = {**{name: each.get("default", "") for name, each in declared.items()}, **inputs}
        self.sources = sources
        self.printed = ""
        self.summary = folder / "summary.md"
        tools = folder / "tools"
        tools.mkdir(parents=True)
        (tools / "nox").write_text(NOX)
        (tools / "nox").chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HEADCOUNT_CACHE": str(folder / "cache"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }

    def run(self, name: str) -> list[int]:
        """The exit codes of a job, for each row of its matrix that is of this transformers version."""
        job = WORKFLOW["jobs"][name]
        axes = job["strategy"]["matrix"]
        rows = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        own = [row for row in rows if row["transformers"] == environment()["transformers"]]
        return [self._job(job, row, self.folder / f"{name}-{len(list(self.folder.iterdir()))}") for row in own]

    def _job(self, job: Mapping[str, Any], row: Mapping[str, Any], place: Path) -> int:
        place.mkdir()
        code = 0
        for step in job["steps"]:
            if not code or step.get("if") == "always()":
                code = self._step(self._filled_in(step, row), place) or code
        return code

    def _filled_in(self, value: Any, row: Mapping[str, Any]) -> Any:
        """A step with its expressions replaced by what they stand for."""
        if isinstance(value, dict):
            return {key: self._filled_in(item, row) for key, item in value.items()}
        known = {"matrix": row, "inputs": self.inputs}
        return re.sub(r"\$\{\{ *(\w+)\.(\w+) *\}\}", lambda m: str(known[m[1]][m[2]]), str(value))

    def _step(self, step: Mapping[str, Any], place: Path) -> int:
        if "run" in step:
            return self._script(step, place)
        what, given = step["uses"].partition("@")[0], step.get("with", {})
        if what == "actions/checkout":
            source = self.sources[given.get("repository", "")]
            shutil.copytree(source, place / given.get("path", ""), dirs_exist_ok=True)
        elif what == "actions/upload-artifact":
            found = list(place.glob(given["path"]))
            if not found and given.get("if-no-files-found") == "error":
                return 1
            for path in found:
                shutil.copy2(path, self._artifact(given["name"]))
        elif what == "actions/download-artifact":
            for path in self._downloaded(given["pattern"]):
                (place / given["path"]).mkdir(exist_ok=True)
                shutil.copy2(path, place / given["path"])
        else:
            assert what in ("actions/setup-python", "actions/cache")
        return 0

    def _script(self, step: Mapping[str, Any], place: Path) -> int:
        if step["run"].startswith("python -m pip install"):
            assert step["run"] == 'python -m pip install "nox[uv]"'
            return 0
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=place / step.get("working-directory", ""),
            env={**self.environment, **step.get("env", {})},
            capture_output=True,
            text=True,
            check=False,
        )
        self.printed += done.stdout + done.stderr
        return done.returncode

    def _artifact(self, name: str) -> Path:
        path = self.folder / "artifacts" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _downloaded(self, pattern: str) -> Iterator[Path]:
        for artifact in sorted((self.folder / "artifacts").glob("*")):
            if fnmatch(artifact.name, pattern):
                yield from artifact.iterdir()


@pytest.mark.skipif(sys.platform == "win32", reason="its steps are written for bash")
@pytest.mark.parametrize(
    ("name", "code", "says"),
    [("correct", 0, "; no code changed"), ("wrong-heads", 1, "NOT fit for release")],
)
def test_the_workflow_says_what_the_gate_says(tmp_path: Path, name: str, code: int, says: str) -> None:
    base = checkout(tmp_path / "base")
    candidate = checkout(tmp_path / "candidate", "1.6.2", miniatures.source(name))
    (tmp_path / "headcount").mkdir()
    inputs = {"headcount": "OWNER/headcount", "options": f"--base {base} --draws 8"}
    runner = Runner(tmp_path / "runner", inputs, {"": candidate, "OWNER/headcount": tmp_path / "headcount"})
    assert runner.run("shard") == [0, 0], runner.printed
    assert runner.run("verdict") == [code], runner.printed
    assert says in runner.printed
    assert says in runner.summary.read_text("utf-8")
    verdict = runner.folder / "artifacts" / f"verdict-{environment()['transformers']}"
    assert {path.suffix for path in verdict.iterdir()} == {".md", ".xml"}
    shutil.rmtree(runner.folder / "artifacts" / f"gate-{environment()['transformers']}-2")
    assert runner.run("verdict") == [2]
    assert "shard 2 of 2 is missing" in runner.printed


@pytest.mark.skipif(sys.platform == "win32", reason="its steps are written for bash")
def test_a_shard_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    """The verdict is given all the same, and has nothing to go by."""
    candidate = checkout(tmp_path / "candidate", "1.6.2")
    (tmp_path / "headcount").mkdir()
    inputs = {"headcount": "OWNER/headcount", "options": "--base no-such-build"}
    runner = Runner(tmp_path / "runner", inputs, {"": candidate, "OWNER/headcount": tmp_path / "headcount"})
    assert runner.run("shard") == [2, 2]
    assert "'no-such-build' is no build" in runner.printed
    assert WORKFLOW["jobs"]["verdict"]["if"] == "${{ !cancelled() }}"
    assert runner.run("verdict") == [2]
    assert "cannot read shards/" in runner.printed


@pytest.mark.skipif(sys.platform == "win32", reason="its steps are written for bash")
def test_the_action_runs_the_gate_on_what_was_checked_out(tmp_path: Path) -> None:
    """An input is a word of the call, and no code."""
    (tmp_path / "nox").write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    (tmp_path / "nox").chmod(0o755)
    (step,) = (step for step in ACTION["runs"]["steps"] if "nox -s" in step.get("run", ""))
    given = {name: each["default"] for name, each in ACTION["inputs"].items()}
    given |= {"candidate": "$(touch here)", "options": "--base 1.6.0 --strict"}
    filled = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: given[m[1]], text) for name, text in step["env"].items()
    }
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **filled},
        capture_output=True,
        text=True,
        check=True,
    )
    words = ["-s", "gate(transformers='4.57.6')", "--", "$(touch here)", "--base", "1.6.0", "--strict"]
    assert done.stdout.strip() == str(words)
    assert not (tmp_path / "here").exists()
    assert given["transformers"] in WORKFLOW["jobs"]["shard"]["strategy"]["matrix"]["transformers"]
