"""A gate's verdict for people: what a build says is text in all of it."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from headcount.builds import RELEASES
from headcount.gate import ApiBreak, Change, Difference, Ending, Exercised, GateVerdict
from headcount.matrix.cells import known_cells
from headcount.report import gate as report
from headcount.results import Build
from helpers import ISSUE_410, PLAIN, fake_build, gated
from rows import row


def test_what_a_candidate_says_is_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [known_cells()[name] for name in (PLAIN, ISSUE_410)])
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    verdict = gated(tmp_path, fake_build(tmp_path, "correct", "1.6.1"), fake_build(tmp_path, "injects"))
    page = report.markdown(verdict)
    assert "&lt;script&gt;" in page
    markup = re.sub(r"(`+) .*? \1", "", page)  # what is no code
    assert "<script>" not in markup
    assert markup.count("</details>") == markup.count("<details>")
    assert "\n# fit" not in page
    root = ET.fromstring(report.junit(verdict))  # noqa: S314 - made a line above
    assert [len(case) for case in root.iter("testcase")].count(1) == len(verdict.of(Change.REGRESSED))
    printed = report.text(verdict)
    assert "\x1b" not in printed
    assert not any(line.startswith("::") for line in printed.splitlines())
    commands = re.compile(r"::(error|warning|notice) (file=[\w./-]+(,line=\d+,endLine=\d+)?,)?title=[a-z ]+::")
    assert all(map(commands.match, report.annotations(verdict)))


def test_the_first_lines_name_the_parameter_and_the_line() -> None:
    """A changed default by its parameter; a deleted line as such: the candidate has another one there."""
    build = Build(RELEASES[-1], "", RELEASES[-1], "abc")
    worse = (Difference("one", row("ok"), row("crash", cell="one"), Change.REGRESSED),)
    gone, new = Exercised("f.py", "step", 3, 4, gone=True, cells=("one",), differ=1), Exercised("f.py", "step", 9, 9)
    default = ApiBreak("f.step(heads)", removed=False, what="parameter default was changed")
    verdict = GateVerdict(
        build, build, {}, worse, (default,), Ending(exercised=(gone, new), functions={"one": ("step",)})
    )
    first = report.summary(verdict)
    assert first[0] == "changed for its callers: f.step (heads)"
    assert "changed: f.py:3-4 step, gone; as in one" in first[1]


def test_no_more_calls_differ_than_there_are() -> None:
    """Of a changed default, the calls that ran its old form are known too, and were not looked at again."""
    change = Exercised("f.py", "step", 3, 3, cells=("one", "two"), differ=1)
    assert report.change_in_words(change) == "f.py:3 step: run, and different, in 2 calls, 1 differs"
    assert report.change_in_words(replace(change, differ=7)) == "f.py:3 step: run, and different, in 7 calls"
