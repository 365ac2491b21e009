"""The document as Markdown, for a job's summary and an issue, and its counts as a terminal shows them."""

from headcount.defects import Outcome
from headcount.gate import counted
from headcount.report import table
from headcount.report.document import Document
from headcount.report.gate import headline, in_words, what
from headcount.report.markdown import render
from headcount.report.sources import Comparison
from headcount.report.timeline import Mark
from headcount.results import Row
from headcount.wording import verdict

#: Cells of one kind that are listed one by one.
_LISTED = 20

_MARKS = {Mark.SHOWS: "X", Mark.FINE: ".", Mark.HIDDEN: "?", Mark.UNKNOWN: "?"}


def counts(document: Document) -> list[str]:
    """Return a line for each transformers version, as the matrix's own last line; then each gate's answer."""
    lines = [f"transformers {version}: {table.totals(rows)}" for version, rows in document.by_version.items()]
    for comparison in document.comparisons:
        lines.append(f"{_title(comparison)}: {_changes(comparison)}")
        lines += [f"DOUBT: {doubt}" for doubt in (comparison.verdict.doubts if comparison.verdict else ())]
    return lines


def markdown(document: Document) -> str:
    """Return what the page says, without its cells: counts, defects, what is not explained, comparisons."""
    return render(
        "summary.md.j2",
        {"what": what, "why": _why, "title": _title, "changes": _changes, "mark": _MARKS.__getitem__},
        document=document,
        counts=counts(document),
        tables={v: table.render(rows, builds=document.builds) for v, rows in document.by_version.items()},
        odd=[row for row in document.rows if row.outcome is not Outcome.EXPECTED],
        some=_LISTED,
    )


def _why(row: Row) -> str:
    """Say what is not as recorded."""
    if row.outcome is Outcome.UNEXPECTEDLY_FIXED:
        return f"{row.explanation.defect} is recorded, and does not show"
    return verdict(row.verdict)


def _title(comparison: Comparison) -> str:
    between = f"{comparison.candidate}, compared with {comparison.base}"
    return headline(comparison.verdict) if comparison.verdict else between


def _changes(comparison: Comparison) -> str:
    return in_words(counted(comparison.differences))
