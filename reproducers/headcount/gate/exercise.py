"""Which of a candidate's changes ran, in how many calls, and in how many of these the two builds differ.

Copies with probes say what ran (see `probes`). The base's copy runs every call once, and its answers are kept. The
candidate's copy runs a few calls for each function that changed. A copy that does not do what its build does is not
believed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, reduce
from operator import or_

from headcount import builds, matrix
from headcount.gate.source import Changes, Kind, Piece, Place, Source, source
from headcount.gate.unreached import reasons
from headcount.observation import Failure, Observation

#: Calls that are run on the candidate's copy for each function that changed; as many again where a change did not run.
CALLS_A_FUNCTION = 10

#: Most calls that are run so.
MOST_CALLS = 60

_PACKAGE = "torch_pruning/"


class Fate(StrEnum):
    """What became of a change."""

    NOT_RUN = "not run"
    SAME = "run, and the same"
    DIFFERENT = "run, and different"


@dataclass(frozen=True)
class Exercised:
    """One change of the source, and what became of it.

    Attributes:
        file: from the package on.
        function: the function or class that it is in, "" for none.
        first, last: its lines: the candidate's, or the base's if it is gone.
        gone: it is the base's, and the candidate does not have it.
        kind: what it is.
        cells: the calls that ran it.
        differ: how many of these came to something else.
        why: why no call of head pruning runs it, where that is known.
    """

    file: str
    function: str
    first: int
    last: int
    gone: bool = False
    kind: Kind = Kind.STATEMENT
    cells: tuple[str, ...] = ()
    differ: int = 0
    why: str = ""

    @property
    def fate(self) -> Fate:
        """What became of it."""
        return Fate.NOT_RUN if not self.cells else Fate.DIFFERENT if self.differ else Fate.SAME

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.last - self.first + 1

    @property
    def place(self) -> str:
        """Where it is, for people: `pruner/importance.py:12-14`."""
        return f"{self.file}:{self.first}" + (f"-{self.last}" if self.last > self.first else "")


def alike(cell: matrix.Cell, one: Observation, other: Observation) -> bool:
    """Return whether a build and its copy did the same. What is drawn at random is compared by how it ended."""
    if cell.config.importance is matrix.Criterion.RANDOM:
        return one.ending is other.ending
    return bare(one) == bare(other)


def bare(observation: Observation) -> Observation:
    """Return what a build did, without what differs from run to run, and from a build to its copy."""
    plain = replace(observation, seconds={}, printed="", recalled=False, ran="", attributes=(), parameters=())
    use = plain.use and replace(plain.use, failure=_bare(plain.use.failure))
    return replace(plain, failure=_bare(plain.failure), output_failure=_bare(plain.output_failure), use=use)


def _bare(failure: Failure | None) -> Failure | None:
    return failure and replace(failure, traceback="", message=failure.text)


# --- what a piece's running means ----------------------------------------------------------------


def masks(whole: Source, pieces: Iterable[Piece], *, noted: bool = True) -> list[int]:
    """Return for each piece of a source the probes any of which says that it ran, as a number.

    Args:
        noted: whether the copy notes that a default is left out; else it ran where its function did.
    """
    return [
        _entry(whole, piece.place) if piece.kind is Kind.DEFAULT and not noted else _mask(whole, piece)
        for piece in pieces
    ]


def calls(
    whole: Source, pieces: Iterable[Piece], ran: Mapping[str, int], *, noted: bool = True
) -> list[frozenset[str]]:
    """Return for each piece of a source the calls that ran it; `ran` has the probes of each call, as a number."""
    return [
        frozenset(id_ for id_, probes in ran.items() if probes & mask) for mask in masks(whole, pieces, noted=noted)
    ]


def _entry(whole: Source, place: Place) -> int:
    """Return the probe that says that a function was called."""
    return _any(whole, lambda piece: piece.place == place and piece.kind is Kind.SIGNATURE)


def union(found: Iterable[int]) -> int:
    """Return the probes that are in any of these."""
    return reduce(or_, found, 0)


def _mask(whole: Source, piece: Piece) -> int:
    match piece.kind:
        case Kind.OUTER:
            return _any(whole, lambda other: _reads(whole, other, piece))
        case Kind.CLASS:
            file, name = piece.place
            return _any(whole, lambda other: other.place[0] == file and other.place[1].startswith(f"{name}."))
        case _:
            return 1 << whole.numbers[id(piece)]


def _any(whole: Source, wanted: Callable[[Piece], bool]) -> int:
    inside = ((n, p) for n, p in enumerate(whole.pieces) if p.kind in (Kind.STATEMENT, Kind.SIGNATURE))
    return sum(1 << number for number, piece in inside if wanted(piece))


def _reads(whole: Source, reader: Piece, outer: Piece) -> bool:
    """Return whether a statement reads what one outside of any function defines."""
    (file, function), names = outer.place, {*outer.names}
    if not names & reader.reads:
        return False
    return bool(function) or reader.place[0] == file or bool(names & whole.defined.get(reader.place[0], frozenset()))


# --- which calls ---------------------------------------------------------------------------------


def chosen(
    base: Source, changes: Changes, ran: Mapping[str, int], cells: Sequence[matrix.Cell], each: int = CALLS_A_FUNCTION
) -> list[matrix.Cell]:
    """Return the calls to be run on the candidate's copy: for each changed function, such as its old form ran in.

    Args:
        ran: call -> the probes of the base that ran.
        cells: those to choose from.
        each: most calls for one function.
    """
    found: dict[matrix.Cell, None] = {}
    for place in changes.places:
        gone = union(masks(base, [piece for piece in changes.gone if piece.place == place], noted=False))
        entered = _entry(base, place)
        outer = _read_by(base, [piece for piece in changes.new if piece.place == place])
        for mask in (gone, entered, outer):
            if reached := [cell for cell in cells if ran.get(cell.id, 0) & mask]:
                found |= dict.fromkeys(spread(reached, each))
                break
    found |= {} if found else dict.fromkeys(spread(cells, each))  # all of it is new
    return list(found)[:MOST_CALLS]


def _read_by(base: Source, new: Iterable[Piece]) -> int:
    """Return the probes of what reads the names that new pieces outside of any function define."""
    names = {name for piece in new if piece.kind is Kind.OUTER for name in piece.names}
    return _any(base, lambda other: bool(names & other.reads)) if names else 0


def by_function(base: Source, changes: Changes) -> dict[str, int]:
    """Return changed function -> the base's probes that say that it ran, as a number."""
    return {
        place[1] or place[0].removeprefix(_PACKAGE): union(masks(base, [p for p in base.pieces if p.place == place]))
        for place in changes.places
    }


