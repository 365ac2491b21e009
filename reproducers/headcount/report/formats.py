"""The document as one page, as Markdown for a job's summary and an issue, and its counts as a terminal shows them.

The page needs nothing else, and its policy allows only its own script and style.
"""

import base64
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, utils
from markupsafe import Markup

from headcount import defects, results, wording
from headcount.report import gate, table, timeline
from headcount.report.document import Document
from headcount.report.markdown import render

_MARKS = {timeline.Mark.SHOWS: "X", timeline.Mark.FINE: ".", timeline.Mark.HIDDEN: "?", timeline.Mark.UNKNOWN: "?"}


def html(document: Mapping[str, Any]) -> str:
    """Return the page. What came from a build is text in it: escaped in the markup, and data to the script."""
    template, script, style = (
        files("headcount.report").joinpath("page", name).read_text("utf-8")
        for name in ("page.html.j2", "page.js", "page.css")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        **document,
        results_format=results.FORMAT,
        hidden=" hidden" if document["networks"] and not document["rows"] else "",
        kinds=sorted(set().union(*document["counts"].values()), key=lambda kind: (kind != "ok", kind)),
        data=utils.htmlsafe_json_dumps(document, separators=(",", ":")),
        script=Markup(script),  # noqa: S704 - our own
        style=Markup(style),  # noqa: S704 - our own
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def markdown(document: Document) -> str:
    """Return what the page says, without its cells: counts, defects, what is not explained, comparisons."""
    return render(
        "summary.md.j2",
        {"what": gate.what, "verdict": wording.verdict, "changes": gate.in_words, "mark": _MARKS.__getitem__},
        document=document,
        counts=counts(document),
        tables={v: table.render(rows, builds=document.builds) for v, rows in document.by_version.items()},
        odd=[row for row in document.rows if row.outcome is not defects.Outcome.EXPECTED],
        some=20,  # cells of one kind are listed one by one
    )


def counts(document: Document) -> list[str]:
    """Return a line for each transformers version, as the matrix's last; for each network; for each gate's answer."""
    lines = [f"transformers {version}: {table.totals(rows)}" for version, rows in document.by_version.items()]
    lines += [f"{network.title}: {network.advice}" for network in document.networks]
    for comparison in document.comparisons:
        lines.append(f"{comparison.title}: {gate.in_words(comparison.differences)}")
        lines += [f"DOUBT: {doubt}" for doubt in (comparison.verdict.ending.doubts if comparison.verdict else ())]
    return lines
