"""Results as JSON Lines: a header, a row per cell as it is finished, a footer with counts.

A file without its footer was cut off, and says so to its reader.
"""

import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from packaging.version import InvalidVersion, Version

from headcount import defects, errors, examine, oracle, untrusted
from headcount.builds import Overlay
from headcount.environment import environment, harness_digest
from headcount.observation import Observation

#: Raised when a reader of older files would misread newer ones.
FORMAT = 2

_HINT = "read it with the Headcount that wrote it"


@dataclass(frozen=True)
class Row:
    """One finished cell.

    Attributes:
        config: the call, in MetaPruner's own parameter names.
        observation: without the names that the pruner has and takes, which are alike in every row; None in short.
        recalled: whether it was observed before this run.
        repeats: of a gate's: whether it was so again in a fresh process.
    """

    build: str
    version: str
    model: str
    config: Mapping[str, object]
    cell: str
    transformers: str
    torch: str
    verdict: oracle.Verdict
    explanation: defects.Explanation
    seconds: float
    observation: Observation | None = None
    recalled: bool = False
    repeats: bool = True
    kind: str = "row"

    @classmethod
    def of(cls, found: examine.Examined) -> "Row":
        """Return the row of an examined cell."""
        return cls(
            build=found.build.label,
            version=found.build.version,
            model=found.cell.model.id,
            config=found.cell.config.to_json(),
            cell=found.cell.id,
            transformers=environment()["transformers"],
            torch=environment()["torch"],
            verdict=found.verdict,
            explanation=found.explanation,
            seconds=round(sum(found.observation.seconds.values()), 6),
            observation=replace(found.observation, attributes=(), parameters=()),
            recalled=found.observation.recalled,
        )

    @property
    def outcome(self) -> defects.Outcome:
        """The verdict compared with what is recorded."""
        return self.explanation.outcome

    @property
    def seen(self) -> Observation:
        """The observation.

        Raises:
            ValueError: the row is in short.
        """
        if self.observation is None:
            raise ValueError(f"{self.cell}: its observation is not at hand")
        return self.observation

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is of: transformers version, build and cell."""
        return self.transformers, self.build, self.cell

    def to_json(self) -> str:
        """Return it as a line of a results file."""
        return _line(self)

    @classmethod
    def from_json(cls, line: str, *, short: bool = False) -> "Row":
        """Return the row in a line.

        Args:
            short: leave the observation out; to check it costs most.

        Raises:
            ValueError: it is none, or contradicts itself.
        """
        data = json.loads(line)
        if short and isinstance(data, dict):
            data.pop("observation", None)
        row = untrusted.checked(cls, data, "row")
        if _contradicts_itself(row):
            facts = (row.verdict.kind, row.outcome, row.explanation.defect or "none")
            raise ValueError(f"contradicts itself: {', '.join(facts)}")
        return row


def _contradicts_itself(row: Row) -> bool:
    """Return whether a row's outcome is none of its verdict, or its verdict none of its finding."""
    kind, outcome, known = row.verdict.kind, row.outcome, bool(row.explanation.defect)
    if row.verdict.finding is not None and row.verdict.finding.kind is not kind:
        return True
    if not row.verdict.is_failure:
        untestable = kind is oracle.Kind.UNTESTABLE
        fits = outcome is defects.Outcome.INDETERMINATE if untestable else outcome is _FINE[known]
        return not fits or row.verdict.finding is not None or (row.verdict.failure is not None and not untestable)
    return outcome is not _FAILING[known]


_FINE = {False: defects.Outcome.EXPECTED, True: defects.Outcome.UNEXPECTEDLY_FIXED}
_FAILING = {False: defects.Outcome.UNEXPECTED_FAILURE, True: defects.Outcome.EXPECTED}


@dataclass(frozen=True)
class Build:
    """A build, as a header lists it."""

    label: str
    spec: str
    version: str
    digest: str


@dataclass(frozen=True)
class Header:
    """What all rows of a file have in common; `gate` is a gate's own part."""

    format: int
    headcount: str
    harness: str
    environment: Mapping[str, str]
    machine: Mapping[str, object]
    command: tuple[str, ...]
    started: str
    builds: tuple[Build, ...]
    gate: Mapping[str, object] | None = None
    kind: str = "header"


@dataclass(frozen=True)
class Footer:
    """The end of a complete run, with its counts; `doubts` and `reproducers` are a gate's."""

    rows: int
    verdicts: Mapping[str, int] = field(default_factory=dict)
    finished: str = ""
    doubts: tuple[str, ...] = ()
    reproducers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "footer"


def _line(part: Row | Header | Footer) -> str:
    """Return a part as a line of a results file. Its kind is in it, though a default is left out elsewhere."""
    return untrusted.encoded({"kind": part.kind} | untrusted.plain(part))


