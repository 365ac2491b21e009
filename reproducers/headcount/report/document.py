"""Results as one document: what the page shows, and what other programs read. Its schema is `report.schema.json`.

Rows are many and alike, so that what they share stands once: cells, texts and counts are named by number.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import count
from typing import Any

from headcount import builds, defects, errors, gate, invocation, oracle, results, wording
from headcount.matrix.cells import known_cells
from headcount.report import counting, networks, table, timeline
from headcount.report.gate import headline, what
from headcount.report.sources import Comparison, Source, gaps, whole

#: Raised when a reader of older documents would misread newer ones.
FORMAT = 2

#: Characters of a text that are shown: a traceback has fewer, and more would only be in the way.
_LONGEST = 20_000


@dataclass(frozen=True)
class Document:
    """All that a report says.

    Attributes:
        problems: what keeps it from being complete, in words.
        exit_code: clean; indeterminate if something is missing, usage if a file could not be read.
        comparisons: gates' answers, or of two files.
        checked: users' own networks.
    """

    sources: tuple[Source, ...]
    problems: tuple[str, ...]
    exit_code: errors.ExitCode
    comparisons: tuple[Comparison, ...]
    rows: tuple[results.Row, ...]
    checked: tuple[results.Network, ...] = ()

    @cached_property
    def builds(self) -> tuple[str, ...]:
        """The releases, oldest first; then others, as the files' headers list them."""
        return tuple(sorted(self.specs, key=[*builds.ordered(self.specs), *self.specs].index))

    @cached_property
    def specs(self) -> dict[str, str]:
        """Build -> what names it in a command."""
        return {
            build.label: build.spec or build.label for found in whole(self.sources) for build in found.header.builds
        }

    @cached_property
    def by_version(self) -> dict[str, list[results.Row]]:
        """Transformers version -> its rows."""
        return {
            version: [row for row in self.rows if row.transformers == version]
            for version in sorted({row.transformers for row in self.rows})
        }

    @cached_property
    def timelines(self) -> tuple[timeline.Timeline, ...]:
        """The defects over the builds."""
        return timeline.timelines(self.rows, self.builds)

    @cached_property
    def networks(self) -> tuple[networks.Told, ...]:
        """What is told of users' own networks."""
        return tuple(networks.told(self.checked, self.builds))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return _Encoder(self).document()


def make(sources: Sequence[Source], comparisons: Sequence[Comparison] = (), more: Sequence[str] = ()) -> Document:
    """Return the document of these files.

    Args:
        more: problems that were found elsewhere.

    Raises:
        UsageError: none of the files can be read.
    """
    found = whole(sources)
    if not found:
        raise errors.UsageError(
            "; ".join(source.problem for source in sources) or "there are no results",
            next((source.hint for source in sources if source.hint), f"{invocation.matrix()} makes some"),
        )
    rows = {row.key: row for each in found for row in each.rows}
    checked = {row.key: row for each in found for row in each.networks}
    problems = (*gaps(sources, comparisons, [*rows.values(), *checked.values()]), *more)
    code = errors.ExitCode.INDETERMINATE if problems else errors.ExitCode.CLEAN
    return Document(
        tuple(sources),
        problems,
        code if len(found) == len(sources) else errors.ExitCode.USAGE,
        tuple(comparisons),
        tuple(rows.values()),
        tuple(checked.values()),
    )


