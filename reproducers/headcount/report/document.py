"""Results as one document: what the page shows, and what other programs read. Its schema is `report.schema.json`.

Rows are many and alike, so that what they share stands once: cells, texts and what was seen are named by number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headcount import gate, matrix
from headcount.builds import RELEASES
from headcount.defects import Defect, catalogue
from headcount.errors import ExitCode, UsageError
from headcount.gate import Sort
from headcount.matrix import Cell
from headcount.oracle import Expectation, expect
from headcount.reproduction import folder
from headcount.results import Results, Row, read
from headcount.scripts import ranges
from headcount.verdicts import Kind, said

#: Raised when a reader of older documents would misread newer ones.
FORMAT = 1

#: What a row must have to be shown.
_NEEDED = ("build", "model", "config", "cell", "transformers", "verdict", "reason", "signature", "outcome")

_MIXED = ("harness", "headcount")


@dataclass(frozen=True)
class Source:
    """A results file, or why it is none."""

    name: str
    results: Results | None
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """What became of each cell between two results; by build and cell, or by cell where each has one build."""

    base: str
    candidate: str
    differences: tuple[gate.Difference, ...]

    @property
    def told(self) -> list[gate.Difference]:
        """What is not as it was, the worst first."""
        found = [d for d in self.differences if d.sort not in (Sort.STILL_OK, Sort.STILL_FAILING)]
        return sorted(found, key=lambda difference: list(Sort).index(difference.sort))


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
    comparison: Comparison | None = None
    rows: tuple[Row, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return _Plain(self).document()


def load(paths: Iterable[Path]) -> tuple[Source, ...]:
    """The files, each read or with the reason why it cannot be."""
    return tuple(_load(path) for path in paths)


def _load(path: Path) -> Source:
    try:
        results = read(path)
    except UsageError as error:
        return Source(path.name, None, error.problem)
    for number, row in enumerate(results.rows, 2):
        if lacking := [name for name in _NEEDED if name not in row]:
            return Source(path.name, None, f"{path}: row {number} has no {lacking[0]}")
        if not isinstance(row["config"], dict) or row["verdict"] not in set(Kind):
            return Source(path.name, None, f"{path}: row {number} is none of ours")
    return Source(path.name, results)


def make(sources: Sequence[Source], comparison: Comparison | None = None) -> Document:
    """The document of these files.

    Raises:
        UsageError: none of them can be read.
    """
    whole = [source.results for source in sources if source.results is not None]
    if not whole:
        raise UsageError("; ".join(s.problem for s in sources) or "there are no results", "nox -s matrix makes some")
    unread = [source.problem for source in sources if source.results is None]
    problems = [*unread, *_gaps(sources)]
    rows: dict[tuple[str, str, str], Row] = {}
    for row in (row for results in whole for row in results.rows):
        key = (row["transformers"], row["build"], row["cell"])
        if key in rows:
            twice = f"{row['build']}-{row['cell']} is in two of the files, transformers {row['transformers']}"
            problems += [f"{twice}: the last is shown"] if not any("is in two" in p for p in problems) else []
        rows[key] = row
    code = ExitCode.USAGE if unread else ExitCode.INDETERMINATE if problems else ExitCode.CLEAN
    return Document(tuple(sources), tuple(problems), code, comparison, tuple(rows.values()))


def _gaps(sources: Sequence[Source]) -> list[str]:
    """What is cut off, empty, or of another harness than the rest."""
    found = []
    read_ = [(source.name, source.results) for source in sources if source.results is not None]
    for name, results in read_:
        if not results.complete:
            found.append(f"{name} is cut off after {len(results.rows)} rows: run it again")
        elif not results.rows:
            found.append(f"{name} has no rows")
    for what in _MIXED:
        if len({str(results.header.get(what)) for _, results in read_}) > 1:
            found.append(f"the files are mixed: they were made by different versions of Headcount ({what} differs)")
            break
    environments = {
        str(
            sorted((name, version) for name, version in results.header["environment"].items() if name != "transformers")
        )
        for _, results in read_
    }
    if len(environments) > 1:
        found.append("the files are mixed: they come from different environments (torch, numpy or python differ)")
    return found


def compare(base: Source, candidate: Source) -> Comparison:
    """Two files, cell by cell.

    Raises:
        UsageError: one cannot be read, or they have nothing in common.
    """
    for source in (base, candidate):
        if source.results is None:
            raise UsageError(source.problem, "a comparison needs two results files")
    one, other = (source.results.rows for source in (base, candidate) if source.results is not None)
    alone = all(len({row["build"] for row in rows}) == 1 for rows in (one, other))
    before, after = ([_keyed(row, alone=alone) for row in rows] for rows in (one, other))
    shared = {row["cell"] for row in before} & {row["cell"] for row in after}
    if not shared:
        raise UsageError(
            f"{base.name} and {candidate.name} have no cell in common",
            "give two runs of the same builds, or of one each",
        )
    differences = gate.compare(
        (row for row in before if row["cell"] in shared), (row for row in after if row["cell"] in shared)
    )
    return Comparison(base.name, candidate.name, differences)


def _keyed(row: Row, *, alone: bool) -> Row:
    """A row named so that its like in the other file is found."""
    build = "" if alone else f"{row['build']}-"
    return {**row, "cell": f"{row['transformers']}-{build}{row['cell']}", "observation": row.get("observation", {})}


class _Plain:
    """A document as plain values, built up once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._texts: dict[str, int] = {}
        self._cells: dict[str, int] = {}
        self._cell_values: list[dict[str, Any]] = []
        self._known = matrix.by_id((*matrix.default_cells(), matrix.ISSUE_410))

    def document(self) -> dict[str, Any]:
        document = self._document
        builds = order(document)
        lines = sorted({row["transformers"] for row in document.rows})
        rows = [self._row(row, builds, lines) for row in document.rows]
        return {
            "format": FORMAT,
            "problems": list(document.problems),
            "files": [_file(source) for source in document.sources],
            "builds": builds,
            "lines": lines,
            "counts": counts(document.rows),
            "defects": [_defect(d) for d in catalogue().defects if any(r.get("defect") == d.id for r in document.rows)],
            "cells": self._cell_values,
            "rows": rows,
            "comparison": self._comparison(),
            "texts": list(self._texts),
        }

    def _row(self, row: Row, builds: list[str], lines: list[str]) -> dict[str, Any]:
        plain = {
            "build": builds.index(row["build"]),
            "line": lines.index(row["transformers"]),
            "cell": self._cell(row),
            "verdict": row["verdict"],
            "outcome": row["outcome"],
        }
        if row.get("defect"):
            plain["defect"] = row["defect"]
        observation = row.get("observation", {})
        failure = observation.get("failure") or observation.get("output_failure") or {}
        texts = {
            "reason": row["reason"],
            "signature": row["signature"] if row["verdict"] != Kind.OK else "",
            "traceback": str(failure.get("traceback", "")) or str(observation.get("printed", "")),
            "seen": self._seen(row["cell"], observation),
        }
        return plain | {name: self._text(text) for name, text in texts.items() if text}

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _cell(self, row: Row) -> int:
        if row["cell"] not in self._cells:
            self._cells[row["cell"]] = len(self._cells)
            cell = self._known.get(row["cell"])
            expected = _expected(expect(cell.model, cell.config)) if cell else {}
            self._cell_values.append(
                {"id": row["cell"], "model": row["model"], "config": row["config"], "expected": expected}
            )
        return self._cells[row["cell"]]

    def _seen(self, cell_id: str, observation: Mapping[str, Any]) -> str:
        """What was left, in lines of `name: count`, by the names of what was expected."""
        cell = self._known.get(cell_id)
        kept = observation.get("kept")
        if cell is None or not isinstance(kept, dict):
            return ""
        return "\n".join(f"{name}: {count}" for name, count in _observed(cell, kept, observation).items())

    def _comparison(self) -> dict[str, Any] | None:
        comparison = self._document.comparison
        if comparison is None:
            return None
        counted = Counter(difference.sort for difference in comparison.differences)
        return {
            "base": comparison.base,
            "candidate": comparison.candidate,
            "counts": {str(sort): counted[sort] for sort in Sort if counted[sort]},
            "differences": [{"cell": d.cell, "sort": str(d.sort), "what": self._text(d.what)} for d in comparison.told],
        }


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
        "started": str(results.header.get("started", "")),
        "rows": len(results.rows),
        "complete": results.complete,
    }


