"""The results files that a report is made of, what became of each cell between two of them, and what they lack.

A report is not complete if a file is cut off, mixed or in part, or if something could not be tested.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headcount import defects, environment, errors, gate
from headcount.matrix.cells import default_cells, known_cells
from headcount.oracle import Kind
from headcount.report.gate import headline
from headcount.results import Network, Results, Row, read
from headcount.wording import number


@dataclass(frozen=True)
class Source:
    """A results file, or why it is none."""

    name: str
    results: Results | None
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Comparison:
    """What became of each cell between two results.

    Attributes:
        verdict: a gate's, if it is one; the report shows its API breaks and doubts as well.
    """

    base: str
    candidate: str
    differences: tuple[gate.Difference, ...]
    verdict: gate.GateVerdict | None = None

    @property
    def title(self) -> str:
        """A gate's answer, or what is compared."""
        return headline(self.verdict) if self.verdict else f"{self.candidate}, compared with {self.base}"

    @property
    def changed(self) -> list[gate.Difference]:
        """What is not as it was, the worst first."""
        return sorted(
            (d for d in self.differences if d.change not in (gate.Change.STILL_OK, gate.Change.STILL_FAILING)),
            key=lambda difference: list(gate.Change).index(difference.change),
        )


def whole(sources: Iterable[Source]) -> list[Results]:
    """Return the results of the files that could be read."""
    return [source.results for source in sources if source.results is not None]


def load(paths: Iterable[Path]) -> tuple[Source, ...]:
    """Return the files, each read or with the reason why it cannot be."""
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> Source:
    try:
        results = read(path)
        json.dumps([row.config for row in results.rows], allow_nan=False)
    except errors.UsageError as error:
        return Source(path.name, None, error.problem, error.hint)
    except ValueError:
        return Source(path.name, None, f"{path} has a parameter that is no number")
    if any(row.observation is None for row in results.rows):
        return Source(path.name, None, f"{path} has a row without its observation")
    return Source(path.name, results)


def compare(base: Source, candidate: Source) -> tuple[tuple[Source, Source], Comparison]:
    """Compare two files, cell by cell; builds of one name in both, or the one build of each.

    Returns:
        The two files, in which no build has the name of one in the other, and the comparison.

    Raises:
        UsageError: one cannot be read or is empty, or they have nothing in common.
    """
    one, other = _rows_of(base), _rows_of(candidate)
    alone = all(len({row.build for row in found.rows}) == 1 for found in (one, other))
    labels, others = ({build.label for build in found.header.builds} for found in (one, other))
    named = {label: f"{label} ({base.name})" for label in labels if labels & others}
    origin = {name: label for label, name in named.items()}
    one = _renamed(one, named)

    def key(row: Row) -> str:
        build = "" if alone else f"{origin.get(row.build, row.build)}-"
        return f"{row.transformers}-{build}{row.cell}"

    if not set(map(key, one.rows)) & set(map(key, other.rows)):
        of_one_version = {row.transformers for row in one.rows} == {row.transformers for row in other.rows}
        raise errors.UsageError(
            f"{base.name} and {candidate.name} have no cell in common",
            "give two runs of the same builds, or of one each"
            if of_one_version
            else "they are of two transformers versions, which are not compared",
        )
    comparison = Comparison(base.name, candidate.name, gate.compare(one.rows, other.rows, key=key))
    return (replace(base, results=one), candidate), comparison


def _rows_of(source: Source) -> Results:
    if source.results is None or not source.results.rows:
        raise errors.UsageError(source.problem or f"{source.name} has no rows", "a comparison needs two results files")
    return source.results


def _renamed(results: Results, named: dict[str, str]) -> Results:
    """Return results with other names for their builds; each is still named in commands as before."""
    builds = tuple(replace(b, label=named.get(b.label, b.label), spec=b.spec or b.label) for b in results.header.builds)
    return replace(
        results,
        header=replace(results.header, builds=builds),
        rows=tuple(replace(row, build=named.get(row.build, row.build)) for row in results.rows),
    )


