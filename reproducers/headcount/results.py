"""Results as JSON Lines: a header, a row per cell as it is finished, a footer with counts.

A file without its footer was cut off, and says so to whoever reads it.
"""

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from packaging.version import Version

from headcount.builds import Overlay
from headcount.defects import Comparison, Outcome, catalogue
from headcount.environment import environment, harness_digest
from headcount.errors import UsageError
from headcount.untrusted import checked
from headcount.matrix import Cell
from headcount.observation import Observation
from headcount.oracle.expectation import expect
from headcount.oracle.verdict import Kind, Verdict, judge

#: Raised when a reader of older files would misread newer ones.
FORMAT = 1

#: The names that a build's pruner has and takes; the claims about issue 410 ask for them, and no reader of rows.
_SAME_IN_EVERY_ROW = ("attributes", "parameters")

Row = dict[str, Any]


def row(overlay: Overlay, cell: Cell, observation: Observation, verdict: Verdict, comparison: Comparison) -> Row:
    """One finished cell, as plain JSON values."""
    return {
        "kind": "row",
        "build": overlay.label,
        "version": overlay.version,
        "model": cell.model.id,
        "config": cell.config.to_json(),
        "cell": cell.id,
        "transformers": environment()["transformers"],
        "torch": environment()["torch"],
        "verdict": str(verdict.kind),
        "reason": verdict.reason,
        "signature": str(verdict.signature),
        "defect": comparison.defect.id if comparison.defect else None,
        "outcome": str(comparison.outcome),
        "seconds": round(sum(observation.seconds.values()), 6),
        "observation": {k: v for k, v in observation.to_json().items() if k not in _SAME_IN_EVERY_ROW},
    }


def judged(overlay: Overlay, cell: Cell, observation: Observation) -> Row:
    """What was observed, judged and compared with the catalogue, as a row."""
    verdict = judge(expect(cell.model, cell.config), observation)
    comparison = catalogue().compare(verdict, cell, overlay.version, environment()["transformers"])
    return row(overlay, cell, observation, verdict, comparison)


def stamp() -> str:
    """What tells the files of one run from those of another: its time and its process."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"


class Writer:
    """Writes one results file; each line is on disk before the next cell runs.

    Used as a context, it writes the footer only if nothing was raised.
    """

    def __init__(
        self,
        path: Path,
        builds: Iterable[Overlay],
        command: Iterable[str] = sys.argv,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the file and write its header.

        Args:
            more: what else the header says.

        Raises:
            OSError: the file cannot be created.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = 0
        self._verdicts: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        #: What else the footer will say.
        self.closing: dict[str, Any] = {}
        self._file: TextIO = path.open("x", encoding="utf-8")
        self._write(
            encode(
                {
                    "kind": "header",
                    "format": FORMAT,
                    "headcount": version("headcount"),
                    "harness": harness_digest(),
                    "environment": dict(environment()),
                    "machine": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
                    "command": list(command),
                    "started": _now(),
                    "builds": [
                        {"label": b.label, "spec": b.spec, "version": b.version, "digest": b.digest} for b in builds
                    ],
                    **(more or {}),
                }
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.close(complete=kind is None)

    def write(self, line: Row, encoded: str | None = None) -> None:
        """Append a finished cell; `encoded` is the same as JSON, where it is at hand."""
        self.rows += 1
        self._verdicts[line["verdict"]] += 1
        self._outcomes[line["outcome"]] += 1
        self._write(encoded or encode(line))

    def close(self, *, complete: bool) -> None:
        """End the file, with a footer if the run was complete.

        Raises:
            OSError: the footer cannot be written; the file is then as if it was cut off.
        """
        if self._file.closed:
            return
        try:
            if complete:
                counts = {"verdicts": dict(self._verdicts), "outcomes": dict(self._outcomes)}
                self._write(encode({"kind": "footer", "rows": self.rows, **counts, **self.closing, "finished": _now()}))
        finally:
            with suppress(OSError):  # what could not be flushed before cannot be now
                self._file.close()

    def _write(self, encoded: str) -> None:
        self._file.write(encoded + "\n")
        self._file.flush()


def encode(line: Mapping[str, Any]) -> str:
    """One line of a results file, without its end."""
    return json.dumps(line, separators=(",", ":"))


# --- what a reader may rely on: a file comes from anywhere ----------------------------------------


@dataclass(frozen=True)
class _Build:
    label: str
    spec: str
    version: str
    digest: str


@dataclass(frozen=True)
class _Header:
    kind: str
    format: int
    headcount: str
    harness: str
    environment: Mapping[str, str]
    machine: Mapping[str, object]
    command: tuple[str, ...]
    started: str
    builds: tuple[_Build, ...]
    gate: Mapping[str, object] | None = None


@dataclass(frozen=True)
class _Line:
    """A row. `repeats` is a gate's: whether it was so again in a fresh process."""

    kind: str
    build: str
    version: str
    model: str
    config: Mapping[str, object]
    cell: str
    transformers: str
    torch: str
    verdict: Kind
    reason: str
    signature: str
    defect: str | None
    outcome: Outcome
    seconds: float
    observation: Observation
    repeats: bool = True


