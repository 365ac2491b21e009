"""What a gate says of a mended release: what it fixes, by name, and whether anything breaks."""

from dataclasses import replace
from pathlib import Path

from headcount import gate
from headcount.defects import Explanation, Outcome
from headcount.report import mended
from helpers import REPORTED, fake_build, gated


def test_what_is_fixed_is_named_and_nothing_breaks(tmp_path: Path) -> None:
    verdict = _named(
        gated(tmp_path, fake_build(tmp_path, "wrong-heads"), fake_build(tmp_path, "correct", "1.6.3"), chosen=REPORTED)
    )
    said = mended.text(verdict, ["float-heads", "idle-step"])
    assert "fixes float-heads (" in said
    assert "no cell of the gate shows: idle-step" in said
    assert "breaks nothing: all " in said
    assert "BREAKS" not in said


def test_what_breaks_is_counted(tmp_path: Path) -> None:
    verdict = _named(
        gated(tmp_path, fake_build(tmp_path, "correct"), fake_build(tmp_path, "wrong-heads", "1.6.3"), chosen=REPORTED)
    )
    said = mended.text(verdict, ["float-heads"])
    assert "fixes none of these cells" in said
    assert "BREAKS " in said
    assert "breaks nothing" not in said


def _named(verdict: gate.GateVerdict) -> gate.GateVerdict:
    """Let each failure of the base be that of a defect."""
    named = [
        one
        if one.base is None or not one.base.verdict.is_failure
        else replace(one, base=replace(one.base, explanation=Explanation(Outcome.EXPECTED, "float-heads")))
        for one in verdict.differences
    ]
    return replace(verdict, differences=tuple(named))
