"""Results as one document: what the page shows, and what other programs read. Its schema is `report.schema.json`.

Rows are many and alike, so that what they share stands once: cells, texts and counts are named by number.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from headcount.gate import compare as gate
from headcount.matrix import cells as matrix
from headcount.builds import RELEASES
from headcount.defects import Defect, Outcome, catalogue
from headcount.environment import harness_digest
from headcount.errors import ExitCode, UsageError
from headcount.gate.compare import Breach, Sort
from headcount.matrix import Cell
from headcount.observation import Observation
from headcount.oracle.expectation import expect
from headcount.report import counting, table
from headcount.report.gate import headline
from headcount.report.timeline import Timeline, timelines
from headcount.reproduce.prove import folder
from headcount.results import Results, Row, read
from headcount.oracle.verdict import Kind

#: Raised when a reader of older documents would misread newer ones.
FORMAT = 1

_MIXED = ("harness", "headcount")

#: Characters of a text that are shown: a traceback has fewer, and more would only be in the way.
_LONGEST = 20_000


@dataclass(frozen=True)
class Source:
    """A results file, or why it is none."""

    name: str
    results: Results | None
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Comparison:
    """What became of each cell between two results; by build and cell, or by cell where each has one build.

    Attributes:
        verdict: a gate's, if it is one; its breaches and doubts are told with it.
    """

    base: str
    candidate: str
    differences: tuple[gate.Difference, ...]
    verdict: gate.Verdict | None = None

    @property
    def told(self) -> list[gate.Difference]:
        """What is not as it was, the worst first."""
        found = [d for d in self.differences if d.sort not in (Sort.STILL_OK, Sort.STILL_FAILING)]
        return sorted(found, key=lambda difference: list(Sort).index(difference.sort))

    @property
    def counts(self) -> dict[Sort, int]:
        """How many cells of each sort, the worst first."""
        return gate.counted(self.differences)


@dataclass(frozen=True)
class Document:
    """All that a report says.

    Attributes:
        problems: what keeps it from being complete, in words.
        exit_code: clean; indeterminate if something is missing, usage if a file could not be read.
    """

    sources: tuple[Source, ...]
    problems: tuple[str, ...]
    exit_code: ExitCode
    comparisons: tuple[Comparison, ...] = ()
    rows: tuple[Row, ...] = field(default=())

    @cached_property
    def builds(self) -> tuple[str, ...]:
        """The releases, oldest first; then others, as the files' headers list them."""
        return tuple(
            sorted(self.specs, key=lambda label: RELEASES.index(label) if label in RELEASES else len(RELEASES))
        )

    @cached_property
    def specs(self) -> dict[str, str]:
        """Build -> what names it in a command."""
        listed = [b for source in self.sources if source.results is not None for b in source.results.header["builds"]]
        return {build["label"]: build["spec"] or build["label"] for build in listed}

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Versions of transformers."""
        return tuple(sorted({row["transformers"] for row in self.rows}))

    @cached_property
    def timelines(self) -> tuple[Timeline, ...]:
        """The defects over the builds."""
        return timelines(self.rows, self.builds, matrix.known_cells())

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return _Plain(self).document()


def every_cell() -> Sequence[Cell]:
    """What the whole matrix asks a build."""
    return matrix.default_cells()


def load(paths: Iterable[Path]) -> tuple[Source, ...]:
    """The files, each read or with the reason why it cannot be."""
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> Source:
    try:
        results = read(path)
        json.dumps([row["config"] for row in results.rows], allow_nan=False)
    except UsageError as error:
        return Source(path.name, None, error.problem, error.hint)
    except ValueError:
        return Source(path.name, None, f"{path} has a parameter that is no number")
    return Source(path.name, results)


def make(sources: Sequence[Source], comparisons: Sequence[Comparison] = (), more: Sequence[str] = ()) -> Document:
    """The document of these files.

    Args:
        more: problems that were found otherwise.

    Raises:
        UsageError: none of them can be read.
    """
    whole = [source.results for source in sources if source.results is not None]
    if not whole:
        hints = [source.hint for source in sources if source.hint]
        why = "; ".join(s.problem for s in sources) or "there are no results"
        raise UsageError(why, hints[0] if hints else "nox -s matrix makes some")
    unread = [source.problem for source in sources if source.results is None]
    problems = [*unread, *_gaps(sources), *_twice(sources)]
    problems += [problem for found in comparisons for problem in _not_compared(found)]
    rows = {_key(row): row for results in whole for row in results.rows}
    problems += [*_unknown(rows.values()), *more]
    code = ExitCode.USAGE if unread else ExitCode.INDETERMINATE if problems else ExitCode.CLEAN
    return Document(tuple(sources), tuple(problems), code, tuple(comparisons), tuple(rows.values()))


def _key(row: Row) -> tuple[str, str, str]:
    return row["transformers"], row["build"], row["cell"]


def _gaps(sources: Sequence[Source]) -> list[str]:
    """What is cut off, empty, or does not go together."""
    read_ = [(source.name, source.results) for source in sources if source.results is not None]
    return [*(gap for name, results in read_ for gap in _in_one(name, results)), *_mixed([r for _, r in read_])]


def _in_one(name: str, results: Results) -> Iterable[str]:
    """What one file lacks."""
    asked = {row["build"] for row in results.rows}
    silent = [build["label"] for build in results.header["builds"] if build["label"] not in asked]
    if results.header["harness"] != harness_digest():
        yield f"{name} was made by another version of Headcount: read it with that one, or run it again"
    if not results.complete:
        yield f"{name} is cut off after {len(results.rows)} rows: run it again"
    elif not results.rows:
        yield f"{name} has no rows"
    elif silent:
        yield f"{name} has no rows of {', '.join(silent)}"
    elif "gate" not in results.header and (lacking := _lacking(results)):
        yield f"{name} is of a part of the matrix: {lacking}"


def _mixed(whole: Sequence[Results]) -> Iterable[str]:
    """Files of other versions, builds or environments than the rest."""
    for what in _MIXED:
        if len({str(results.header[what]) for results in whole}) > 1:
            yield f"the files are mixed: they were made by different versions of Headcount ({what} differs)"
            break
    contents: dict[str, set[str]] = {}
    for build in (build for results in whole for build in results.header["builds"]):
        contents.setdefault(build["label"], set()).add(build["digest"])
    if differ := [label for label, digests in contents.items() if len(digests) > 1]:
        yield f"the files are mixed: {', '.join(differ)} had other code in one than in the other"
    environments = [{**results.header["environment"], "transformers": ""} for results in whole]
    if any(environment != environments[0] for environment in environments):
        yield "the files are mixed: they come from different environments (torch, numpy or python differ)"


def _lacking(results: Results) -> str:
    """How many of the matrix's cells the build with the fewest was asked; "" if all."""
    wanted = {cell.id for cell in every_cell()}
    asked: dict[str, set[str]] = {build["label"]: set() for build in results.header["builds"]}
    for row in results.rows:
        asked[row["build"]].add(row["cell"])
    label, cells = min(asked.items(), key=lambda item: len(item[1] & wanted))
    left = len(cells & wanted)
    return "" if left == len(wanted) else f"{label} was asked {left} of its {len(wanted)} cells"


