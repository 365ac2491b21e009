"""The gate on real releases: what 1.4.1 broke and 1.4.2 mended, looked up where the matrix has observed it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from headcount.gate import compare as gate
from headcount.gate import run as gating
from headcount.matrix import cells as matrix
from headcount.builds import RELEASES, Overlay
from headcount.isolation.engine import Engine
from headcount.environment import environment
from headcount.gate.compare import Sort
from headcount.report.gate import text
from headcount.results import Row, judged
from headcount.oracle.verdict import Kind

README = Path(__file__).parents[2] / "README.md"


def rows(engine: Engine, overlay: Overlay) -> list[Row]:
    return [judged(overlay, cell, engine.run(overlay, cell)) for cell in gating.every_cell()]


@pytest.mark.parametrize(
    ("before", "after", "sort"), [("1.4.0", "1.4.1", Sort.REGRESSED), ("1.4.1", "1.4.2", Sort.FIXED)]
)
def test_issue_410_is_told(
    releases: Mapping[str, Overlay], recalling: Engine, before: str, after: str, sort: Sort
) -> None:
    base, candidate = rows(recalling, releases[before]), rows(recalling, releases[after])
    bad = {r["cell"] for r in (candidate if sort is Sort.REGRESSED else base) if r["defect"] == "410-total-heads"}
    fine = {r["cell"] for r in (base if sort is Sort.REGRESSED else candidate) if r["verdict"] == Kind.OK}
    told = {d.cell for d in gate.compare(base, candidate) if d.sort is sort}
    assert len(bad & fine) > 30  # every local call that prunes heads in one step
    assert bad & fine <= told


def test_a_release_is_fit_if_it_is_the_same(releases: Mapping[str, Overlay], recalling: Engine) -> None:
    newest = releases[RELEASES[-1]]
    same = gating.request(newest, newest)
    some = matrix.default_cells()[::20]
    before, after = (
        [judged(overlay, cell, recalling.run(overlay, cell, recall=recall)) for cell in some]
        for overlay, recall in ((same.base, True), (same.candidate, False))
    )
    found = gate.compare(before, after)
    assert len(found) == len(some)
    assert {d.sort for d in found} <= {Sort.STILL_OK, Sort.STILL_FAILING, Sort.NOT_COMPARED}


def test_the_readme_says_what_the_gate_says(releases: Mapping[str, Overlay], recalling: Engine) -> None:
    """Of the cells, on the line of transformers that it names; each regression was made sure of before."""
    said = README.read_text("utf-8")
    if f"against 1.4.0, transformers {environment()['transformers']}" not in said:
        pytest.skip("the README is of another line of transformers")
    asked = gating.request(releases["1.4.0"], releases["1.4.1"])
    verdict = gate.Verdict(
        base=vars(asked.base),
        candidate=vars(asked.candidate),
        environment=environment(),
        differences=gate.compare(rows(recalling, asked.base), rows(recalling, asked.candidate)),
    )
    lines = text(verdict).splitlines()
    assert "\n".join(lines[1:4]) in said
    assert lines[0] in said  # it goes on with the names that are gone
