"""What each cell does on each release, recorded per transformers version: `expectations/<transformers>.tsv`.

A line a cell, a column a release. A token is `ok`, `n/a` (not applicable), `-` (not run), or `kind:defect:found`, where
`found` is what a wrong answer looks like, so that another wrong answer is another token. `nox -s record` writes the
files. They are read strictly, and a run holds every build to them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

from packaging.version import Version

from headcount import builds, errors, matrix, oracle
from headcount.defects.catalogue import DEFECTS
from headcount.matrix.cells import known_cells

_FAILURES = frozenset(kind.value for kind in oracle.Kind if oracle.Verdict(kind).is_failure)

NOT_RUN = "-"
NOT_APPLICABLE = "n/a"
FINE = "ok"

_MAY_SHOW = {defect.id: defect.may_show for defect in DEFECTS}

#: The first word of the last line, which counts the cells: a file without it was cut off.
END = "#end"

FOLDER = files("headcount.defects").joinpath("expectations")


@dataclass(frozen=True)
class Token:
    """One cell on one release."""

    kind: str
    defect: str = ""
    found: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.defect}:{self.found}" if self.defect else self.kind

    def matches(self, verdict: oracle.Verdict) -> bool:
        """Return whether a failure is the recorded one, in kind and in what was found."""
        return bool(self.defect) and self.kind == verdict.kind and self.found == verdict.found

    @classmethod
    def parse(cls, text: str, defects: Iterable[str]) -> "Token":
        """Return the token that is written so.

        Raises:
            ValueError: it is none, or names a defect that there is not.
        """
        kind, _, rest = text.partition(":")
        defect, colon, found = rest.partition(":")
        if not rest and text in (FINE, NOT_APPLICABLE, NOT_RUN):
            return cls(text)
        if not colon or not found or found != found.strip() or kind not in _FAILURES:
            raise ValueError(f"{text!r} is no token")
        if defect not in defects:
            raise ValueError(f"there is no defect {defect!r}")
        return cls(kind, defect, found)


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
        found = self.token(cell, release)
        return found.defect if found else ""

    @cached_property
    def releases(self) -> Mapping[str, tuple[str, ...]]:
        """Defect -> the releases that show it, oldest first."""
        shown: dict[str, set[str]] = {}
        for row in self.tokens.values():
            for release, token in row.items():
                if token.defect:
                    shown.setdefault(token.defect, set()).add(release)
        return {defect: tuple(r for r in builds.RELEASES if r in found) for defect, found in shown.items()}

    @cached_property
    def cells(self) -> Mapping[str, tuple[str, ...]]:
        """Defect -> the cells that show it on some release."""
        shown: dict[str, dict[str, None]] = {}
        for cell, row in self.tokens.items():
            for token in row.values():
                if token.defect:
                    shown.setdefault(token.defect, {})[cell] = None
        return {defect: tuple(found) for defect, found in shown.items()}


def column(version: str) -> str:
    """Return the release to which a build of this version is held: the newest that is not newer; else the first."""
    return next((r for r in reversed(builds.RELEASES) if Version(r) <= Version(version)), builds.RELEASES[0])


@cache
def versions() -> tuple[str, ...]:
    """Return the transformers versions that are recorded, oldest first."""
    names = (entry.name.removesuffix(".tsv") for entry in FOLDER.iterdir() if entry.name.endswith(".tsv"))
    return tuple(sorted(names, key=Version))


def recorded(transformers: str) -> Expectations:
    """Return what is recorded for a transformers version, or for the nearest one: the newest that is not newer.

    Raises:
        SetupError: nothing is recorded, or a file is not as `nox -s record` writes it.
    """
    known = versions()
    if not known:
        raise errors.SetupError("no expectations are recorded", "nox -s record writes them")
    nearest = next((v for v in reversed(known) if Version(v) <= Version(transformers)), known[0])
    return _read(nearest)


@cache
def _read(transformers: str) -> Expectations:
    name = f"{transformers}.tsv"
    return parse(FOLDER.joinpath(name).read_text("utf-8"), f"expectations/{name}", {defect.id for defect in DEFECTS})


def parse(text: str, name: str, defects: Iterable[str]) -> Expectations:
    """Return the expectations of a file.

    Args:
        name: the file's, `expectations/4.57.6.tsv`.
        defects: the ids that tokens may name.

    Raises:
        SetupError: it was edited by hand, cut off, or written for another matrix; which line, and why.
    """

    def refused(number: int, why: str) -> errors.SetupError:
        return errors.SetupError(
            f"{name}, line {number}: {why}", "nox -s record writes these files; they are not edited by hand"
        )

    head, *lines = text.split("\n")
    if head.split("\t") != ["cell", *builds.RELEASES]:
        raise refused(1, f"its columns are not the {len(builds.RELEASES)} releases")
    tokens: dict[str, Mapping[str, Token]] = {}
    for number, line in enumerate(lines, 2):
        try:
            if line.startswith(END):
                _check_end(line, tokens, lines[number - 1 :])
                break
            id_, row = _row(line, defects, last=next(reversed(tokens), ""))
        except ValueError as error:
            raise refused(number, str(error)) from error
        tokens[id_] = row
    else:
        raise refused(len(lines) + 1, "it is cut off: its last line does not count its cells")
    return Expectations(name.rpartition("/")[2].removesuffix(".tsv"), tokens)


def _row(line: str, defects: Iterable[str], last: str) -> tuple[str, Mapping[str, Token]]:
    """Return a line's cell and tokens.

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
        if token.defect in _MAY_SHOW and not _MAY_SHOW[token.defect].holds(known_cells()[id_]):
            raise ValueError(f"{token.defect} cannot show in {id_}")
    return id_, tokens


def _check_end(line: str, tokens: Mapping[str, Mapping[str, Token]], rest: list[str]) -> None:
    """Check a file's last line.

    Raises:
        ValueError: it counts other cells, or something follows, or a cell of the matrix is missing.
    """
    if line != f"{END}\t{len(tokens)}" or rest != [""]:
        raise ValueError("it is cut off: its last line does not count its cells")
    if missing := known_cells().keys() - tokens.keys():
        raise ValueError(f"it lacks the cell {min(missing)}")
