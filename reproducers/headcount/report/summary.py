"""The document as Markdown, for a job's summary and an issue, and its counts as a terminal says them."""

from headcount.defects import Outcome
from headcount.report import table
from headcount.report.document import Comparison, Document, by_line
from headcount.report.gate import code_span, fenced, headline, in_words
from headcount.report.timeline import Mark
from headcount.results import Row

#: Cells of one kind that are listed one by one.
_LISTED = 20

_MARKS = {Mark.SHOWS: "X", Mark.FINE: ".", Mark.HIDDEN: "?", Mark.UNKNOWN: "?"}


def counts(document: Document) -> list[str]:
    """A line for each line of transformers, in the words of the matrix's own last line; then each gate's answer."""
    lines = [f"transformers {line}: {table.totals(rows)}" for line, rows in by_line(document).items()]
    for comparison in document.comparisons:
        answer = headline(comparison.verdict) if comparison.verdict else _between(comparison)
        lines.append(f"{answer}: {in_words(comparison.counts)}")
        lines += [f"DOUBT: {doubt}" for doubt in (comparison.verdict.doubts if comparison.verdict else ())]
    return lines


def markdown(document: Document) -> str:
    """What the page says, without its cells: counts, defects, what is not explained, comparisons."""
    lines = ["## Headcount", ""]
    lines += [f"**Not complete:** {code_span(problem)}\n" for problem in document.problems]
    lines += [*(f"- {code_span(line)}" for line in counts(document)), ""]
    for comparison in document.comparisons:
        lines += _comparison(comparison)
    for line, rows in by_line(document).items():
        table_ = fenced(table.render(rows, builds=document.builds), "text")
        lines += [f"<details><summary>transformers {line}</summary>", "", *table_, "", "</details>", ""]
    odd = [row for row in document.rows if row["outcome"] != Outcome.EXPECTED]
    if odd:
        lines += [f"{len(odd)} verdicts are not explained:", ""]
        lines += [f"- {code_span(row['build'] + '-' + row['cell'])}: {code_span(_odd(row))}" for row in odd[:_LISTED]]
        lines += [f"- and {len(odd) - _LISTED} more"] if len(odd) > _LISTED else []
        lines += [""]
    lines += _defects(document)
    return "\n".join(lines).rstrip() + "\n"


def _odd(row: Row) -> str:
    """What is not as the catalogue says."""
    if row["outcome"] == Outcome.UNEXPECTEDLY_FIXED:
        return f"{row['defect']} was foretold, and does not show"
    return f"{row['verdict']}: {row['reason']}"


def _defects(document: Document) -> list[str]:
    """A row for each defect: a sign for each build, and where it came and went."""
    if not document.timelines:
        return []
    over = f"Over {code_span(document.builds[0])} to {code_span(document.builds[-1])}"
    lines = [
        f"{over}: X shows, . a cell that could show it is fine, ? cannot be told",
        "",
        "| known defect | over the builds | in short |",
        "|---|---|---|",
    ]
    for found in document.timelines:
        marks = code_span("".join(_MARKS[mark] for mark in found.marks))
        lines.append(f"| {found.defect.id} | {marks} | {code_span(found.story.replace('|', '/'))} |")
    return lines


def _comparison(comparison: Comparison) -> list[str]:
    verdict = comparison.verdict
    lines = [f"{code_span(headline(verdict) if verdict else _between(comparison))}: {in_words(comparison.counts)}", ""]
    if verdict:
        lines += [f"- doubtful: {code_span(doubt)}" for doubt in verdict.doubts]
        lost = [breach for breach in verdict.breaches if breach.lost]
        lines += [f"- {code_span(breach.path)}: {code_span(breach.what)}" for breach in lost[:_LISTED]]
        lines += [f"- and {len(lost) - _LISTED} more names are gone"] if len(lost) > _LISTED else []
    differences = comparison.told
    lines += [f"- {d.sort}: {code_span(d.cell)}: {code_span(d.what)}" for d in differences[:_LISTED]]
    lines += [f"- and {len(differences) - _LISTED} more"] if len(differences) > _LISTED else []
    return [*lines, ""]


def _between(comparison: Comparison) -> str:
    return f"{comparison.candidate}, compared with {comparison.base}"