def spread(cells: Sequence[matrix.Cell], most: int) -> list[matrix.Cell]:
    """Return some of many calls that are as unlike as can be: each has most of what none before it has."""
    left, found, known = list(cells), list[matrix.Cell](), set[str]()
    while left and len(found) < most:
        best = max(left, key=lambda cell: len(_features(cell) - known))
        left.remove(best)
        found.append(best)
        known |= _features(best)
    return found


@cache
def _features(cell: matrix.Cell) -> frozenset[str]:
    config = cell.config
    plain = (config.global_pruning, config.prune_num_heads, config.prune_head_dims, config.iterative_steps > 1)
    own = (f"{name}{value}" for name, value in zip("gnds", plain, strict=True))
    return frozenset((cell.model.family, *config.extras(), *own))


# --- what became of each -------------------------------------------------------------------------


def exercised(
    both: tuple[builds.Overlay, builds.Overlay],
    changes: Changes,
    ran: tuple[Mapping[str, int], Mapping[str, int]],
    differing: Collection[str],
) -> tuple[Exercised, ...]:
    """Return what became of each change.

    Args:
        both: the base and the candidate.
        ran: of each, call -> the probes that ran.
        differing: the calls that came to something else.
    """
    base, candidate = map(source, both)
    # The base's copy has run all calls: those that ran what is replaced come to what stands there now.
    reached = [frozenset().union(*calls(base, old, ran[0], noted=False)) for old in changes.replaced]
    stand_ins = {id(piece) for old in changes.replaced for piece in old}
    only_gone = [piece for piece in changes.gone if id(piece) not in stand_ins]
    unread = (Exercised(name.removeprefix(_PACKAGE), "", 1, 1, why=why) for name, why in changes.unread.items())
    return (
        *(
            _exercised(piece, cells, len((cells | also) & {*differing} if cells else ()))
            for piece, cells, also in zip(changes.new, calls(candidate, changes.new, ran[1]), reached, strict=True)
        ),
        *(
            _exercised(piece, cells, len(cells & {*differing}), gone=True)
            for piece, cells in zip(only_gone, calls(base, only_gone, ran[0], noted=False), strict=True)
        ),
        *unread,
    )


def _exercised(piece: Piece, cells: frozenset[str], differ: int, *, gone: bool = False) -> Exercised:
    file, function = piece.place[0].removeprefix(_PACKAGE), piece.place[1]
    why = "" if cells else reasons().why(file, function)
    return Exercised(file, function, piece.first, piece.last, gone, piece.kind, tuple(sorted(cells)), differ, why)
