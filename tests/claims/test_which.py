"""Which release to take: one that leaves attention whole is none, though no sentence forbids it."""

import pytest

from headcount.cli import main
from headcount.defects import defect
from headcount.errors import ExitCode


def test_heads_that_stay_are_not_pruned_right(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "swin", "--head-ratio", "1/2", "--steps", "2"]
    assert main(["which", *words]) == ExitCode.REGRESSION
    printed = capsys.readouterr().out
    assert "1.3.0 to 1.4.0   ok              all heads stay, which the documentation leaves open" in printed
    assert "no release does it right; no head goes with 1.3.0 to 1.4.0" in printed


def test_the_way_that_is_named_where_no_release_does_it_right(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["which", "--model", "dinov2", "--head-ratio", "1/3"]
    assert main(words) == ExitCode.REGRESSION
    stay = "to stay on 1.6.1: --keep-width does it right there, or headcount fix 1.6.1 concat-half"
    assert stay in capsys.readouterr().out
    assert main([*words, "--keep-width"]) == ExitCode.CLEAN
    assert "take 1.6.1: " in capsys.readouterr().out


def test_a_failure_outside_the_matrix_looks_like_a_known_defect(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "swin", "--global", "--head-ratio", "1/2", "--steps", "2"]
    assert main(["which", *words]) == ExitCode.REGRESSION
    assert "[looks like per-head-table-steps]" in capsys.readouterr().out


def test_a_failure_in_the_matrix_is_the_recorded_defect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["which", "--head-ratio", "1/3"]) == ExitCode.CLEAN
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("1.4.1 "))
    assert line.endswith(f"[410-total-heads: {defect('410-total-heads').title}]")
