"""Explain failures by cures: the smallest set of remedies with which a call passes is what was wrong with it."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from headcount import builds, isolation, matrix, oracle
from headcount.defects import Defect, column, defect, looks_like
from headcount.defects.remedies import cured, remedied
from headcount.examine import Examined, Pool, examine

Chosen = frozenset[str]

Run = Callable[[dict[matrix.Cell, Chosen]], Iterator[tuple[Examined, Chosen]]]

#: Remedies that are added one after the other, as each failure shows the next.
_DEEPEST = 6

#: Calls that are run on one copy at a time.
_AT_ONCE = 8


def cures(
    pool: Pool, build: builds.Overlay, failing: Sequence[Examined], without: Collection[str] = ()
) -> dict[matrix.Cell, Chosen]:
    """Return cell -> the defects whose remedies make it pass, none of which can be left out. Others have none.

    Args:
        without: defects whose remedies are not tried.
    """
    fitting = {known.id: known for known in remedied(build) if known.id not in without}

    def on_copy(engine: isolation.Engine, group: tuple[Chosen, Sequence[matrix.Cell]]) -> list[tuple[Examined, Chosen]]:
        chosen, cells = group
        copy = cured(build, [fitting[name] for name in chosen])
        return [(examine(engine, copy, cell), chosen) for cell in cells]

    def run(wanted: dict[matrix.Cell, Chosen]) -> Iterator[tuple[Examined, Chosen]]:
        # A copy takes as long to make as its calls take to run: several are made and run at a time.
        for seen in pool.map(on_copy, [*_grouped(wanted)]):
            yield from seen

    passing: dict[matrix.Cell, Chosen] = {}
    wanted = dict(_following(((found, frozenset()) for found in failing), fitting))
    while wanted:
        seen = list(run(wanted))
        passing |= {found.cell: chosen for found, chosen in seen if _passes(found)}
        wanted = dict(_following(((found, chosen) for found, chosen in seen if not _passes(found)), fitting))
    return _smallest(passing, run)


def _passes(found: Examined) -> bool:
    """Return whether nothing is wrong any more; of a model whose own code has its sizes fixed, with the weights."""
    return found.verdict.kind in (oracle.Kind.OK, oracle.Kind.NOT_APPLICABLE)


def _following(
    seen: Iterable[tuple[Examined, Chosen]], fitting: dict[str, Defect]
) -> Iterator[tuple[matrix.Cell, Chosen]]:
    """Yield what to try next on each failing call: the remedies so far, and those of what it looks like now.

    Where that adds none, every remedy is tried whose defect may show in the call.
    """
    for found, chosen in seen:
        alike = looks_like(found.cell, found.verdict, column(found.build.version))
        more = {known.id for known in alike} & fitting.keys()
        everything = frozenset(name for name in fitting if defect(name).may_show.holds(found.cell))
        if more - chosen and len(chosen) < _DEEPEST:
            yield found.cell, chosen | more
        elif chosen != everything:
            yield found.cell, everything


def _smallest(passing: dict[matrix.Cell, Chosen], run: Run) -> dict[matrix.Cell, Chosen]:
    """Return the sets without those that can be left out: each in turn is left out, and stays out if it can."""
    smallest = dict(passing)
    for name in sorted(frozenset().union(*passing.values()), reverse=True):
        others = {cell: chosen - {name} for cell, chosen in smallest.items() if name in chosen and len(chosen) > 1}
        smallest |= {found.cell: chosen for found, chosen in run(others) if _passes(found)}
    return smallest


def _grouped(wanted: dict[matrix.Cell, Chosen]) -> Iterator[tuple[Chosen, Sequence[matrix.Cell]]]:
    """Yield calls that are run on one copy, and not too many of them."""
    groups: dict[Chosen, list[matrix.Cell]] = defaultdict(list)
    for cell, chosen in wanted.items():
        groups[chosen].append(cell)
    for chosen, cells in groups.items():
        yield from ((chosen, cells[first : first + _AT_ONCE]) for first in range(0, len(cells), _AT_ONCE))