@dataclass(frozen=True)
class _Footer:
    kind: str
    rows: int
    verdicts: Mapping[str, int]
    outcomes: Mapping[str, int]
    finished: str
    doubts: tuple[str, ...] = ()
    reproducers: Mapping[str, str] = field(default_factory=dict)


_SHAPES: Mapping[str, type] = {"header": _Header, "row": _Line, "footer": _Footer}


@dataclass(frozen=True)
class Results:
    """A results file that was read back; `footer` is None if it was cut off."""

    header: Mapping[str, Any]
    rows: tuple[Row, ...]
    footer: Mapping[str, Any] | None

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, and every row it counted is there."""
        if self.footer is None or self.footer.get("rows") != len(self.rows):
            return False
        counted = Counter(row["verdict"] for row in self.rows)
        return bool(self.footer.get("verdicts", counted) == counted)


def read(path: Path) -> Results:
    """A results file; a last line that was cut in the middle is left out.

    Raises:
        UsageError: there is no such file, or it is not one of ours.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", "give a results file of nox -s matrix") from error
    parsed: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            parsed.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if number == len(lines) > 1:
                break
            raise UsageError(f"{path}, line {number} is no JSON", "give a results file of nox -s matrix") from error
    if not parsed or not isinstance(parsed[0], dict) or parsed[0].get("kind") != "header":
        raise UsageError(f"{path} is no results file: it does not begin with a header", "nox -s matrix writes one")
    if parsed[0].get("format") != FORMAT:
        raise UsageError(
            f"{path} has format {parsed[0].get('format')!r}, not {FORMAT}", "read it with the Headcount that wrote it"
        )
    try:
        _check(parsed)
    except ValueError as error:
        raise UsageError(f"{path}, {error}", "read it with the Headcount that wrote it") from error
    footer = parsed[-1] if parsed[-1]["kind"] == "footer" else None
    return Results(parsed[0], tuple(line for line in parsed if line["kind"] == "row"), footer)


def _check(lines: list[dict[str, Any]]) -> None:
    """Whether it is a header, rows of its builds, and perhaps a footer.

    Raises:
        ValueError: a line is none of ours; which, and why.
    """
    labels: set[str] = set()
    for number, line in enumerate(lines, 1):
        kind = "header" if number == 1 else "row"
        if number == len(lines) > 1 and isinstance(line, dict) and line.get("kind") == "footer":
            kind = "footer"
        where = f"line {number}"
        checked(_SHAPES[kind], line, where)
        if line["kind"] != kind:
            raise ValueError(f"{where} is a {line['kind']!r} where a {kind} belongs")
        if kind == "header":
            labels = {build["label"] for build in line["builds"]}
            Version(line["environment"].get("transformers", ""))
        elif kind == "row" and line["build"] not in labels:
            raise ValueError(f"{where} is of {line['build']!r}, a build that the header does not list")
        elif kind == "row" and _contradicts_itself(line):
            raise ValueError(f"{where} contradicts itself: {line['verdict']}, {line['outcome']}, {line['defect']}")
        elif kind == "row" and line["transformers"] != lines[0]["environment"].get("transformers"):
            raise ValueError(f"{where} is of another line of transformers than the header")


def _contradicts_itself(row: Row) -> bool:
    """What is expected is fine or has a defect that explains it, and not both."""
    fine = row["verdict"] in (Kind.OK, Kind.NOT_APPLICABLE)
    return row["outcome"] == Outcome.EXPECTED and fine == (row["defect"] is not None)


def merge(parts: Iterable[Results]) -> Results:
    """Several files as one: shards of a run, or runs of several builds.

    Raises:
        UsageError: there are none, one is cut off, a cell is in two, or the environments differ.
    """
    parts = list(parts)
    if not parts:
        raise UsageError("there are no results to merge")
    if cut_off := [part.header.get("started") for part in parts if not part.complete]:
        raise UsageError(f"the results started at {cut_off[0]} are cut off", "run that part again")
    seen: set[tuple[str, str, str]] = set()
    for part in parts:
        for name in ("environment", "harness"):
            if part.header[name] != parts[0].header[name]:
                raise UsageError(
                    f"the results come from different environments: {name} differs", "merge runs of one environment"
                )
        for line in part.rows:
            key = (line["build"], line["cell"], line["transformers"])
            if key in seen:
                raise UsageError(f"{line['build']}-{line['cell']} is in two of the results", "merge each part once")
            seen.add(key)
    rows = tuple(line for part in parts for line in part.rows)
    builds = [build for part in parts for build in part.header["builds"]]
    header = {**parts[0].header, "builds": [dict(items) for items in dict.fromkeys(tuple(b.items()) for b in builds)]}
    return Results(header, rows, {"kind": "footer", "rows": len(rows)})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
