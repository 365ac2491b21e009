"""Explain failures by cures: the smallest set of remedies with which a call passes is what was wrong with it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from headcount import builds, matrix, oracle
from headcount.defects import Defect, column, defect, looks_like
from headcount.defects.remedies import cured, remedied
from headcount.examine import Examined, Pool

Chosen = frozenset[str]

Run = Callable[[dict[matrix.Cell, Chosen]], Iterator[tuple[Examined, Chosen]]]

#: Remedies that are added one after the other, as each failure shows the next.
_DEEPEST = 6


def cures(
    pool: Pool, build: builds.Overlay, failing: Sequence[Examined], *, recall: bool = True
) -> dict[matrix.Cell, Chosen]:
    """Return cell -> the defects whose remedies make it pass, none of which can be left out. Others have none."""
    fitting = {known.id: known for known in remedied(build)}

    def run(wanted: dict[matrix.Cell, Chosen]) -> Iterator[tuple[Examined, Chosen]]:
        for chosen, cells in _grouped(wanted):
            copy = cured(build, [fitting[name] for name in chosen])
            for found in pool.examine(copy, cells, recall=recall):
                yield found, chosen

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
    """Yield what to try next for each that fails: what the failure looks like besides; at last, all that may be."""
    for found, chosen in seen:
        alike = looks_like(found.cell, found.verdict, column(found.build.version))
        more = {known.id for known in alike} & fitting.keys()
        everything = frozenset(name for name in fitting if defect(name).may_show.holds(found.cell))
        if more - chosen and len(chosen) < _DEEPEST:
            yield found.cell, chosen | more
        elif chosen != everything:
            yield found.cell, everything


def _smallest(passing: dict[matrix.Cell, Chosen], run: Run) -> dict[matrix.Cell, Chosen]:
    """Return the sets without those that can be left out."""
    done: dict[matrix.Cell, Chosen] = {}
    tried: dict[matrix.Cell, list[str]] = {cell: sorted(chosen) for cell, chosen in passing.items()}
    while tried:
        wanted = {}
        for cell, names in list(tried.items()):
            if not names or len(passing[cell]) == 1:
                done[cell] = passing[cell]
                del tried[cell]
            else:
                wanted[cell] = passing[cell] - {names.pop()}
        for found, chosen in run(wanted):
            if _passes(found):
                passing[found.cell] = chosen
    return done


def _grouped(wanted: dict[matrix.Cell, Chosen]) -> Iterator[tuple[Chosen, list[matrix.Cell]]]:
    groups: dict[Chosen, list[matrix.Cell]] = defaultdict(list)
    for cell, chosen in wanted.items():
        groups[chosen].append(cell)
    yield from groups.items()
