"""What nobody has explained, grouped by what it looks like, and shrunk: one smallest call of each kind."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from headcount import oracle
from headcount.examine import Examined, examine
from headcount.isolation import Engine
from headcount.matrix import Cell
from headcount.matrix.validity import why_invalid
from headcount.reproduce.minimise import minimise, simpler


@dataclass(frozen=True)
class Group:
    """Failures of one kind.

    Attributes:
        signature: what they have in common.
        found: all of them, as they were drawn.
        smallest: the smallest call that fails so.
    """

    signature: oracle.Signature
    found: tuple[Examined, ...]
    smallest: Examined


def kind_of(found: Examined) -> oracle.Signature:
    """Return what two failures of one kind have in common; a total is not known by how many blocks it is of."""
    signature = found.verdict.signature.unplaced
    return replace(signature, dimension=signature.dimension.partition(".")[0])


def grouped(failures: Iterable[Examined]) -> list[list[Examined]]:
    """Return failures by kind, the most frequent kind first, and the simplest call first in each."""
    kinds: dict[oracle.Signature, list[Examined]] = defaultdict(list)
    for found in failures:
        kinds[kind_of(found)].append(found)
    groups = [sorted(kind, key=lambda found: (len(found.cell.id), found.cell.id)) for kind in kinds.values()]
    return sorted(groups, key=lambda kind: (-len(kind), str(kind_of(kind[0]))))


def shrunk(engine: Engine, kind: list[Examined], is_explained: Callable[[Examined], bool]) -> Group:
    """Return a kind with its smallest call: it fails in the same way, and nothing explains it either."""
    first = kind[0]
    seen = {first.cell: first}

    def fails(cell: Cell) -> bool:
        if why_invalid(cell):
            return False
        seen[cell] = examine(engine, first.build, cell)
        found = seen[cell]
        return found.verdict.is_failure and kind_of(found) == kind_of(first) and not is_explained(found)

    smallest = minimise(first.cell, fails, neighbours=simpler)
    return Group(kind_of(first), tuple(kind), seen[smallest])
