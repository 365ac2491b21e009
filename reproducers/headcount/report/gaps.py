"""What keeps a report from being complete: files cut off, mixed or in part, and what could not be tested."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from headcount.defects import DEFECTS, Outcome
from headcount.environment import harness_digest
from headcount.errors import ExitCode
from headcount.matrix.cells import default_cells, known_cells
from headcount.report.gate import headline
from headcount.report.sources import Comparison, Source
from headcount.results import Results, Row


def gaps(sources: Sequence[Source], comparisons: Sequence[Comparison], rows: Collection[Row]) -> list[str]:
    """Return what is missing, in words.

    Args:
        rows: those that are shown.
    """
    whole = {source.name: source.results for source in sources if source.results is not None}
    found = [source.problem for source in sources if source.results is None]
    found += [gap for source in sources if source.results for gap in _in_one(source.name, source.results)]
    found += [*_mixed(list(whole.values())), *_twice(sources)]
    found += [gap for comparison in comparisons for gap in _not_compared(comparison)]
    return [*found, *_unknown(rows)]


def _in_one(name: str, results: Results) -> Iterator[str]:
    """Yield what one file lacks."""
    run = Counter(row.build for row in results.rows)
    silent = [build.label for build in results.header.builds if not run[build.label]]
    if results.header.harness != harness_digest():
        yield f"{name} was made by another version of Headcount: read it with that one, or run it again"
    if not results.complete:
        yield f"{name} is cut off after {len(results.rows)} rows: run it again"
    elif not results.rows:
        yield f"{name} has no rows"
    elif silent:
        yield f"{name} has no rows of {', '.join(silent)}"
    elif results.header.gate is None and (lacking := _lacking(results)):
        yield f"{name} is of a part of the matrix: {lacking}"


def _lacking(results: Results) -> str:
    """Say how many of the matrix's cells the build with the fewest ran; "" if all."""
    wanted = {cell.id for cell in default_cells()}
    ran = Counter(row.build for row in results.rows if row.cell in wanted)
    label, fewest = min(((b.label, ran[b.label]) for b in results.header.builds), key=lambda item: item[1])
    return "" if fewest == len(wanted) else f"{label} ran {fewest} of its {len(wanted)} cells"


def _mixed(whole: Sequence[Results]) -> Iterator[str]:
    """Yield files of other versions, builds or environments than the rest."""
    differs = [name for name in ("harness", "headcount") if len({getattr(r.header, name) for r in whole}) > 1]
    if differs:
        yield f"the files are mixed: they were made by different versions of Headcount ({differs[0]} differs)"
    contents = {(build.label, build.digest) for results in whole for build in results.header.builds}
    if changed := [label for label, count in Counter(label for label, _ in sorted(contents)).items() if count > 1]:
        yield f"the files are mixed: {', '.join(changed)} had other code in one than in the other"
    environments = [{**results.header.environment, "transformers": ""} for results in whole]
    if any(environment != environments[0] for environment in environments):
        yield "the files are mixed: they come from different environments (torch, numpy or python differ)"


def _twice(sources: Sequence[Source]) -> Iterator[str]:
    """Yield the first cell that is there twice."""
    seen: dict[tuple[str, str, str], str] = {}
    for source in sources:
        for row in source.results.rows if source.results else ():
            if name := seen.get(row.key):
                where = f"in {name} and in {source.name}" if name != source.name else f"twice in {name}"
                yield f"{row.build}-{row.cell}, transformers {row.transformers}, is {where}: the last is shown"
                return
            seen[row.key] = source.name


def _not_compared(comparison: Comparison) -> Iterator[str]:
    """Yield what keeps a comparison from being one of everything."""
    if comparison.verdict is not None:
        if comparison.verdict.exit_code is ExitCode.INDETERMINATE:
            yield headline(comparison.verdict)
        return
    alone = Counter(comparison.base for d in comparison.differences if d.candidate is None)
    alone.update(comparison.candidate for d in comparison.differences if d.base is None)
    for name, count in alone.items():
        yield f"{count} cells are only in {name}, and are not compared"


def _unknown(rows: Collection[Row]) -> Iterator[str]:
    """Yield what could not be tested, and what this catalogue does not know."""
    untested = Counter(row.build for row in rows if row.outcome is Outcome.INDETERMINATE)
    if untested:
        yield f"could not be tested: {', '.join(f'{count} cells of {b}' for b, count in untested.items())}"
    if foreign := {row.cell for row in rows} - known_cells().keys():
        yield f"{len(foreign)} cells are not of this matrix: what they should leave is not known"
    if strange := {row.explanation.defect for row in rows} - {"", *(defect.id for defect in DEFECTS)}:
        yield f"the catalogue has no defect {min(strange)}: another version of Headcount made the rows"
