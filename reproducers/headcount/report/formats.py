"""The document as one page, as Markdown for a job's summary and an issue, and its counts as a terminal shows them.

The page needs nothing else, and its policy allows only its own script and style.
"""

import base64
import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from headcount import defects, results, wording
from headcount.report import gate, table
from headcount.report.document import Document
from headcount.report.markdown import render
from headcount.report.timeline import Mark

#: Cells of one kind that are listed one by one.
_LISTED = 20

_MARKS = {Mark.SHOWS: "X", Mark.FINE: ".", Mark.HIDDEN: "?", Mark.UNKNOWN: "?"}


def html(document: Mapping[str, Any]) -> str:
    """Return the page. What came from a build is text in it: escaped in the markup, and data to the script."""
    parts = files("headcount.report").joinpath("page")
    template, script, style = (
        parts.joinpath(name).read_text("utf-8") for name in ("page.html.j2", "page.js", "page.css")
    )
    shown = {kind for counted in document["counts"].values() for kind in counted}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        **document,
        kinds=sorted(shown, key=lambda kind: (kind != "ok", kind)),
        data=Markup(_inert(document)),  # noqa: S704 - see there
        script=Markup(script),  # noqa: S704 - our own
        style=Markup(style),  # noqa: S704 - our own
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


def _inert(document: Mapping[str, Any]) -> str:
    """Return JSON in which nothing can end the element that it stands in, nor begin a comment."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def markdown(document: Document) -> str:
    """Return what the page says, without its cells: counts, defects, what is not explained, comparisons."""
    return render(
        "summary.md.j2",
        {"what": gate.what, "why": _why, "changes": gate.in_words, "mark": _MARKS.__getitem__},
        document=document,
        counts=counts(document),
        tables={v: table.render(rows, builds=document.builds) for v, rows in document.by_version.items()},
        odd=[row for row in document.rows if row.outcome is not defects.Outcome.EXPECTED],
        some=_LISTED,
    )


def _why(row: results.Row) -> str:
    """Say what is not as recorded."""
    if row.outcome is defects.Outcome.UNEXPECTEDLY_FIXED:
        return f"{row.explanation.defect} is recorded, and does not show"
    return wording.verdict(row.verdict)


def counts(document: Document) -> list[str]:
    """Return a line for each transformers version, as the matrix's own last line; then each gate's answer."""
    lines = [f"transformers {version}: {table.totals(rows)}" for version, rows in document.by_version.items()]
    for comparison in document.comparisons:
        lines.append(f"{comparison.title}: {gate.in_words(comparison.differences)}")
        lines += [f"DOUBT: {doubt}" for doubt in (comparison.verdict.doubts if comparison.verdict else ())]
    return lines
