"""What is written down of the versions that the matrix was run with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import combinations
from combinations import Combination, combination, known, main, merged, table
from headcount import results
from headcount.environment import environment
from headcount.errors import ExitCode
from helpers import miniature_results

ONE = Combination("3.11.7", "2.13.0", "4.44.2", "2026-01-02", ("1.4.1", "1.6.1"), 990, 0, 36)


def test_a_later_run_takes_the_place_of_an_older_one() -> None:
    later = replace(ONE, day="2026-02-01", unexpected=1)
    other = replace(ONE, transformers="5.24.0")
    assert merged([ONE, other], [later]) == [other, later]
    assert merged([later], [ONE]) == [later]


def test_the_table() -> None:
    many = replace(ONE, releases=tuple("12345"), unexpected=3, not_applicable=0)
    assert table([ONE, many]).splitlines()[2:] == [
        "| 4.44.2 | 2.13.0 | 3.11.7 | 1.4.1, 1.6.1 | 2026-01-02 | 990 cells as expected, 36 do not apply |",
        "| 4.44.2 | 2.13.0 | 3.11.7 | 5 releases | 2026-01-02 | 3 cells unexpected |",
    ]


def test_what_is_made_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "combinations.json"
    record.write_text("[]")
    monkeypatch.setattr(combinations, "RECORD", record)
    whole = miniature_results(tmp_path, "correct", "crash-step")
    found = combination(results.read(whole))
    assert (found.transformers, found.releases) == (environment()["transformers"], ("correct", "crash-step"))
    assert (found.expected, found.unexpected, found.not_applicable) == (2, 2, 0)
    assert main([str(whole)]) == ExitCode.CLEAN
    assert known() == [found]
    before = json.loads(record.read_text())
    cut = miniature_results(tmp_path, "correct", complete=False)
    assert main([str(cut)]) == ExitCode.USAGE
    assert main([str(tmp_path / "nowhere.jsonl")]) == ExitCode.USAGE
    assert json.loads(record.read_text()) == before
