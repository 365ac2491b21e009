"""Record what every cell does on every release: the files that the matrix holds builds to.

Each failure is run twice, the second time in other processes and in another order. What no defect explains is refused,
and so is what two explain of which none ranks first. What is recorded of a published release stays as it is, unless a
reason is given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headcount import wording
from headcount.builds import RELEASES, Overlay
from headcount.defects import DEFECTS, Defect, problems, ranked
from headcount.defects.expectations import NOT_RUN, Expectations, Token
from headcount.environment import environment
from headcount.errors import ExitCode, HeadcountError
from headcount.examine import Examined, Pool
from headcount.matrix import Cell
from headcount.matrix.cells import FULL_SIZE_RELEASES, ISSUE_410, every_cell
from headcount.oracle import Kind

#: Lines of a refusal that are shown one by one.
_SHOWN = 20

Tokens = dict[str, dict[str, Token]]


class RefusedError(HeadcountError):
    """What was observed is not recorded: it must be understood first."""

    exit_code = ExitCode.REGRESSION


@dataclass
class Recording:
    """What a run of `record` comes to.

    Attributes:
        tokens: cell -> release -> token, as far as one was found.
        refused: what cannot be recorded, and why.
        changed: what is another than what is recorded of a published release.
    """

    tokens: Tokens = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def cells_of(release: str) -> list[Cell]:
    """Return what is recorded of a release: every cell, and the full-size one where the matrix runs it."""
    return [*every_cell(), *[ISSUE_410] * (release in FULL_SIZE_RELEASES)]


def record(
    releases: Mapping[str, Overlay],
    known: Expectations | None,
    *,
    because: str = "",
    done: Callable[[Examined], None] = lambda _: None,
    cells: Callable[[str], Sequence[Cell]] = cells_of,
) -> Tokens:
    """Run every cell on these releases, and return all tokens.

    Args:
        known: what is recorded; None if nothing is.
        because: why what is recorded of a published release changes; "" if it must not.
        done: called with each cell that was run.
        cells: what is run on a release.

    Raises:
        RefusedError: no defect explains a failure, or two do; a failure did not repeat; a token would change.
    """
    found = Recording()
    if known is not None:
        found.tokens = {cell: dict(row) for cell, row in known.tokens.items()}
    seen = {release: _run(overlay, cells(release), done, recall=True) for release, overlay in releases.items()}
    for release, overlay in releases.items():
        failing = [examined.cell for examined in reversed(seen[release]) if examined.verdict.is_failure]
        again = {examined.cell: examined for examined in _run(overlay, failing, recall=False)}
        for examined in seen[release]:
            _keep(found, release, examined, again.get(examined.cell), known)
    if found.changed and not because:
        found.refused += [f"{line} (--because TEXT changes it)" for line in found.changed]
    if found.refused:
        more = f"\n... and {len(found.refused) - _SHOWN} more" if len(found.refused) > _SHOWN else ""
        raise RefusedError(f"{len(found.refused)} cells are not recorded:\n" + "\n".join(found.refused[:_SHOWN]) + more)
    for row in found.tokens.values():
        for release in RELEASES:
            row.setdefault(release, Token(NOT_RUN))
    return found.tokens


def _run(
    overlay: Overlay, cells: Sequence[Cell], done: Callable[[Examined], None] = lambda _: None, *, recall: bool
) -> list[Examined]:
    """Examine cells in processes that nothing else has used."""
    seen = []
    with Pool() as pool:
        for examined in pool.examine(overlay, cells, recall=recall):
            done(examined)
            seen.append(examined)
    return seen


def _keep(
    found: Recording, release: str, examined: Examined, again: Examined | None, known: Expectations | None
) -> None:
    """Keep a cell's token, or say why not."""
    cell, verdict = examined.cell, examined.verdict
    where = f"{release}-{cell.id}: {wording.verdict(verdict)}"
    before = known.token(cell, release) if known else None
    if again is not None and (again.verdict.kind, again.verdict.found) != (verdict.kind, verdict.found):
        found.refused.append(f"{where}: run again it is another: {wording.verdict(again.verdict)}")
        return
    if verdict.kind is Kind.UNTESTABLE:
        found.refused.append(f"{where}: it cannot be tested")
        return
    candidates = _explaining(examined, release, before, known) if verdict.is_failure else ()
    if verdict.is_failure and len(candidates) != 1:
        which = (
            f"{' and '.join(d.id for d in candidates)} match, and none is ranked" if candidates else "no defect matches"
        )
        found.refused.append(f"{where}: {which}")
        return
    token = Token.of(verdict, candidates[0].id if candidates else "")
    if before is not None and token != before:
        found.changed.append(f"{release}-{cell.id}: {before} is recorded, and it is {token}")
    found.tokens.setdefault(cell.id, {})[release] = token


def _explaining(
    examined: Examined, release: str, before: Token | None, known: Expectations | None
) -> tuple[Defect, ...]:
    """Return the defects that match a failure. What is recorded of it, of the release or of the one before decides."""
    found = [defect for defect in DEFECTS if defect.looks_like(examined.cell, examined.verdict)]
    same = [defect for defect in found if before is not None and before.defect == defect.id]
    if same:
        return tuple(same)
    place = RELEASES.index(release)
    near = {release, RELEASES[max(place - 1, 0)]}
    shown = [d for d in found if known is not None and near & set(known.releases.get(d.id, ()))]
    return ranked(shown or found)


def check() -> None:
    """Check the catalogue against what is recorded.

    Raises:
        RefusedError: an entry has no file, or shows nowhere, or not where it says.
    """
    if wrong := list(problems()):
        raise RefusedError(f"the catalogue of transformers {environment()['transformers']}: " + "; ".join(wrong))
