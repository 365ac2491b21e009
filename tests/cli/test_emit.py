"""`headcount emit` and `minimise`: what they print, what they write, what they exit with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import miniatures
from headcount.cli import main
from headcount.defects import REPRODUCERS
from headcount.errors import ExitCode
from headcount.observation import ScriptRun
from helpers import ISSUE_410, PLAIN, miniature_wheel

OK = ScriptRun(0, "as expected")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))


def test_an_emitted_file_shows_the_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "shown.py"
    wheel = miniature_wheel(tmp_path, "wrong-heads")
    assert main(["emit", ISSUE_410, "--build", wheel, "-o", str(output)]) == ExitCode.CLEAN
    assert "shows it when run with" in capsys.readouterr().err
    text = output.read_text()
    assert '"head_pruning_ratio": 1 / 3, ' in text
    overlay = next(p for p in (tmp_path / "cache" / "overlays").glob("file-*") if p.is_dir())
    done = subprocess.run(
        [sys.executable, str(output)],
        env={**os.environ, "PYTHONPATH": f"{overlay}{os.pathsep}{REPRODUCERS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "heads are left, expected" in done.stderr


@pytest.mark.parametrize(("good", "status"), [("correct", 0), ("wrong-heads", 1)])
def test_a_test_for_upstream_fails_on_the_build_alone(tmp_path: Path, good: str, status: int) -> None:
    """It is a function that pytest finds; it imports nothing of ours, and does not name the build."""
    output = tmp_path / "test_shown.py"
    wheel = miniature_wheel(tmp_path, "wrong-heads")
    assert main(["emit", ISSUE_410, "--build", wheel, "--as", "pytest", "-o", str(output)]) == ExitCode.CLEAN
    text = output.read_text()
    assert "headcount" not in text
    assert Path(wheel).name not in text
    assert Path(wheel).stem not in text
    assert text.count("heads are left") == 1, "more than one check"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(output)],
        env={**os.environ, "PYTHONPATH": str(miniatures.build(tmp_path / "builds", good).path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert ("heads are left, expected" in done.stdout) is bool(status)


def test_a_file_that_shows_it_on_the_good_build_too_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good").mkdir()
    bad, good = miniature_wheel(tmp_path, "wrong-heads"), miniature_wheel(tmp_path / "good", "correct")
    call = ["emit", ISSUE_410, "--build", bad, "--good"]
    assert main([*call, bad]) == ExitCode.INDETERMINATE
    assert "fails on torch_pruning-1.6.1-py3-none-any, too" in capsys.readouterr().err
    assert main([*call, good]) == ExitCode.CLEAN
    assert "no known defect explains it" in capsys.readouterr().out.lower()


def test_minimise_prints_its_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["minimise", f"test_cell[{ISSUE_410}]", "--build", miniature_wheel(tmp_path, "crash-step")])
        == ExitCode.CLEAN
    )
    printed = capsys.readouterr()
    assert "prune_num_heads: True -> False" in printed.err
    assert "head_pruning_ratio: 1/3 -> 0" in printed.err
    assert "prune_num_heads" not in printed.out
    assert "kind is KeyError" in printed.out


@pytest.mark.parametrize(
    ("name", "cell", "code", "says"),
    [
        ("correct", PLAIN, ExitCode.USAGE, "is ok on"),
        ("correct", "vit-locl-nonsense", ExitCode.USAGE, "the nearest are vit"),
        ("crash-import", PLAIN, ExitCode.INDETERMINATE, "cannot be tested: RuntimeError at import"),
        ("hang-none", PLAIN, ExitCode.USAGE, "is ok on"),
    ],
)
def test_what_cannot_be_emitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, cell: str, code: int, says: str
) -> None:
    output = tmp_path / "shown.py"
    assert main(["emit", cell, "--build", miniature_wheel(tmp_path, name), "-o", str(output)]) == code
    assert says in capsys.readouterr().err
    assert not output.exists()


def test_what_a_release_never_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "vit-global-prunenum-keepdims-heads1of3-chan1of2-steps1-isomorphic"
    assert main(["emit", cell, "--build", miniature_wheel(tmp_path, "correct", "1.3.0")]) == ExitCode.USAGE
    assert "is not applicable to" in capsys.readouterr().err


def test_two_builds_are_one_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emit", f"1.4.1-{PLAIN}", "--build", miniature_wheel(tmp_path, "correct")]) == ExitCode.USAGE
    assert "the id names build 1.4.1, and --build torch_pruning-1.6.1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["emit", PLAIN, "--build", "1.4.1", "--build", "1.6.1"])
    assert "--build may be given once" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "shown.py"
    output.write_text("mine")
    assert main(["emit", PLAIN, "--build", "1.4.1", "-o", str(output)]) == ExitCode.USAGE
    assert "exists, and is left as it is" in capsys.readouterr().err
    assert output.read_text() == "mine"


def test_a_file_that_does_not_show_it_is_not_given_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headcount.isolation.engine.Engine.run_script", lambda *_, **__: OK)
    output = tmp_path / "shown.py"
    code = main(["emit", ISSUE_410, "--build", miniature_wheel(tmp_path, "wrong-heads"), "-o", str(output)])
    assert code == ExitCode.INDETERMINATE
    assert "nothing was written: the file for" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["emit", ISSUE_410], "no build is named (--build says which"),
        (
            ["emit", "idle-step", "--build", "1.6.1"],
            "idle-step is a known defect (its file is reproducers/idle_step.py)",
        ),
    ],
)
def test_what_cannot_be_is_said_at_once(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == ExitCode.USAGE
    assert problem in capsys.readouterr().err
