"""What each cell does on each release, recorded per transformers version: `expectations/<transformers>.tsv`.

A line a cell, a column a release. A token is `ok`, `n/a` (not applicable), `-` (not run), or `kind:defect:found`, where
`found` is what a wrong answer looks like, so that another wrong answer is another token. `nox -s record` writes the
files. They are read strictly, and a run holds every build to them.

`explain` says which known defect explains a verdict: by what is recorded for the cell, or by what it looks like.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files

from packaging.version import Version

from headcount import builds, errors, matrix, oracle
from headcount.defects.catalogue import DEFECTS, defect
from headcount.defects.defect import Defect
from headcount.matrix.cells import known_cells

_FAILURES = frozenset(kind.value for kind in oracle.Kind if oracle.Verdict(kind).is_failure)

NOT_RUN = "-"
NOT_APPLICABLE = "n/a"
FINE = "ok"

#: The first word of the last line, which counts the cells: a file without it was cut off.
END = "#end"

FOLDER = files("headcount.defects").joinpath("expectations")

_HINT = "nox -s record writes these files; they are not edited by hand"


@dataclass(frozen=True)
class Token:
    """One cell on one release."""

    kind: str
    defect: str = ""
    found: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.defect}:{self.found}" if self.defect else self.kind

    @classmethod
    def parse(cls, text: str, defects: Iterable[str]) -> "Token":
        """Return the token that is written so.

        Raises:
            ValueError: it is none, or names a defect that there is not.
        """
        token = cls(*text.split(":", 2))
        if text in (FINE, NOT_APPLICABLE, NOT_RUN):
            return token
        if not token.found or token.found != token.found.strip() or token.kind not in _FAILURES:
            raise ValueError(f"{text!r} is no token")
        if token.defect not in defects:
            raise ValueError(f"there is no defect {token.defect!r}")
        return token


@dataclass(frozen=True)
class Expectations:
    """All tokens of one transformers version: cell -> release -> token."""

    transformers: str
    tokens: Mapping[str, Mapping[str, Token]]

    def token(self, cell: matrix.Cell, release: str) -> Token | None:
        """Return what is recorded of a cell on a release; None if nothing is."""
        found = self.tokens.get(cell.id, {}).get(release)
        return None if found is None or found.kind == NOT_RUN else found

    def foretold(self, cell: matrix.Cell, release: str) -> str:
        """Return the defect that is recorded of a cell on a release; "" if it is fine, or nothing is recorded."""
        return (self.token(cell, release) or Token(FINE)).defect

    @cached_property
    def releases(self) -> Mapping[str, tuple[str, ...]]:
        """Defect -> the releases that show it, oldest first."""
        return _grouped((row[r].defect, r) for r in builds.RELEASES for row in self.tokens.values() if r in row)

    @cached_property
    def cells(self) -> Mapping[str, tuple[str, ...]]:
        """Defect -> the cells that show it on some release."""
        return _grouped((token.defect, cell) for cell, row in self.tokens.items() for token in row.values())


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Return what goes with each defect, each once, in order. Pairs without a defect are left out."""
    found: dict[str, dict[str, None]] = {}
    for id_, place in pairs:
        found.setdefault(id_, {})[place] = None
    return {id_: tuple(places) for id_, places in found.items() if id_}


def column(version: str) -> str:
    """Return the release to which a build of this version is held: the newest that is not newer; else the first."""
    return next((r for r in reversed(builds.RELEASES) if Version(r) <= Version(version)), builds.RELEASES[0])


@cache
def versions() -> tuple[str, ...]:
    """Return the transformers versions that are recorded, oldest first."""
    return tuple(
        sorted((e.name.removesuffix(".tsv") for e in FOLDER.iterdir() if e.name.endswith(".tsv")), key=Version)
    )


@cache
def recorded(transformers: str) -> Expectations:
    """Return what is recorded for a transformers version, or for the nearest one: the newest that is not newer.

    Raises:
        SetupError: nothing is recorded, or a file is not as `nox -s record` writes it.
    """
    known = versions()
    if not known:
        raise errors.SetupError("no expectations are recorded", "nox -s record writes them")
    nearest = next((v for v in reversed(known) if Version(v) <= Version(transformers)), known[0])
    return parse(
        FOLDER.joinpath(f"{nearest}.tsv").read_text("utf-8"),
        f"expectations/{nearest}.tsv",
        {each.id for each in DEFECTS},
    )


