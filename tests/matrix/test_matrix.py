"""The regression suite: every cell on every build, judged, and compared with the catalogue of known defects."""

import shlex
from collections.abc import Callable

import pytest

from headcount.builds import Overlay
from headcount.defects import Comparison, Outcome, catalogue
from headcount.isolation.engine import Engine
from headcount.environment import environment
from headcount.matrix import Cell
from headcount.oracle.expectation import expect
from headcount.results import Row, row
from headcount.reproduce.script import is_writable
from headcount.oracle.verdict import Kind, Verdict, judge


def test_cell(engine: Engine, overlay: Overlay, cell: Cell, keep: Callable[[Row], None]) -> None:
    """A cell is fine, or a known defect explains exactly what is wrong with it."""
    observation = engine.run(overlay, cell)
    verdict = judge(expect(cell.model, cell.config), observation)
    comparison = catalogue().compare(verdict, cell, overlay.version, environment()["transformers"])
    keep(row(overlay, cell, observation, verdict, comparison))
    _tell(verdict, comparison, _emit(overlay, cell))


def _emit(overlay: Overlay, cell: Cell) -> str:
    """The command that writes a cell as a file that stands alone, if one can be written."""
    if not is_writable(cell):
        return f"on {cell.model.family}, of which no file can be written"
    session = f"headcount(transformers='{environment()['transformers']}')"
    return f'nox -s "{session}" -- emit {cell.id} --build {shlex.quote(overlay.spec or overlay.label)}'


def _tell(verdict: Verdict, comparison: Comparison, command: str) -> None:
    match comparison.outcome:
        case Outcome.UNEXPECTED_FAILURE:
            pytest.fail(
                f"{verdict.kind}: {verdict.reason}\nno known defect explains it: {verdict.signature}\n{command}",
                pytrace=False,
            )
        case Outcome.UNEXPECTEDLY_FIXED:
            assert comparison.defect is not None
            pytest.fail(
                f"fine, but {comparison.defect.id} should show: {comparison.defect.title}\n"
                "if this build mends it, all is well, and the entry in defects.toml needs an end",
                pytrace=False,
            )
        case Outcome.INDETERMINATE:
            pytest.fail(f"{verdict.kind}: {verdict.reason}", pytrace=False)
        case Outcome.EXPECTED if verdict.kind is Kind.NOT_APPLICABLE:
            pytest.skip(verdict.reason)
        case Outcome.EXPECTED:
            pass  # fine, or explained by a defect, which makes it an xfail: see conftest.py
