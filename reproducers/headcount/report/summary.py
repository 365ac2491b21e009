"""The document as Markdown, for a job's summary and an issue, and its counts as a terminal says them."""

from headcount.defects import Outcome
from headcount.report import table
from headcount.report.document import Document, releases_of
from headcount.report.gate import code_span, fenced
from headcount.results import Row

#: Cells of one kind that are listed one by one.
_LISTED = 20


def counts(document: Document) -> list[str]:
    """A line for each line of transformers, in the words of the matrix's own last line."""
    return [f"transformers {line}: {table.totals(rows)}" for line, rows in by_line(document).items()]


def by_line(document: Document) -> dict[str, list[Row]]:
    """Line of transformers -> its rows."""
    lines = sorted({row["transformers"] for row in document.rows})
    return {line: [row for row in document.rows if row["transformers"] == line] for line in lines}


def markdown(document: Document) -> str:
    """What the page says, without its cells: counts, defects, what is not explained, a comparison."""
    lines = ["## Headcount", ""]
    lines += [f"**Not complete:** {code_span(problem)}\n" for problem in document.problems]
    lines += [*(f"- {line}" for line in counts(document)), ""]
    if document.comparison:
        lines += _comparison(document)
    for line, rows in by_line(document).items():
        table_ = fenced(table.render(rows), "text")
        lines += [f"<details><summary>transformers {line}</summary>", "", *table_, "", "</details>", ""]
    odd = [row for row in document.rows if row["outcome"] != Outcome.EXPECTED]
    if odd:
        lines += [f"{len(odd)} verdicts are not explained:", ""]
        lines += [
            f"- {code_span(row['build'] + '-' + row['cell'])}: {code_span(row['verdict'] + ': ' + row['reason'])}"
            for row in odd[:_LISTED]
        ]
        lines += [f"- and {len(odd) - _LISTED} more"] if len(odd) > _LISTED else []
        lines += [""]
    releases = releases_of(document)
    if releases:
        lines += ["| known defect | shows in |", "|---|---|"]
        lines += [f"| {defect} | {code_span(found)} |" for defect, found in releases.items()]
    return "\n".join(lines).rstrip() + "\n"


def _comparison(document: Document) -> list[str]:
    comparison = document.comparison
    assert comparison is not None
    found = document.to_json()["comparison"]
    told = ", ".join(f"{count} {sort}" for sort, count in found["counts"].items())
    lines = [f"{code_span(comparison.candidate)}, compared with {code_span(comparison.base)}: {told}", ""]
    differences = comparison.told
    lines += [f"- {d.sort}: {code_span(d.cell)}: {code_span(d.what)}" for d in differences[:_LISTED]]
    lines += [f"- and {len(differences) - _LISTED} more"] if len(differences) > _LISTED else []
    return [*lines, ""]