def stamp() -> str:
    """Return what tells the files of one run from those of another: its time and its process."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Writer:
    """Writes one results file; each line is on disk before the next cell runs.

    Used as a context, it writes the footer only if nothing was raised.
    """

    def __init__(
        self,
        path: Path,
        builds: Iterable[Overlay],
        command: Iterable[str] = sys.argv,
        gate: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the file and write its header.

        Raises:
            OSError: the file cannot be created.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        #: What the footer of a gate says in addition.
        self.doubts: tuple[str, ...] = ()
        self.reproducers: Mapping[str, str] = {}
        self._verdicts: Counter[str] = Counter()
        self._file: TextIO = path.open("x", encoding="utf-8")
        header = Header(
            format=FORMAT,
            headcount=version("headcount"),
            harness=harness_digest(),
            environment=dict(environment()),
            machine={"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
            command=tuple(command),
            started=_now(),
            builds=tuple(Build(b.label, b.spec, b.version, b.digest) for b in builds),
            gate=gate,
        )
        self._write(_line(header))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.close(complete=kind is None)

    @property
    def rows(self) -> int:
        """How many cells were written."""
        return self._verdicts.total()

    def write(self, row: Row, line: str | None = None) -> None:
        """Append a finished cell; `line` is the same as JSON, where it is at hand."""
        self._verdicts[row.verdict.kind.value] += 1
        self._write(line or row.to_json())

    def close(self, *, complete: bool) -> None:
        """End the file, with a footer if the run was complete.

        Raises:
            OSError: the footer cannot be written; the file is then as if it was cut off.
        """
        if self._file.closed:
            return
        try:
            if complete:
                footer = Footer(self.rows, dict(self._verdicts), _now(), self.doubts, self.reproducers)
                self._write(_line(footer))
        finally:
            with suppress(OSError):  # what could not be flushed before cannot be now
                self._file.close()

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()


@dataclass(frozen=True)
class Results:
    """A results file that was read back; `footer` is None if it was cut off."""

    header: Header
    rows: tuple[Row, ...]
    footer: Footer | None

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, and every row it counted is there."""
        if self.footer is None or self.footer.rows != len(self.rows):
            return False
        return not self.footer.verdicts or self.footer.verdicts == Counter(row.verdict.kind.value for row in self.rows)


def read(path: Path) -> Results:
    """Return a results file; a last line that was cut in the middle is left out.

    Raises:
        UsageError: there is no such file, or it is not one of ours.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"cannot read {path}: {error}", "give a results file of nox -s matrix") from error
    header = _header(path, lines[:1])
    rows: list[Row] = []
    footer = None
    for number, line in enumerate(lines[1:], 2):
        try:
            if number == len(lines) and (data := json.loads(line)).get("kind") == "footer":
                footer = untrusted.checked(Footer, data, "footer")
            else:
                rows.append(_row(line, header))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise errors.UsageError(
                f"{path}, line {number} is no JSON", "give a results file of nox -s matrix"
            ) from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise errors.UsageError(f"{path}, line {number}: {error}", _HINT) from error
    return Results(header, tuple(rows), footer)


def _header(path: Path, lines: list[str]) -> Header:
    try:
        data = json.loads(lines[0]) if lines else None
    except (ValueError, RecursionError) as error:
        raise errors.UsageError(f"{path}, line 1 is no JSON", "give a results file of nox -s matrix") from error
    if not isinstance(data, dict) or data.get("kind") != "header":
        raise errors.UsageError(
            f"{path} is no results file: it does not begin with a header", "nox -s matrix writes one"
        )
    if data.get("format") != FORMAT:
        raise errors.UsageError(f"{path} has format {data.get('format')!r}, not {FORMAT}", _HINT)
    try:
        header = untrusted.checked(Header, data, "header")
        Version(header.environment.get("transformers", ""))
    except (ValueError, InvalidVersion) as error:
        raise errors.UsageError(f"{path}, line 1: {error}", _HINT) from error
    return header


def _row(line: str, header: Header) -> Row:
    """Return a row of this file.

    Raises:
        ValueError: it is none.
    """
    row = Row.from_json(line)
    if row.kind != "row":
        raise ValueError(f"it is a {row.kind!r} where a row belongs")
    if row.build not in {build.label for build in header.builds}:
        raise ValueError(f"it is of {row.build!r}, a build that the header does not list")
    if row.transformers != header.environment["transformers"]:
        raise ValueError("it is of another transformers version than the header")
    return row


def merge(parts: Iterable[Results]) -> Results:
    """Return several files as one: shards of a run, or runs of several builds.

    Raises:
        UsageError: there are none, one is cut off, a cell is in two, or the environments differ.
    """
    parts = list(parts)
    if not parts:
        raise errors.UsageError("there are no results to merge")
    if cut_off := [part.header.started for part in parts if not part.complete]:
        raise errors.UsageError(f"the results started at {cut_off[0]} are cut off", "run that part again")
    first, seen = parts[0].header, set()
    for part in parts:
        for name in ("environment", "harness"):
            if getattr(part.header, name) != getattr(first, name):
                raise errors.UsageError(
                    f"the results come from different environments: {name} differs", "merge runs of one environment"
                )
        for row in part.rows:
            if row.key in seen:
                raise errors.UsageError(f"{row.build}-{row.cell} is in two of the results", "merge each part once")
            seen.add(row.key)
    rows = tuple(row for part in parts for row in part.rows)
    builds = tuple(dict.fromkeys(build for part in parts for build in part.header.builds))
    return Results(replace(first, builds=builds), rows, Footer(len(rows)))
