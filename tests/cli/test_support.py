"""headcount support with sizes of the user's own: what is run, what is said, and what is refused."""

import json
from pathlib import Path

import pytest

import miniatures
from headcount.builds import Build, Overlay
from headcount.cli import main
from headcount.environment import environment
from headcount.errors import ExitCode


@pytest.fixture(autouse=True)
def _miniatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the releases: 1.4.1 fails as no known defect does, 1.4.2 cannot be imported, the others are right."""
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))

    def prepare(wanted: Build, **_: object) -> Overlay:
        name = {"1.4.1": "crash-step", "1.4.2": "crash-import"}.get(wanted.label, "correct")
        return miniatures.build(tmp_path / wanted.label, name)

    monkeypatch.setattr("headcount.builds.prepare", prepare)


def test_the_calls_are_run_on_models_of_these_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "said.json"
    words = ["support", "--model", "vit_bare", "--heads", "3", "--head-dim", "4", "--json", str(output)]
    assert main(words) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    assert "run on 2 blocks of 3 heads of 4 channels, with 72 in the MLP." in printed
    assert "more blocks may do otherwise. --layers with all of yours runs them." in " ".join(printed.split())
    (found,) = json.loads(output.read_text()).values()
    (row,) = found.values()
    assert row["1.4.0"] == row["1.6.1"] == {"state": "works", "defects": []}
    assert row["1.4.1"] == {"state": "broken", "defects": ["unexplained"]}
    assert row["1.4.2"] == {"state": "broken", "defects": ["untestable"]}
    assert "unexplained: no known defect explains it" in printed
    assert "untestable: it cannot be tested here" in printed


def test_nothing_is_open_where_all_blocks_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["support", "--model", "vit_bare", "--heads", "3", "--head-dim", "4", "--layers", "1"]
    assert main(words) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    assert "run on 1 block of 3 heads" in printed
    assert "more blocks may do otherwise" not in printed


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--size", "b", "--heads", "3"], "--size and --heads"),
        (["--heads", "5", "--width", "12"], "5 heads do not share 12 channels"),
        (["--heads", "4", "--model", "grouped"], "3 heads of queries read one of keys: 4 is no multiple"),
        (["--heads", "3", "--transformers", "4.1"], f"transformers {environment()['transformers']} is installed"),
    ],
    ids=["twice", "width", "family", "version"],
)
def test_sizes_that_are_none_are_refused(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", *words]) == ExitCode.USAGE
    assert problem in capsys.readouterr().err