def gaps(sources: Sequence[Source], comparisons: Iterable[Comparison], rows: Collection[Row | Network]) -> list[str]:
    """Return what is missing, in words.

    Args:
        rows: those that are shown.
    """
    return [
        *(source.problem for source in sources if source.results is None),
        *(gap for source in sources if source.results for gap in _in_one(source.name, source.results)),
        *_mixed(whole(sources)),
        *_twice(sources),
        *(gap for comparison in comparisons for gap in _not_compared(comparison)),
        *_unknown(rows),
    ]


def _in_one(name: str, results: Results) -> Iterator[str]:
    run = Counter(row.build for row in results.every)
    silent = [build.label for build in results.header.builds if not run[build.label]]
    if results.header.harness != environment.harness_digest():
        yield f"{name} was made by another version of Headcount: read it with that one, or run it again"
    if not results.complete:
        yield f"{name} is cut off after {len(results.every)} rows: run it again"
    elif not results.every:
        yield f"{name} has no rows"
    elif silent:
        yield f"{name} has no rows of {', '.join(silent)}"
    elif results.rows and results.header.gate is None and (lacking := _lacking(results)):
        yield f"{name} is of a part of the matrix: {lacking}"


def _lacking(results: Results) -> str:
    """Say how many of the matrix's cells the build with the fewest ran; "" if all."""
    wanted = {cell.id for cell in default_cells()}
    ran = Counter(row.build for row in results.rows if row.cell in wanted)
    label, fewest = min(((b.label, ran[b.label]) for b in results.header.builds), key=lambda item: item[1])
    return "" if fewest == len(wanted) else f"{label} ran {fewest} of its {len(wanted)} cells"


def _mixed(found: Sequence[Results]) -> Iterator[str]:
    """Yield files of other versions, builds or environments than the rest."""
    differing = (n for n in ("harness", "headcount") if len({getattr(results.header, n) for results in found}) > 1)
    if name := next(differing, ""):
        yield f"the files are mixed: they were made by different versions of Headcount ({name} differs)"
    contents = {(build.label, build.digest) for results in found for build in results.header.builds}
    if changed := [label for label, count in Counter(label for label, _ in sorted(contents)).items() if count > 1]:
        yield f"the files are mixed: {', '.join(changed)} had other code in one than in the other"
    environments = [{**results.header.environment, "transformers": ""} for results in found]
    if any(environment != environments[0] for environment in environments):
        yield "the files are mixed: they come from different environments (torch, numpy or python differ)"


def _twice(sources: Sequence[Source]) -> Iterator[str]:
    """Yield the first cell or network that is there twice."""
    seen: dict[tuple[str, str, str], str] = {}
    for source in sources:
        for row in source.results.every if source.results else ():
            if name := seen.get(row.key):
                where = f"in {name} and in {source.name}" if name != source.name else f"twice in {name}"
                yield f"{'-'.join(row.key[1:])}, transformers {row.transformers}, is {where}: the last is shown"
                return
            seen[row.key] = source.name


def _not_compared(comparison: Comparison) -> Iterator[str]:
    """Yield what keeps a comparison from being one of everything."""
    if comparison.verdict is None:
        alone = Counter(comparison.base for d in comparison.differences if d.candidate is None)
        alone.update(comparison.candidate for d in comparison.differences if d.base is None)
        yield from (f"{count} cells are only in {name}, and are not compared" for name, count in alone.items())
    elif comparison.verdict.exit_code is errors.ExitCode.INDETERMINATE:
        yield comparison.title


def _unknown(every: Collection[Row | Network]) -> Iterator[str]:
    """Yield what could not be tested, and what this catalogue does not know."""
    rows = [row for row in every if isinstance(row, Row)]
    lost = Counter(row.build for row in every if isinstance(row, Network) and row.verdict.kind is Kind.UNTESTABLE)
    yield from (f"could not be tested: {number(count, 'network')} with {build}" for build, count in lost.items())
    if untested := Counter(row.build for row in rows if row.outcome is defects.Outcome.INDETERMINATE):
        yield f"could not be tested: {', '.join(f'{count} cells of {b}' for b, count in untested.items())}"
    if foreign := {row.cell for row in rows} - known_cells().keys():
        yield f"{len(foreign)} cells are not of this matrix: what they should leave is not known"
    if strange := {row.explanation.defect for row in rows} - {"", *(defect.id for defect in defects.DEFECTS)}:
        yield f"the catalogue has no defect {min(strange)}: another version of Headcount made the rows"