def _twice(sources: Sequence[Source]) -> list[str]:
    """The first cell that is there twice."""
    seen: dict[tuple[str, str, str], str] = {}
    for source in sources:
        for row in source.results.rows if source.results else ():
            if name := seen.get(_key(row)):
                where = f"in {name} and in {source.name}" if name != source.name else f"twice in {name}"
                cell = f"{row['build']}-{row['cell']}, transformers {row['transformers']}"
                return [f"{cell}, is {where}: the last is shown"]
            seen[_key(row)] = source.name
    return []


def _unknown(rows: Collection[Row]) -> list[str]:
    """What could not be tested, and what this catalogue does not know."""
    problems = []
    untold = Counter(row["build"] for row in rows if row["outcome"] == Outcome.INDETERMINATE)
    if untold:
        problems.append(f"could not be tested: {', '.join(f'{count} cells of {b}' for b, count in untold.items())}")
    cells = matrix.known_cells()
    if foreign := {row["cell"] for row in rows if row["cell"] not in cells}:
        problems.append(f"{len(foreign)} cells are not of this matrix: what they should leave is not known")
    known = {defect.id for defect in catalogue().defects}
    if strange := {row["defect"] for row in rows if row["defect"]} - known:
        problems.append(f"the catalogue has no defect {min(strange)}: another version of Headcount made the rows")
    return problems


