"""`headcount gate` as a user calls it: what it prints, what it writes, what it exits with."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headcount import builds, gate, results
from headcount.builds import Overlay
from headcount.cli import main
from headcount.errors import ExitCode, UsageError
from headcount.matrix import Cell
from headcount.matrix.cells import EDGE_CASES, known_cells
from helpers import ISSUE_410, PLAIN, checkout, fake_build, gate_file, git


@pytest.fixture(autouse=True)
def _cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [known_cells()[name] for name in (PLAIN, ISSUE_410)])
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Overlay]:
    """A fake build of a name, and of a version."""
    return partial(fake_build, tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "there is no candidate"),
        (["1.6.1", "--repo", "x"], "a candidate and --repo"),
        (["--ref", "main"], "--ref is of a clone"),
        (["no-such-build"], "is no build"),
        (["1.6.1", "--merge", "x"], "--merge reads results"),
        (["--merge", "x", "--base", "1.6.0"], "takes no --base"),
        (["--merge", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["1.6.1", "--cell", "vit-sideways"], "there is no cell 'vit-sideways'"),
        (["1.6.1", "--cell", f"vit0h-{PLAIN.partition('-')[2]}"], "there is no cell 'vit0h-"),
        (["1.6.1", "--cell", f"vit99h-{PLAIN.partition('-')[2]}"], "heads is 99, and may be 1 to 64"),
        (["--merge", "x", "--cell", PLAIN], "takes no --cell"),
    ],
)
def test_a_wrong_call(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", *words]) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_all_that_is_written(
    tmp_path: Path, made: Callable[..., Overlay], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page, the JUnit file, the job's summary and its annotations, with a file that shows the failure."""
    overlays = {"1.6.1": made("correct", "1.6.1"), "1.6.2": made("wrong-heads")}
    monkeypatch.setattr("headcount.builds.prepare", lambda build, **_: replace(overlays[build.label], spec=build.spec))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    folder = tmp_path / "results"
    assert main(["gate", "1.6.2", "--budget", "0", "--results", str(folder)]) == ExitCode.REGRESSION
    printed = capsys.readouterr().out
    assert printed.startswith("wrong-heads, against correct, transformers ")
    assert "2 cells: 1 regressed, 1 still ok" in printed
    assert "::error title=head pruning regressed::ok -> wrong-heads: block 0" in printed
    (page,) = folder.glob("*.md")
    assert page.read_text() == (tmp_path / "summary.md").read_text()
    assert f'--build 1.6.2 -k "{ISSUE_410} and not {ISSUE_410}-"' in page.read_text()
    assert "import torch_pruning as tp" in page.read_text()
    assert {path.suffix for path in folder.iterdir()} == {".jsonl", ".md", ".xml"}


def test_a_clone_with_changes_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is run is its HEAD, and not what lies in the folder."""
    wanted = []

    def prepare(build: builds.Build, **_: Any) -> Overlay:
        wanted.append(build.label)
        raise UsageError("far enough")

    monkeypatch.setattr("headcount.builds.prepare", prepare)
    clone = checkout(tmp_path / "clone")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        git(clone, *command)
    assert main(["gate", "--repo", str(clone)]) == ExitCode.USAGE
    assert "not committed" not in capsys.readouterr().err
    (clone / "setup.py").write_text("# other\n")
    assert main(["gate", "--repo", str(clone)]) == ExitCode.USAGE
    assert "has changes that are not committed, and not run" in capsys.readouterr().err


def test_why_there_is_no_file(tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so in its place."""
    overlays = {"1.6.1": made("correct", "1.6.1"), "1.6.2": made("leaves-a-limit")}
    cell = next(cell for cell in EDGE_CASES if cell.config.prune_num_heads)
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [cell])
    monkeypatch.setattr("headcount.builds.prepare", lambda build, **_: replace(overlays[build.label], spec=build.spec))
    assert main(["gate", "1.6.2", "--budget", "0", "--results", str(tmp_path / "results")]) == ExitCode.REGRESSION
    (page,) = (tmp_path / "results").glob("*.md")
    assert "# no file: no reproducer can be written for side-effect: " in page.read_text()


def test_shards_are_merged(tmp_path: Path, made: Callable[..., Overlay], capsys: pytest.CaptureFixture[str]) -> None:
    base, candidate = made("correct", "1.6.1"), made("wrong-heads")
    one, two = (str(gate_file(tmp_path, base, candidate, shard=(number, 2))) for number in (1, 2))
    merge = ["gate", "--results", str(tmp_path / "out"), "--merge"]
    assert main([*merge, one, two]) == ExitCode.REGRESSION
    assert "NOT fit for release" in capsys.readouterr().out
    assert main([*merge, one]) == ExitCode.USAGE
    assert "shard 2 of 2 is missing" in capsys.readouterr().err


def test_rows_that_say_what_was_not_observed_are_refused(
    tmp_path: Path, made: Callable[..., Overlay], capsys: pytest.CaptureFixture[str]
) -> None:
    path = gate_file(tmp_path, made("correct", "1.6.1"), made("wrong-heads"))
    forged, other = tmp_path / "forged.jsonl", tmp_path / "other.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    lines[0]["harness"] = "another"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    failing = next(line for line in lines if line.get("verdict", {}).get("kind") == "wrong-heads")
    failing |= {"verdict": {"kind": "ok"}, "explanation": {"outcome": "expected"}}
    lines[-1]["verdicts"] = dict(Counter(line["verdict"]["kind"] for line in lines if line.get("kind") == "row"))
    forged.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    for file, said in (
        (forged, "the row says ok, and what was observed is wrong-heads"),
        (other, "another Headcount's"),
    ):
        assert main(["gate", "--results", str(tmp_path / "out"), "--merge", str(file)]) == ExitCode.USAGE
        assert said in capsys.readouterr().err
    assert main(["gate", "--results", str(tmp_path / "out"), "--merge", str(path)]) == ExitCode.REGRESSION
    assert "rows judged again: they say what was observed" in capsys.readouterr().err


#: A call that the matrix does not have.
OTHER = "vit5h-local-prunenum-keepdims-heads2of5-chan1of4-steps1"


@pytest.mark.parametrize(("cell", "code"), [(OTHER, ExitCode.REGRESSION), (PLAIN, ExitCode.CLEAN)])
def test_exactly_the_cells_that_are_named(
    cell: str,
    code: ExitCode,
    tmp_path: Path,
    made: Callable[..., Overlay],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overlays = {"1.6.1": made("correct", "1.6.1"), "1.6.2": made("wrong-heads")}
    monkeypatch.setattr("headcount.builds.prepare", lambda build, **_: replace(overlays[build.label], spec=build.spec))
    folder = tmp_path / "results"
    assert main(["gate", "1.6.2", "--budget", "0", "--cell", cell, "--cell", cell, "--results", str(folder)]) == code
    printed = capsys.readouterr().out
    assert "\n1 cell: 1 " in printed
    assert ("of the cells that were named" in printed) is (code is ExitCode.CLEAN)
    (rows,) = folder.glob("*.jsonl")
    assert main(["gate", "--merge", str(rows), "--results", str(folder)]) == code


def test_shards_of_other_cells_are_refused(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("wrong-heads")
    parts = [
        gate_file(tmp_path, base, candidate, shard=(number, 2), chosen=(Cell.parse(cell),))
        for number, cell in ((1, OTHER), (2, PLAIN))
    ]
    with pytest.raises(UsageError, match="gates of different cells"):
        gate.summed_up([results.read(part) for part in parts])
