"""Record what every cell does on every release: the files that the matrix holds builds to. Run it with `nox -s record`.

Each failure is run twice, the second time in other processes and in another order. What no defect explains is refused,
and so is what two explain of which none ranks first. What is recorded of a published release stays as it is, unless a
reason is given.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from check import problems
from headcount import builds, wording
from headcount.builds import RELEASES, Overlay
from headcount.defects import DEFECTS, Defect, ranked
from headcount.defects.expectations import END, FINE, FOLDER, NOT_APPLICABLE, NOT_RUN, Expectations, Token, parse
from headcount.environment import environment
from headcount.errors import ExitCode, HeadcountError
from headcount.examine import Pool
from headcount.matrix import Cell
from headcount.matrix.cells import SLOW, SLOW_RELEASES, every_cell, known_cells
from headcount.observation import Observation
from headcount.oracle import Kind, Verdict, judge
from headcount.report.console import progress, say

_HELP = """Write down what every cell does on every release.

Every cell of --all is run on each release, and each failure a second time in other processes. A failure that no
entry of the catalogue matches is refused, and so is one that two match of which none stands over the other: write or
rank the entry first. What is recorded of a published release changes only with --because.

  nox -s record                                         check that nothing has changed, or add a new release
  nox -s record -- --release 1.6.2                      add one release
  nox -s record -- --because "the oracle now counts X"  record anew what a better oracle sees

exit codes: 0 written, or as it was; 1 refused; 2 the call was wrong; 4 the set-up failed"""

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
    """Return what is recorded of a release: every cell, and the slow ones where the matrix runs them."""
    return [*every_cell(), *(SLOW if release in SLOW_RELEASES else ())]


def record(
    releases: Mapping[str, Overlay],
    known: Expectations | None,
    *,
    because: str = "",
    done: Callable[[str, Observation], None] = lambda *_: None,
    cells: Callable[[str], Sequence[Cell]] = cells_of,
) -> Tokens:
    """Run every cell on these releases, and return all tokens.

    Args:
        known: what is recorded; None if nothing is.
        because: why what is recorded of a published release changes; "" if it must not.
        done: called with the build and the observation of each cell that was run.
        cells: what is run on a release.

    Raises:
        RefusedError: no defect explains a failure, or two do; a failure did not repeat; a token would change.
    """
    found = Recording()
    if known is not None:
        found.tokens = {cell: dict(row) for cell, row in known.tokens.items()}
    seen = {release: _run(overlay, cells(release), done, recall=True) for release, overlay in releases.items()}
    for release, overlay in releases.items():
        failing = [cell for cell, verdict in reversed(seen[release].items()) if verdict.is_failure]
        again = _run(overlay, failing, recall=False)
        for cell, verdict in seen[release].items():
            _keep(found, (release, cell), verdict, again.get(cell, verdict), known)
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
    overlay: Overlay,
    cells: Sequence[Cell],
    done: Callable[[str, Observation], None] = lambda *_: None,
    *,
    recall: bool,
) -> dict[Cell, Verdict]:
    """Judge cells in processes that nothing else has used. Nothing is explained: what would is being recorded."""
    seen = {}
    with Pool() as pool:
        for cell, observation in pool.observe(overlay, cells, recall=recall):
            done(overlay.label, observation)
            seen[cell] = judge(cell, observation)
    return seen


def _keep(
    found: Recording, where: tuple[str, Cell], verdict: Verdict, again: Verdict, known: Expectations | None
) -> None:
    """Keep the token of a cell on a release, or say why not."""
    release, cell = where
    named = f"{release}-{cell.id}: {wording.verdict(verdict)}"
    before = known.token(cell, release) if known else None
    if (again.kind, again.found) != (verdict.kind, verdict.found):
        found.refused.append(f"{named}: run again it is another: {wording.verdict(again)}")
        return
    if verdict.kind is Kind.UNTESTABLE:
        found.refused.append(f"{named}: it cannot be tested")
        return
    candidates = _explaining(where, verdict, before, known) if verdict.is_failure else ()
    if verdict.is_failure and len(candidates) != 1:
        which = (
            f"{' and '.join(d.id for d in candidates)} match, and none is ranked" if candidates else "no defect matches"
        )
        found.refused.append(f"{named}: {which}")
        return
    token = _token(verdict, candidates[0].id if candidates else "")
    if before is not None and token != before:
        found.changed.append(f"{release}-{cell.id}: {before} is recorded, and it is {token}")
    found.tokens.setdefault(cell.id, {})[release] = token


def _explaining(
    where: tuple[str, Cell], verdict: Verdict, before: Token | None, known: Expectations | None
) -> tuple[Defect, ...]:
    """Return the defects that match a failure. If one is recorded for the cell, it is that one.

    Else only defects that the release shows are looked at; for a new release, those that the one before shows. A defect
    that is recorded nowhere may show anywhere.
    """
    release, cell = where
    found = [defect for defect in DEFECTS if defect.looks_like(cell, verdict)]
    same = [defect for defect in found if before is not None and before.defect == defect.id]
    if same:
        return tuple(same)
    tokens = known.tokens.values() if known else ()
    is_new = all(row.get(release, Token(NOT_RUN)).kind == NOT_RUN for row in tokens)
    near = RELEASES[max(RELEASES.index(release) - is_new, 0)]
    shows = known.releases if known else {}
    shown = [d for d in found if near in shows.get(d.id, (near,))]
    return ranked(shown or found)


def _token(verdict: Verdict, defect: str) -> Token:
    """Return the token of a verdict that a defect explains; "" if it is fine or not applicable."""
    if verdict.is_failure:
        return Token(str(verdict.kind), defect, verdict.found)
    return Token(FINE if verdict.kind is Kind.OK else NOT_APPLICABLE)


def text_of(tokens: Mapping[str, Mapping[str, Token]]) -> str:
    """Return a file's text: sorted, a line a cell."""
    rows = ("\t".join([id_, *(str(tokens[id_][release]) for release in RELEASES)]) for id_ in sorted(tokens))
    return "\n".join(["\t".join(["cell", *RELEASES]), *rows, f"{END}\t{len(tokens)}", ""])


