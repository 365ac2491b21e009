"""The gate on real releases: what 1.4.1 broke and 1.4.2 mended, looked up where the matrix has observed it."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from headcount import gate
from headcount.builds import RELEASES, Overlay
from headcount.cli import main
from headcount.environment import environment
from headcount.examine import examine
from headcount.gate import Change, GateVerdict
from headcount.isolation import Engine
from headcount.matrix.cells import default_cells
from headcount.oracle import Kind
from headcount.report.gate import text
from headcount.results import Build, Row

README = Path(__file__).parents[1] / "README.md"


def rows(engine: Engine, overlay: Overlay) -> list[Row]:
    return [Row.of(examine(engine, overlay, cell)) for cell in gate.every_cell()]


@pytest.mark.parametrize(
    ("before", "after", "change"), [("1.4.0", "1.4.1", Change.REGRESSED), ("1.4.1", "1.4.2", Change.FIXED)]
)
def test_issue_410_is_reported(
    releases: Mapping[str, Overlay], recalling: Engine, before: str, after: str, change: Change
) -> None:
    base, candidate = rows(recalling, releases[before]), rows(recalling, releases[after])
    worse, better = (candidate, base) if change is Change.REGRESSED else (base, candidate)
    bad = {row.cell for row in worse if row.explanation.defect == "410-total-heads"}
    fine = {row.cell for row in better if row.verdict.kind is Kind.OK}
    reported = {d.cell for d in gate.compare(base, candidate) if d.change is change}
    assert len(bad & fine) > 30  # every local call that prunes heads in one step
    assert bad & fine <= reported


def test_a_release_is_fit_if_it_is_the_same(releases: Mapping[str, Overlay], recalling: Engine) -> None:
    newest = releases[RELEASES[-1]]
    same = gate.request(newest, newest)
    some = default_cells()[::20]
    before, after = (
        [Row.of(examine(recalling, overlay, cell, recall=recall)) for cell in some]
        for overlay, recall in ((same.base, True), (same.candidate, False))
    )
    found = gate.compare(before, after)
    assert len(found) == len(some)
    assert {d.change for d in found} <= {Change.STILL_OK, Change.STILL_FAILING, Change.NOT_COMPARED}


def test_the_readme_says_what_the_gate_says(releases: Mapping[str, Overlay], recalling: Engine) -> None:
    """Of the cells, on the transformers version that it names; each regression was made sure of before."""
    said = README.read_text("utf-8")
    if f"against 1.4.0, transformers {environment()['transformers']}" not in said:
        pytest.skip("the README is of another transformers version")
    base, candidate = releases["1.4.0"], releases["1.4.1"]
    builds = [Build(build.label, build.spec, build.version, build.digest) for build in (base, candidate)]
    differences = gate.compare(rows(recalling, base), rows(recalling, candidate))
    verdict, cause, *_ = text(GateVerdict(builds[0], builds[1], environment(), differences)).splitlines()
    assert verdict in said  # it goes on with the names that are gone
    assert cause.partition(";")[0] in said


def test_the_front_page_says_which_release_to_take(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (words,) = re.findall(r"-- (which .*)\n", page)
    (said,) = re.findall(r"```text\n(take 1\..*?)\n```", page, re.DOTALL)
    main(words.split())
    printed = capsys.readouterr().out.splitlines()
    for line in filter(None, said.splitlines()):
        before, _, after = line.partition("…")
        assert any(found.startswith(before) and found.endswith(after) for found in printed), line
