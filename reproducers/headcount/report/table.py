"""The table at the end of a run: a row per defect and scope, a column per build, the counts per verdict."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from headcount import defects, oracle, results
from headcount.wording import number

#: A terminal's usual width: a label, and columns of 1 + 3. Where there are more builds, tables follow each other.
WIDTH = 80
LABEL_WIDTH = 28
_COLUMNS = (WIDTH - LABEL_WIDTH - 2) // 4


def render(rows: Sequence[results.Row], builds: Sequence[str] = ()) -> str:
    """Return all of it as plain text: defects by build, what is unexplained, counts.

    Args:
        builds: in the order of their columns; by default, that of the rows.
    """
    builds = builds or list(dict.fromkeys(row.build for row in rows))
    shown: dict[tuple[bool, str], Counter[str]] = {}
    kinds: dict[str, Counter[str]] = {kind.value: Counter() for kind in oracle.Kind}
    for row in rows:
        kinds[row.verdict.kind][row.build] += 1
        if label := _label(row):
            shown.setdefault((row.outcome is defects.Outcome.EXPECTED, label), Counter())[row.build] += 1
    console = Console(width=WIDTH, color_system=None, highlight=False, markup=False, force_terminal=False)
    named = {name: found for (_, name), found in sorted(shown.items())}
    with console.capture() as capture:
        for part in _parts(builds):
            for title, counted in (("cells that show a defect", named), ("cells per verdict", kinds)):
                here = {name: found for name, found in counted.items() if any(found[build] for build in part)}
                console.print(_table(title, part, here))
                console.print()
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def _parts(builds: Sequence[str]) -> list[Sequence[str]]:
    """Return the builds of each table: as many as fit, and as many as in the others."""
    tables = -(-len(builds) // _COLUMNS)
    each = -(-len(builds) // max(tables, 1))
    return [builds[first : first + each] for first in range(0, len(builds), max(each, 1))]


def sentence(rows: Sequence[results.Row]) -> str:
    """Say in words what came of the cells of the last build."""
    build = rows[-1].build
    here = [row for row in rows if row.build == build and row.verdict.kind is not oracle.Kind.NOT_APPLICABLE]
    right = sum(row.verdict.kind is oracle.Kind.OK for row in here)
    known = [
        row.explanation.defect for row in here if row.outcome is defects.Outcome.EXPECTED and row.explanation.defect
    ]
    new = sum(row.outcome is defects.Outcome.UNEXPECTED_FAILURE for row in here)
    gone = sum(row.outcome is defects.Outcome.UNEXPECTEDLY_FIXED for row in here)
    unknown = sum(row.outcome is defects.Outcome.INDETERMINATE for row in here)
    parts = [
        f"{right} of {number(len(here), 'call')} right",
        *[f"{len(known)} hit {number(len(set(known)), 'known defect')}"] * bool(known),
        f"{new} new" if new else "nothing new",
        *[f"{gone} fixed"] * bool(gone),
        *[f"{unknown} not known"] * bool(unknown),
    ]
    return f"{build}: {'; '.join(parts)}"


def totals(rows: Iterable[results.Row]) -> str:
    """Say in one line how many cells were run, and what came of them."""
    rows = [row for row in rows if row.verdict.kind is not oracle.Kind.NOT_APPLICABLE]
    expected = [row for row in rows if row.outcome is defects.Outcome.EXPECTED]
    ok = sum(row.verdict.kind is oracle.Kind.OK for row in expected)
    explained = sum(bool(row.explanation.defect) for row in expected)
    return (
        f"{len(rows)} cells: {ok} ok, {explained} explained by a known defect, {len(rows) - len(expected)} unexpected"
    )


def _label(row: results.Row) -> str:
    """Name what a row counts for: a defect, or what none explains, and the scope that its call ranks in; or nothing."""
    gone = "FIXED? " if row.outcome is defects.Outcome.UNEXPECTEDLY_FIXED else ""
    name = "UNEXPLAINED" if row.outcome is defects.Outcome.UNEXPECTED_FAILURE else row.explanation.defect
    return f"{gone}{name} {'global' if row.config.get('global_pruning') else 'local'}" if name else ""


def _table(title: str, builds: Sequence[str], counted: Mapping[str, Mapping[str, int]]) -> Table:
    """Return a table of fixed widths: eighteen releases, whose counts have three digits, fit the width."""
    table = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False, header_style="")
    table.add_column(title, width=LABEL_WIDTH, no_wrap=True, overflow="ellipsis")
    for minor, patch in headings(builds):
        table.add_column(f"{minor}\n{patch}", min_width=3, justify="right", no_wrap=True)
    for name, counts in counted.items():
        table.add_row(name, *(str(counts.get(build) or "·") for build in builds))
    return table


def headings(builds: Sequence[str]) -> list[tuple[str, str]]:
    """Return two lines for each build's column: the minor version where a new one begins, then the patch.

    A build that is not named by its version, as CLONE@v1.6.0, is shown whole.
    """
    parts = [(*build.rsplit(".", 1),) if re.fullmatch(r"\d+\.\d+\.\d+", build) else ("", build) for build in builds]
    return [
        ("" if minor == before else minor, f".{patch}" if minor else patch)
        for (minor, patch), before in zip(parts, ["", *(minor for minor, _ in parts)], strict=False)
    ]