class _Encoder:
    """Makes plain values of a document, once. What many rows share has a number: the place where it first came."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._cells = defaultdict[str, int](count().__next__)
        self._texts = defaultdict[str, int](count().__next__)
        self._counts = defaultdict[tuple[counting.Left, ...], int](count().__next__)
        self._versions = list(document.by_version)
        self._rows = {row.key: place for place, row in enumerate(document.rows)}

    def document(self) -> dict[str, Any]:
        document = self._document
        return {
            "format": FORMAT,
            "problems": list(document.problems),
            "files": [_file(source) for source in document.sources],
            "builds": list(document.builds),
            "specs": [document.specs[build] for build in document.builds],
            "transformers": self._versions,
            "totals": {version: table.totals(rows) for version, rows in document.by_version.items()},
            "counts": {
                version: {kind: n for kind in oracle.Kind if (n := sum(row.verdict.kind is kind for row in rows))}
                for version, rows in document.by_version.items()
            },
            "defects": [_defect(found) for found in document.timelines],
            "cells": [_cell(row) for row in {row.cell: row for row in document.rows}.values()],
            "rows": [self._row(row) for row in document.rows],
            "networks": [found.to_json(document.builds) for found in document.networks],
            "comparisons": [self._comparison(comparison) for comparison in document.comparisons],
            "left": [[asdict(left) for left in found] for found in self._counts],
            "texts": list(self._texts),
        }

    def _row(self, row: results.Row) -> dict[str, Any]:
        """Return a row, without what it has not; long texts and counts by their places."""
        cell, observation = known_cells().get(row.cell), row.seen
        failure = observation.failure or observation.output_failure
        left = counting.observed(oracle.expect(cell), observation) if cell else ()
        texts = {
            "reason": wording.reason(row.verdict),
            "signature": str(row.verdict.signature) if row.verdict.kind is not oracle.Kind.OK else "",
            "traceback": (failure.traceback if failure else "") or observation.printed,
        }
        explained = {"defect": row.explanation.defect, "looks_like": list(row.explanation.looks_like)}
        return {
            "build": self._document.builds.index(row.build),
            "transformers": self._versions.index(row.transformers),
            "cell": self._cells[row.cell],
            "verdict": row.verdict.kind,
            "outcome": row.outcome,
            **{name: value for name, value in explained.items() if value},
            **({"left": self._counts[left]} if left else {}),
            **{name: self._text(text) for name, text in texts.items() if text},
        }

    def _text(self, text: str) -> int:
        return self._texts[text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"]

    def _comparison(self, comparison: Comparison) -> dict[str, Any]:
        return {
            "base": comparison.base,
            "candidate": comparison.candidate,
            "counts": gate.counted(comparison.differences),
            "gate": comparison.verdict and _gate(comparison.verdict),
            "differences": [self._difference(difference) for difference in comparison.changed],
        }

    def _difference(self, difference: gate.Difference) -> dict[str, Any]:
        """Return it with the places of its rows, the base's first, as far as they are shown."""
        keys = [row.key for row in (difference.base, difference.candidate) if row is not None]
        return {
            "cell": difference.cell,
            "change": difference.change,
            "what": self._text(what(difference)),
            "rows": list(dict.fromkeys(self._rows[key] for key in keys if key in self._rows)),
        }


def _cell(row: results.Row) -> dict[str, Any]:
    known = known_cells().get(row.cell)
    return {
        "id": row.cell,
        "model": row.model,
        "config": row.config,
        "expected": counting.expected(oracle.expect(known)) if known else {},
    }


def _file(source: Source) -> dict[str, Any]:
    found = source.results
    if found is None:
        return {"name": source.name, "problem": source.problem}
    return {
        "name": source.name,
        "environment": dict(found.header.environment),
        "started": found.header.started,
        "rows": len(found.every),
        "complete": found.complete,
    }


def _gate(verdict: gate.GateVerdict) -> dict[str, Any]:
    return {
        "headline": headline(verdict),
        "exit_code": int(verdict.exit_code),
        "doubts": list(verdict.ending.doubts),
        "api_breaks": [{**asdict(found), "lost": found.lost} for found in verdict.api_breaks],
    }


def _defect(found: timeline.Timeline) -> dict[str, Any]:
    defect = found.defect
    path = defects.REPRODUCERS / defect.reproducer.file
    return {
        **{name: getattr(defect, name) for name in ("id", "title", "hits", "upstream", "cause", "breaks", "source")},
        "severity": defect.severity.name.lower().replace("_", " "),
        "reproducer": path.read_text("utf-8") if path.is_file() else "",
        "file": defect.reproducer.file,
        "story": found.story,
        "marks": [{"mark": m, "cells": n} for m, n in zip(found.marks, found.cells, strict=True)],
    }
