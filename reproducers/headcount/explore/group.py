"""What nobody has explained, grouped by what it looks like, and shrunk: one smallest call of each kind."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headcount import oracle
from headcount.examine import Examined, Pool
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


def grouped(failures: Iterable[Examined]) -> list[list[Examined]]:
    """Return failures by kind, the most frequent kind first, and the simplest call first in each."""
    kinds: dict[oracle.Signature, list[Examined]] = defaultdict(list)
    for found in failures:
        kinds[found.verdict.signature.anywhere].append(found)
    groups = [sorted(kind, key=lambda found: (len(found.cell.id), found.cell.id)) for kind in kinds.values()]
    return sorted(groups, key=lambda kind: (-len(kind), str(kind[0].verdict.signature.anywhere)))


def shrunk(pool: Pool, kind: list[Examined], is_explained: Callable[[Examined], bool]) -> Group:
    """Return a kind with its smallest call: it fails in the same way, and nothing explains it either.

    Calls that have no end are not shrunk: each try would be waited for.
    """
    first = kind[0]
    if first.verdict.kind is oracle.Kind.TIMEOUT:
        return Group(first.verdict.signature.anywhere, tuple(kind), first)
    seen = {first.cell: first}

    def fails(cell: Cell) -> bool:
        if why_invalid(cell):
            return False
        (found,) = pool.examine(first.build, [cell], recall=True)
        seen[cell] = found
        return (
            found.verdict.is_failure
            and found.verdict.signature.anywhere == first.verdict.signature.anywhere
            and not is_explained(found)
        )

    smallest = minimise(first.cell, fails, simpler)
    return Group(first.verdict.signature.anywhere, tuple(kind), seen[smallest])
