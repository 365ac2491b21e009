"""The results files that a report is made of, and what became of each cell between two of them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from headcount import gate
from headcount.errors import UsageError
from headcount.results import Results, Row, read


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
    def changed(self) -> list[gate.Difference]:
        """What is not as it was, the worst first."""
        still = (gate.Change.STILL_OK, gate.Change.STILL_FAILING)
        found = [difference for difference in self.differences if difference.change not in still]
        return sorted(found, key=lambda difference: list(gate.Change).index(difference.change))


def load(paths: Iterable[Path]) -> tuple[Source, ...]:
    """Return the files, each read or with the reason why it cannot be."""
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> Source:
    try:
        results = read(path)
        json.dumps([row.config for row in results.rows], allow_nan=False)
    except UsageError as error:
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
        versions = [{row.transformers for row in found.rows} for found in (one, other)]
        apart = "they are of two transformers versions, which are not compared"
        hint = apart if versions[0] != versions[1] else "give two runs of the same builds, or of one each"
        raise UsageError(f"{base.name} and {candidate.name} have no cell in common", hint)
    differences = gate.compare(one.rows, other.rows, key=key)
    return (replace(base, results=one), candidate), Comparison(base.name, candidate.name, differences)


def _rows_of(source: Source) -> Results:
    if source.results is None or not source.results.rows:
        raise UsageError(source.problem or f"{source.name} has no rows", "a comparison needs two results files")
    return source.results


def _renamed(results: Results, named: dict[str, str]) -> Results:
    """Return results with other names for their builds; each is still named in commands as before."""
    builds = tuple(replace(b, label=named.get(b.label, b.label), spec=b.spec or b.label) for b in results.header.builds)
    rows = tuple(replace(row, build=named.get(row.build, row.build)) for row in results.rows)
    return replace(results, header=replace(results.header, builds=builds), rows=rows)
