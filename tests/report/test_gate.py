"""A gate's verdict for people: what a build says is text in all of it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from headcount.gate import Change
from headcount.matrix.cells import known_cells
from headcount.report import gate as report
from helpers import ISSUE_410, PLAIN, fake_build, gated


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
