"""pytest as the matrix's runner, as a user calls it: exit statuses, messages, the results file, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from headcount import results
from headcount.environment import environment
from headcount.oracle import Kind
from helpers import PLAIN, ROOT, miniature_wheel

#: One cell that upstream issue 410 hits.
ISSUE_410 = "vit3h-local-prunenum-keepdims-heads1of3-chan1of2-steps1"


def command(tmp_path: Path, *options: str) -> list[str]:
    base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/matrix"]
    return [*base, "--results", str(tmp_path / "results"), *options]


def clean_environment(tmp_path: Path) -> dict[str, str]:
    """A cache of its own, and nothing of the xdist worker that this test may run in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_WORKER")}
    return {**kept, "HEADCOUNT_CACHE": str(tmp_path / "cache")}


def run(tmp_path: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(tmp_path) | variables
    return subprocess.run(
        command(tmp_path, *options), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def written(tmp_path: Path) -> results.Results:
    (path,) = (tmp_path / "results").glob("*.jsonl")
    return results.read(path)


def test_a_fine_cell(tmp_path: Path) -> None:
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "correct"), "-k", PLAIN)
    assert done.returncode == 0, done.stdout
    assert "1 cells: 1 ok, 0 explained by a known defect, 0 unexpected" in done.stdout
    read = written(tmp_path)
    assert read.complete
    assert [row.verdict.kind for row in read.rows] == [Kind.OK]


def test_cells_that_do_not_apply_test_nothing(tmp_path: Path) -> None:
    """Skipped, each for a reason, and together no green run."""
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "correct"), "--model", "clip_bare")
    if "nothing was tested" not in done.stdout:
        pytest.skip("this transformers runs a pruned CLIP")
    assert done.returncode == 3, done.stdout
    assert "nothing was tested: no pruner can do more: this model" in done.stdout


def test_a_second_run_observes_nothing_anew(tmp_path: Path) -> None:
    """And removes what a killed run has left, though it needs no folder of its own."""
    wheel = miniature_wheel(tmp_path, "correct")
    assert "were observed before" not in run(tmp_path, "--build", wheel, "-k", PLAIN).stdout
    left = tmp_path / "headcount-left" / "home"
    left.mkdir(parents=True)
    (left.parent / "owner").touch()
    again = run(tmp_path, "--build", wheel, "-k", PLAIN, TMPDIR=str(tmp_path))
    assert "1 of them were observed before" in again.stdout
    assert not left.exists()
    assert "were observed before" not in run(tmp_path, "--build", wheel, "-k", PLAIN, "--fresh").stdout


def test_the_junit_file_names_the_transformers_version(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    run(tmp_path, "--build", miniature_wheel(tmp_path, "correct"), "-k", PLAIN, f"--junitxml={report}")
    assert [path.name for path in tmp_path.glob("*.xml")] == [
        f"report-transformers-{environment()['transformers']}.xml"
    ]


def test_a_selection_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "correct"), "-k", "nosuchthing")
    assert done.returncode == 5
    assert not list((tmp_path / "results").iterdir())


def test_an_unexplained_failure_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "wrong-heads"), "-k", ISSUE_410, "-n", "2")
    assert done.returncode == 1, done.stdout
    assert "wrong-heads: block 0: 1 head is left, 2 should be: too few" in done.stdout
    assert "no known defect explains it" in done.stdout
    assert f"-- emit {ISSUE_410} --build {tmp_path}" in done.stdout
    assert re.search(r"UNEXPLAINED local +\d", done.stdout)
    assert written(tmp_path).complete


def test_a_known_defect_is_expected_by_name(tmp_path: Path) -> None:
    """In the short summary and in words, for those who ask for them."""
    wheel = miniature_wheel(tmp_path, "no-groupnorm")
    done = run(tmp_path, "--build", wheel, "-k", "by_groupnorm and local", "-rx", "-vv")
    assert done.returncode == 0, done.stdout
    footer = written(tmp_path).footer
    assert footer is not None
    cells = footer.rows
    assert f"{cells} cells: 0 ok, {cells} explained by a known defect, 0 unexpected" in done.stdout
    assert done.stdout.count(" XFAIL ") == cells
    assert done.stdout.count(" - groupnorm-gone: ") == cells
    assert f"{cells} xfailed" in done.stdout


def test_a_defect_that_no_longer_shows_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "correct", "1.4.1"), "-k", ISSUE_410)
    assert done.returncode == 1, done.stdout
    assert "fine, but a defect should show: 410-total-heads: " in done.stdout


def test_a_build_that_cannot_be_imported_is_never_green(tmp_path: Path) -> None:
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "crash-import"), "-k", PLAIN)
    assert done.returncode == 3, done.stdout
    assert "untestable: RuntimeError at import" in done.stdout
    assert "no import today" in done.stdout


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--build", "no-such-build"], 2, "'no-such-build' is no build: there is no such file or folder"),
        (["--build", "1.6.1", "--model", "vit7h"], 2, "no such model: vit7h (there are adaln"),
    ],
)
def test_a_wrong_call(tmp_path: Path, options: Sequence[str], status: int, says: str) -> None:
    done = run(tmp_path, *options)
    assert done.returncode == status
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    done = run(tmp_path, "--build", miniature_wheel(tmp_path, "correct"), "-k", PLAIN)
    assert done.returncode == 4
    assert "--results DIR names another folder" in done.stdout + done.stderr


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c(tmp_path: Path, sent: str) -> None:
    """Children gone, results kept up to there, and known as cut off."""
    environment = {**clean_environment(tmp_path), "TMPDIR": str(tmp_path)}
    hang = miniature_wheel(tmp_path, "hang-late")
    options = ["--build", hang, "-k", f"{PLAIN} or {ISSUE_410}", "-n", "1"]
    running = subprocess.Popen(
        command(tmp_path, *options),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell has its background jobs ignore Ctrl-C, nohup its own SIGHUP, and so would all that these start.
        preexec_fn=lambda: signal.signal(signal.Signals[sent], signal.SIG_DFL),  # noqa: PLW1509 - no thread holds a lock here
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("**/hanging")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    child = int(next(tmp_path.glob("**/hanging")).read_text())
    if sent == "SIGINT":  # from a terminal it reaches all
        os.killpg(running.pid, signal.SIGINT)
    else:
        os.kill(running.pid, signal.Signals[sent])
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 2, output
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(child)
    read = written(tmp_path)
    assert len(read.rows) >= 1
    assert not read.complete
    assert f"cut off: {len(read.rows)} of 2 cells were judged" in output


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