def _not_compared(comparison: Comparison) -> list[str]:
    """What keeps a comparison from being one of everything."""
    verdict = comparison.verdict
    if verdict is not None:
        return [headline(verdict)] if verdict.exit_code is ExitCode.INDETERMINATE else []
    alone = Counter(
        name
        for d in comparison.differences
        for name, row in ((comparison.base, d.candidate), (comparison.candidate, d.base))
        if not gate.was_asked(row)
    )
    return [f"{count} cells are only in {name}, and are not compared" for name, count in alone.items()]


def apart(base: Source, candidate: Source) -> tuple[Source, Source]:
    """Two files to be compared, in which no build has the name of one in the other: the base's tell their file."""
    if base.results is None or candidate.results is None:
        return base, candidate
    labels = {build["label"] for build in base.results.header["builds"]}
    if not labels & {build["label"] for build in candidate.results.header["builds"]}:
        return base, candidate
    named = {label: f"{label} ({base.name})" for label in labels}
    builds = [{**b, "label": named[b["label"]], "spec": b["spec"] or b["label"]} for b in base.results.header["builds"]]
    rows = tuple({**row, "build": named[row["build"]], "label": row["build"]} for row in base.results.rows)
    header = {**base.results.header, "builds": builds}
    return replace(base, results=replace(base.results, header=header, rows=rows)), candidate


def compare(base: Source, candidate: Source) -> Comparison:
    """Two files, cell by cell.

    Raises:
        UsageError: one cannot be read, or they have nothing in common.
    """
    for source in (base, candidate):
        if source.results is None:
            raise UsageError(source.problem, "a comparison needs two results files")
    one, other = (source.results.rows for source in (base, candidate) if source.results is not None)
    alone = all(len({row["build"] for row in rows}) <= 1 for rows in (one, other))
    before, after = ([_keyed(row, alone=alone) for row in rows] for rows in (one, other))
    for source, rows in ((base, one), (candidate, other)):
        if not rows:
            raise UsageError(f"{source.name} has no rows", "a comparison needs two results files")
    if not {row["cell"] for row in before} & {row["cell"] for row in after}:
        lines = [sorted({row["transformers"] for row in rows}) for rows in (one, other)]
        raise UsageError(
            f"{base.name} and {candidate.name} have no cell in common",
            "they are of two lines of transformers, which are not compared"
            if lines[0] != lines[1]
            else "give two runs of the same builds, or of one each",
        )
    return Comparison(base.name, candidate.name, gate.compare(before, after))


def of_a_gate(verdict: gate.Verdict) -> Comparison:
    """A gate's verdict."""
    return Comparison(verdict.base["label"], verdict.candidate["label"], verdict.differences, verdict)


def _keyed(row: Row, *, alone: bool) -> Row:
    """A row named so that its like in the other file is found."""
    build = "" if alone else f"{row.get('label', row['build'])}-"
    return {**row, "cell": f"{row['transformers']}-{build}{row['cell']}", "id": row["cell"]}