def path_of(transformers: str) -> Path:
    """Return where a version's file lies."""
    return Path(str(FOLDER)) / f"{transformers}.tsv"


def known_of(path: Path) -> Expectations | None:
    """Return what a file records, whichever releases and defects there were when it was written; None if there is none.

    The reader of a run refuses such a file. It is what is recorded all the same, and nothing of it changes unseen.
    """
    if not path.is_file():
        return None
    head, *lines = path.read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith(END))
    releases = head.split("\t")[1:]
    return Expectations(
        path.stem,
        {id_: {r: Token(*word.split(":", 2)) for r, word in zip(releases, row, strict=True)} for id_, *row in rows},
    )


def main(words: Sequence[str] | None = None) -> int:
    """Record what is wanted; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="nox -s record --", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--release", action="append", default=[], choices=RELEASES, metavar="RELEASE", help="only this; may be repeated"
    )
    parser.add_argument("--because", default="", metavar="TEXT", help="why published releases' tokens change")
    options = parser.parse_args(words)
    try:
        say(_written(options.release or RELEASES, options.because))
    except HeadcountError as error:
        say(f"record: {error}")
        return error.exit_code
    return ExitCode.CLEAN


def _written(releases: Sequence[str], because: str) -> str:
    """Record these releases, check the catalogue, and say what came of it."""
    transformers = environment()["transformers"]
    path = path_of(transformers)
    known = without_lost_cells(known_of(path), because)
    overlays = {release: builds.prepare(builds.parse(release), say=say) for release in releases}
    with progress(sum(len(cells_of(release)) for release in releases)) as steps:

        def done(label: str, observation: Observation) -> None:
            steps.done(label, known=observation.recalled)

        tokens = record(overlays, known, because=because, done=done)
    text = text_of(tokens)
    if wrong := list(problems_with(text, path)):
        raise RefusedError("nothing is written, the catalogue is wrong: " + "; ".join(wrong))
    same = path.is_file() and path.read_text("utf-8") == text
    path.write_text(text, "utf-8")
    what = "as recorded" if same else f"written{f': {because}' if because else ''}"
    return f"transformers {transformers}: {len(tokens)} cells on {len(releases)} releases, {what}"


def without_lost_cells(known: Expectations | None, because: str) -> Expectations | None:
    """Return what is recorded of cells that the matrix still has.

    Raises:
        RefusedError: some are lost, and no reason is given.
    """
    lost = known.tokens.keys() - known_cells().keys() if known else set()
    if known is None or not lost:
        return known
    if not because:
        raise RefusedError(
            f"{len(lost)} recorded cells are no longer in the matrix, {min(lost)} first (--because TEXT drops them)"
        )
    return Expectations(known.transformers, {id_: row for id_, row in known.tokens.items() if id_ not in lost})


def problems_with(text: str, path: Path) -> Iterator[str]:
    """Yield what is wrong with the catalogue, were this text the file's."""
    new = parse(text, f"expectations/{path.name}", {defect.id for defect in DEFECTS})
    others = (known_of(other) for other in sorted(path.parent.glob("*.tsv")) if other != path)
    yield from problems([new, *(known for known in others if known)])


if __name__ == "__main__":
    sys.exit(main())