def parse(text: str, name: str, defects: Iterable[str]) -> Expectations:
    """Return the expectations of a file.

    Args:
        name: the file's, `expectations/4.57.6.tsv`.
        defects: the ids that tokens may name.

    Raises:
        SetupError: it was edited by hand, cut off, or written for another matrix; which line, and why.
    """
    head, *lines = text.split("\n")
    if head.split("\t") != ["cell", *builds.RELEASES]:
        raise errors.SetupError(f"{name}, line 1: its columns are not the {len(builds.RELEASES)} releases", _HINT)
    tokens: dict[str, Mapping[str, Token]] = {}
    number = 1
    try:
        for number, line in enumerate(lines, 2):
            if line.startswith(END):
                _check_end(lines[number - 2 :], tokens)
                break
            tokens |= _row(line, defects, last=next(reversed(tokens), ""))
        else:
            _check_end([], tokens)
    except ValueError as error:
        raise errors.SetupError(f"{name}, line {number}: {error}", _HINT) from error
    return Expectations(name.rpartition("/")[2].removesuffix(".tsv"), tokens)


def _row(line: str, defects: Iterable[str], last: str) -> dict[str, Mapping[str, Token]]:
    """Return a line's cell with its tokens.

    Raises:
        ValueError: it is none that `nox -s record` has written after the cell `last`.
    """
    id_, *row = line.split("\t")
    if id_ not in known_cells():
        raise ValueError(f"the matrix has no cell {id_!r}")
    if id_ <= last:
        raise ValueError(f"{id_} is there twice, or out of order")
    if len(row) != len(builds.RELEASES):
        raise ValueError(f"it has {len(row)} tokens for {len(builds.RELEASES)} releases")
    tokens = dict(zip(builds.RELEASES, (Token.parse(word, defects) for word in row), strict=True))
    for token in tokens.values():
        if token.defect and not defect(token.defect).may_show.holds(known_cells()[id_]):
            raise ValueError(f"{token.defect} cannot show in {id_}")
    return {id_: tokens}


def _check_end(lines: list[str], tokens: Mapping[str, Mapping[str, Token]]) -> None:
    if lines != [f"{END}\t{len(tokens)}", ""]:
        raise ValueError("it is cut off: its last line does not count its cells")
    if missing := known_cells().keys() - tokens.keys():
        raise ValueError(f"it lacks the cell {min(missing)}")


class Outcome(StrEnum):
    """A verdict compared with what is recorded."""

    EXPECTED = "expected"
    UNEXPECTED_FAILURE = "unexpected-failure"
    UNEXPECTEDLY_FIXED = "unexpectedly-fixed"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Explanation:
    """A verdict seen through the catalogue.

    Attributes:
        defect: the recorded one, which this is, or which should show and does not; "" if there is none.
        looks_like: known defects that a failure looks like, where none is recorded.
    """

    outcome: Outcome
    defect: str = ""
    looks_like: tuple[str, ...] = ()


#: What it comes to where a build was not run, whatever is recorded.
_UNTESTED = {oracle.Kind.NOT_APPLICABLE: Outcome.EXPECTED, oracle.Kind.UNTESTABLE: Outcome.INDETERMINATE}


def explain(cell: matrix.Cell, verdict: oracle.Verdict, version: str, transformers: str) -> Explanation:
    """Return how a verdict compares with what is recorded.

    A release is held to its own column; any other build to the column of the release that it comes after.

    Args:
        version: the build's.
        transformers: the version that is installed.
    """
    if verdict.kind in _UNTESTED:
        return Explanation(_UNTESTED[verdict.kind])
    token = recorded(transformers).token(cell, column(version)) or Token(FINE)
    if verdict.kind is oracle.Kind.OK:
        return Explanation(Outcome.UNEXPECTEDLY_FIXED if token.defect else Outcome.EXPECTED, token.defect)
    # What was found names no message: another exception of the class in the function must not pass for the known one.
    if (verdict.kind, verdict.found) == (token.kind, token.found) and defect(token.defect).looks_like(cell, verdict):
        return Explanation(Outcome.EXPECTED, token.defect)
    return Explanation(Outcome.UNEXPECTED_FAILURE, "", tuple(d.id for d in looks_like(cell, verdict, column(version))))


def looks_like(cell: matrix.Cell, verdict: oracle.Verdict, release: str = "") -> tuple[Defect, ...]:
    """Return the known defects that a failure looks like; two where two do, and neither stands over the other.

    Args:
        release: only those that it shows, on some transformers version; all if it is "".
    """
    return ranked([d for d in DEFECTS if d.looks_like(cell, verdict) and (not release or release in releases_of(d.id))])


def ranked(found: Sequence[Defect]) -> tuple[Defect, ...]:
    """Return those that no other one of them stands over."""
    beaten = {id_ for each in found for id_ in each.over}
    return tuple(each for each in found if each.id not in beaten)


def releases_of(id_: str) -> frozenset[str]:
    """Return the releases that show a defect, on whatever transformers version."""
    return frozenset().union(*(recorded(version).releases.get(id_, ()) for version in versions()))