class _Plain:
    """A document as plain values, built up once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._texts: dict[str, int] = {}
        self._cells: dict[str, int] = {}
        self._cell_values: list[dict[str, Any]] = []
        self._counts: dict[tuple[counting.Left, ...], int] = {}
        self._known = matrix.known_cells()
        self._builds = {build: place for place, build in enumerate(document.builds)}
        self._lines = {line: place for place, line in enumerate(document.lines)}

    def document(self) -> dict[str, Any]:
        document = self._document
        rows = [self._row(row) for row in document.rows]
        comparisons = [self._comparison(comparison) for comparison in document.comparisons]
        return {
            "format": FORMAT,
            "problems": list(document.problems),
            "files": [_file(source) for source in document.sources],
            "builds": list(document.builds),
            "specs": [document.specs[build] for build in document.builds],
            "lines": list(document.lines),
            "totals": {line: table.totals(found) for line, found in by_line(document).items()},
            "counts": counts(document.rows),
            "defects": [_defect(found) for found in document.timelines],
            "cells": self._cell_values,
            "rows": rows,
            "comparisons": comparisons,
            "left": [[asdict(left) for left in found] for found in self._counts],
            "texts": list(self._texts),
        }

    def _row(self, row: Row) -> dict[str, Any]:
        plain = {
            "build": self._builds[row["build"]],
            "line": self._lines[row["transformers"]],
            "cell": self._cell(row),
            "verdict": row["verdict"],
            "outcome": row["outcome"],
        }
        if row["defect"]:
            plain["defect"] = row["defect"]
        observation = Observation.from_json(row["observation"])
        failure = observation.failure or observation.output_failure
        texts = {
            "reason": row["reason"],
            "signature": row["signature"] if row["verdict"] != Kind.OK else "",
            "traceback": (failure.traceback if failure else "") or observation.printed,
        }
        left = self._left(row["cell"], observation)
        plain |= {"left": self._counts.setdefault(left, len(self._counts))} if left else {}
        return plain | {name: self._text(text) for name, text in texts.items() if text}

    def _text(self, text: str) -> int:
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
        return self._texts.setdefault(shown, len(self._texts))

    def _cell(self, row: Row) -> int:
        if row["cell"] not in self._cells:
            self._cells[row["cell"]] = len(self._cells)
            cell = self._known.get(row["cell"])
            expected = counting.expected(expect(cell.model, cell.config)) if cell else {}
            self._cell_values.append(
                {"id": row["cell"], "model": row["model"], "config": row["config"], "expected": expected}
            )
        return self._cells[row["cell"]]

    def _left(self, cell_id: str, observation: Observation) -> tuple[counting.Left, ...]:
        cell = self._known.get(cell_id)
        return counting.observed(expect(cell.model, cell.config), observation) if cell else ()

    def _comparison(self, comparison: Comparison) -> dict[str, Any]:
        verdict = comparison.verdict
        return {
            "base": comparison.base,
            "candidate": comparison.candidate,
            "counts": {str(sort): count for sort, count in comparison.counts.items()},
            "gate": verdict and _gate(verdict),
            "differences": [self._difference(difference) for difference in comparison.told],
        }

    def _difference(self, difference: gate.Difference) -> dict[str, Any]:
        """With the places of its rows, the base's first, as far as they are shown."""
        places = self._places
        rows = [row for row in (difference.base, difference.candidate) if gate.was_asked(row)]
        found = [
            place for row in rows if (place := places.get(_key(row | {"cell": row.get("id", row["cell"])}))) is not None
        ]
        return {
            "cell": difference.cell,
            "sort": str(difference.sort),
            "what": self._text(difference.what),
            "rows": list(dict.fromkeys(found)),
        }

    @cached_property
    def _places(self) -> dict[tuple[str, str, str], int]:
        return {_key(row): place for place, row in enumerate(self._document.rows)}


def by_line(document: Document) -> dict[str, list[Row]]:
    """Line of transformers -> its rows."""
    return {line: [row for row in document.rows if row["transformers"] == line] for line in document.lines}


def counts(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Transformers line -> verdict -> cells."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row["transformers"], Counter())[row["verdict"]] += 1
    return {
        line: {str(kind): counted[kind] for kind in Kind if counted[kind]} for line, counted in sorted(found.items())
    }


def _file(source: Source) -> dict[str, Any]:
    results = source.results
    if results is None:
        return {"name": source.name, "problem": source.problem}
    return {
        "name": source.name,
        "environment": dict(results.header["environment"]),
        "started": results.header["started"],
        "rows": len(results.rows),
        "complete": results.complete,
    }


def _gate(verdict: gate.Verdict) -> dict[str, Any]:
    return {
        "headline": headline(verdict),
        "exit_code": int(verdict.exit_code),
        "doubts": list(verdict.doubts),
        "breaches": [_breach(breach) for breach in verdict.breaches],
    }


def _breach(breach: Breach) -> dict[str, Any]:
    return {**asdict(breach), "lost": breach.lost}


def _defect(timeline: Timeline) -> dict[str, Any]:
    defect: Defect = timeline.defect
    path = folder() / defect.reproducer.file
    return {
        "id": defect.id,
        "title": defect.title,
        "upstream": defect.upstream,
        "cause": defect.cause,
        "breaks": defect.breaks,
        "source": defect.source,
        "reproducer": path.read_text("utf-8") if path.is_file() else "",
        "file": defect.reproducer.file,
        "story": timeline.story,
        "marks": [{"mark": str(m), "cells": n} for m, n in zip(timeline.marks, timeline.cells, strict=True)],
    }
