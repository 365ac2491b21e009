"""The table at the end of a run: a row per defect and scope, a column per build, the counts per verdict."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from headcount.defects import Outcome
from headcount.results import Row
from headcount.oracle.verdict import Kind

#: The table is readable at this width with every release in it: a label and 18 columns of 1 + 3.
WIDTH = 100
LABEL_WIDTH = 28


def render(rows: Sequence[Row], width: int = WIDTH, builds: Sequence[str] = ()) -> str:
    """All of it as plain text: defects by build, what is unexplained, counts.

    Args:
        builds: in the order of their columns; by default, that of the rows.
    """
    builds = builds or list(dict.fromkeys(row["build"] for row in rows))
    console = Console(width=width, color_system=None, highlight=False, markup=False, force_terminal=False)
    with console.capture() as capture:
        console.print(_defects(rows, builds))
        console.print()
        console.print(_counts(rows, builds))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def totals(rows: Iterable[Row]) -> str:
    """How many cells were asked, and what came of them, in one line."""
    rows = [row for row in rows if row["verdict"] != Kind.NOT_APPLICABLE]
    expected = [row for row in rows if row["outcome"] == Outcome.EXPECTED]
    ok = sum(row["verdict"] == Kind.OK for row in expected)
    explained = sum(row["defect"] is not None for row in expected)
    return (
        f"{len(rows)} cells: {ok} ok, {explained} explained by a known defect, {len(rows) - len(expected)} unexpected"
    )


def _defects(rows: Sequence[Row], builds: Sequence[str]) -> Table:
    """How many cells show each defect, split by the scope they rank in."""
    table = _empty("cells that show a defect", builds)
    shown = Counter((_name(row), _scope(row), row["build"]) for row in rows if _name(row))
    for name, scope in sorted({(name, scope) for name, scope, _ in shown}, key=_order):
        table.add_row(f"{name} {scope}", *(_number(shown[name, scope, build]) for build in builds))
    return table


def _counts(rows: Sequence[Row], builds: Sequence[str]) -> Table:
    table = _empty("cells per verdict", builds)
    counts = Counter((row["verdict"], row["build"]) for row in rows)
    for kind in Kind:
        if any(counts[kind, build] for build in builds):
            table.add_row(kind.value, *(_number(counts[kind, build]) for build in builds))
    return table


def _empty(title: str, builds: Sequence[str]) -> Table:
    """A table of fixed widths: eighteen releases, whose counts have three digits, fit the width."""
    table = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False, header_style="")
    table.add_column(title, width=LABEL_WIDTH, no_wrap=True, overflow="ellipsis")
    before = ""
    for build in builds:
        line, _, patch = build.rpartition(".")
        numbered = re.fullmatch(r"\d+\.\d+\.\d+", build) is not None  # CLONE@v1.6.0 is shown whole
        heading = f"{line if line != before else ''}\n.{patch}" if numbered else f"\n{build}"
        before = line if numbered else ""
        table.add_column(heading, width=3 if numbered else None, justify="right", no_wrap=True)
    return table


def _name(row: Row) -> str:
    """The defect a row counts for; what no defect explains is named first of all."""
    if row["outcome"] == Outcome.UNEXPECTED_FAILURE:
        return "UNEXPLAINED"
    if row["outcome"] == Outcome.UNEXPECTEDLY_FIXED:
        return f"FIXED? {row['defect']}"
    return row["defect"] or ""


def _order(item: tuple[str, str]) -> tuple[bool, str, str]:
    return (not item[0].isupper() and not item[0].startswith("FIXED"), *item)


def _scope(row: Row) -> str:
    return "global" if row["config"].get("global_pruning") else "local"


def _number(count: int) -> str:
    return str(count) if count else "·"