def _defect(defect: Defect) -> dict[str, Any]:
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
    }


def _expected(expectation: Expectation) -> dict[str, str]:
    """Name -> what may be left, in words."""
    words = {f"heads, block {i}": said(counts) for i, counts in enumerate(expectation.heads)}
    if expectation.head_total:
        words["heads in all"] = said(expectation.head_total.kept)
    words |= {f"head dim, block {i}": said(counts) for i, counts in enumerate(expectation.head_dims)}
    words |= {role: said(counts) for role, counts in expectation.channels.items()}
    words |= {total.name: said(total.kept) for total in expectation.channel_totals}
    return words


def _observed(cell: Cell, kept: Mapping[str, Any], observation: Mapping[str, Any]) -> dict[str, str]:
    size = cell.model.head_dim
    words: dict[str, str] = {}
    in_all = 0
    for block in range(cell.model.layers):
        by_name = {name: kept.get(f"{name}.{block}", []) for name in "qkvo"}
        heads = {name: len({index // size for index in indices}) for name, indices in by_name.items()}
        in_all += heads["q"]
        words[f"heads, block {block}"] = _one_or_each(heads)
        dims = {name: len(by_name[name]) // heads[name] if heads[name] else 0 for name in by_name}
        words[f"head dim, block {block}"] = _one_or_each(dims)
    words["heads in all"] = str(in_all)
    for block, row in enumerate(observation.get("reported", ())):
        words[f"heads that the pruner reports, block {block}"] = ", ".join("none" if n is None else str(n) for n in row)
    words |= {role: str(len(kept[role])) for role in sorted(kept) if role[:2] not in ("q.", "k.", "v.", "o.")}
    return words


def _one_or_each(counts: Mapping[str, int]) -> str:
    if len(set(counts.values())) == 1:
        return str(next(iter(counts.values())))
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def order(document: Document) -> list[str]:
    """The builds as the files' headers list them: the releases, oldest first."""
    listed = [
        build["label"]
        for source in document.sources
        if source.results is not None
        for build in source.results.header["builds"]
    ]
    present = dict.fromkeys(row["build"] for row in document.rows)
    return [build for build in dict.fromkeys((*listed, *present)) if build in present]


def releases_of(document: Document) -> dict[str, str]:
    """Defect -> the builds in which it shows; releases as ranges."""
    shown: dict[str, set[str]] = {}
    for row in document.rows:
        if row.get("defect"):
            shown.setdefault(row["defect"], set()).add(row["build"])
    builds = order(document)
    ordered = {defect: [build for build in builds if build in found] for defect, found in shown.items()}
    if set(builds) <= set(RELEASES):
        return {defect: ranges(found) for defect, found in ordered.items()}
    return {defect: ", ".join(found) for defect, found in ordered.items()}
