"""`nox -s canary`: what it runs, its report, and the workflow that keeps one issue."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

import newest
from headcount import builds
from headcount.builds import OFFLINE, RELEASES
from headcount.errors import ExitCode
from helpers import PLAIN, ROOT, make_wheel, miniature_wheel

WORKFLOWS = ROOT / ".github/workflows"


def test_it_runs_what_is_new_and_the_main_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for version in (RELEASES[-1], "1.6.2"):
        make_wheel(tmp_path, version=version)
    monkeypatch.delenv(OFFLINE)
    for name, value in (("FIND_LINKS", str(tmp_path)), ("NO_INDEX", "1"), ("CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(ROOT)
    builds.released.cache_clear()
    branch = miniature_wheel(tmp_path, "crash-step", version="1.6.3.dev0")
    words = ["--main", branch, "--results", str(tmp_path / "results"), "-k", PLAIN, "-p", "no:cacheprovider"]
    try:
        code = newest.main(words)
    finally:
        builds.released.cache_clear()
    report = (tmp_path / "results/canary.md").read_text("utf-8")
    assert code == ExitCode.REGRESSION, report
    assert report.startswith("# Canary: something is another than recorded\n")
    assert f"builds: {RELEASES[-1]}, 1.6.2, {branch}" in report
    assert "new, and not recorded: 1.6.2" in report
    assert "    3 cells: 2 ok, " in report
    assert str(tmp_path / "results/canary.md") in capfd.readouterr().err


def test_a_main_branch_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path))
    said = newest.without_main(f"git+file://{tmp_path}/nowhere.git")
    assert said.startswith("; without upstream's main branch: cannot install ")
    assert "\n" not in said


@pytest.mark.parametrize(("code", "said"), [(0, "as recorded"), (3, "undecided"), (4, "exit code 4"), (-9, "exit")])
def test_the_report_quotes_what_was_printed(code: int, said: str) -> None:
    text = newest.report(code, ["1.6.1"], "releases as of today", ["```", "# forged", "@everyone"])
    assert text.startswith(f"# Canary: {said}")
    assert text.endswith("    ```\n    # forged\n    @everyone\n")


@pytest.mark.parametrize(("known", "done"), [("", "create --title"), ("7", "edit 7")])
def test_one_issue_is_kept(known: str, done: str, tmp_path: Path) -> None:
    job = yaml.safe_load((WORKFLOWS / "canary.yml").read_text("utf-8"))["jobs"]["issue"]
    (tmp_path / "gh").write_text(f'#!/bin/sh\nif [ "$2" = list ]; then echo "{known}"; else echo "$@" > asked; fi\n')
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "canary.md").write_text("# Canary: x\n")
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "RUN": "https://run"}
    subprocess.run(["bash", "-e", "-c", job["steps"][-1]["run"]], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "asked").read_text().startswith(f"issue {done}")
    assert (tmp_path / "body.md").read_text() == "# Canary: x\n\nhttps://run\n"


@pytest.mark.parametrize("name", ["canary", "release"])
def test_a_workflow_may_do_what_its_jobs_need_alone(name: str) -> None:
    workflow = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text("utf-8"))
    assert workflow["permissions"] == {}
    allowed = {job: rights["permissions"] for job, rights in workflow["jobs"].items()}
    assert [job for job, rights in allowed.items() if "write" in rights.values()] == [
        {"canary": "issue", "release": "publish"}[name]
    ]
    for job in workflow["jobs"].values():
        checkouts = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)
