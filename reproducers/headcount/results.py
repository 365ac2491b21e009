"""Results as JSON Lines: a header, a row per cell as it is finished, or per user's network, a footer with counts.

A file without its footer was cut off, and says so to its reader.
"""

import errno
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version

from headcount import check, defects, environment, errors, examine, invocation, oracle, untrusted
from headcount.builds import Overlay
from headcount.observation import Observation

#: Raised when a reader of older files would misread newer ones.
FORMAT = 2

_HINT = "read it with the Headcount that wrote it"

#: By whether the verdict is a failure, and whether a defect is recorded: what it comes to.
_OUTCOMES = {
    (False, False): defects.Outcome.EXPECTED,
    (False, True): defects.Outcome.UNEXPECTEDLY_FIXED,
    (True, False): defects.Outcome.UNEXPECTED_FAILURE,
    (True, True): defects.Outcome.EXPECTED,
}


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
            transformers=environment.environment()["transformers"],
            torch=environment.environment()["torch"],
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
            raise ValueError(
                f"contradicts itself: {row.verdict.kind}, {row.outcome}, {row.explanation.defect or 'none'}"
            )
        return row


def _contradicts_itself(row: Row) -> bool:
    """Return whether a row's outcome is none of its verdict, or its verdict none of its finding or failure."""
    untestable = row.verdict.kind is oracle.Kind.UNTESTABLE
    known = _OUTCOMES[row.verdict.is_failure, bool(row.explanation.defect)]
    return row.outcome is not (defects.Outcome.INDETERMINATE if untestable else known) or _is_forged(row.verdict)


def _is_forged(verdict: oracle.Verdict) -> bool:
    """Return whether a verdict is none of its finding or failure."""
    failed, untestable = verdict.is_failure, verdict.kind is oracle.Kind.UNTESTABLE
    return (verdict.finding is not None and not (failed and verdict.finding.kind is verdict.kind)) or (
        verdict.failure is not None and not (failed or untestable)
    )


@dataclass(frozen=True)
class Network:
    """A user's own network on one build: what was judged of it, and nothing of its code.

    Attributes:
        file: the name of the user's file, with the function if it is not the usual one.
        detail: why it was not judged at all, if it was not.
        refused: groups that the pruner looked at and left whole.
    """

    build: str
    version: str
    file: str
    transformers: str
    torch: str
    judgement: check.Judgement
    detail: str = ""
    refused: tuple[str, ...] = ()
    kind: str = "network"

    @classmethod
    def of(cls, file: check.File, found: check.Checked) -> "Network":
        """Return the row of a file on a build. Tracebacks quote the file, and are left out."""
        return cls(
            build=found.build.label,
            version=found.build.version,
            file=file.name,
            transformers=environment.environment()["transformers"],
            torch=environment.environment()["torch"],
            judgement=replace(found.judgement, verdicts=tuple(map(_without_code, found.judgement.verdicts))),
            detail=found.sight.observation.detail,
            refused=tuple(name for pruned in found.sight.pruned for name in pruned.refused),
        )

    @property
    def verdict(self) -> oracle.Verdict:
        """The first way in which it fails; fine if there is none."""
        return self.judgement.verdict

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is of: transformers version, build and file."""
        return self.transformers, self.build, self.file

    def to_json(self) -> str:
        """Return it as a line of a results file."""
        return _line(self)

    @classmethod
    def from_json(cls, line: str) -> "Network":
        """Return the row in a line.

        Raises:
            ValueError: it is none, or contradicts itself.
        """
        row = untrusted.checked(cls, json.loads(line), "row")
        if strange := next((v for v in row.judgement.verdicts if v.kind is oracle.Kind.OK or _is_forged(v)), None):
            raise ValueError(f"contradicts itself: {strange.kind}")
        return row


def _without_code(verdict: oracle.Verdict) -> oracle.Verdict:
    return replace(verdict, failure=verdict.failure and replace(verdict.failure, traceback=""))


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
    """The end of a complete run, with its counts; `gate` is a gate's own part."""

    rows: int
    verdicts: Mapping[str, int] = field(default_factory=dict)
    finished: str = ""
    gate: Mapping[str, object] | None = None
    kind: str = "footer"


def _line(part: Row | Network | Header | Footer) -> str:
    """Return a part as a line of a results file. Its kind is in it, though a default is left out elsewhere."""
    return untrusted.encoded({"kind": part.kind} | untrusted.plain(part))


#: How the line of a network begins.
_NETWORK = untrusted.encoded({"kind": Network.kind}).removesuffix("}")


def stamp() -> str:
    """Return what tells the files of one run from those of another: its time and its process."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"


class Writer(AbstractContextManager["Writer"]):
    """Writes one results file; each line is on disk before the next cell runs.

    Used as a context, it writes the footer only if nothing was raised.
    """

    def __init__(
        self,
        path: Path,
        builds: Iterable[Overlay],
        command: Iterable[str] = sys.argv,
        gate: Mapping[str, object] | None = None,
    ) -> None:
        """Open the file and write its header.

        Raises:
            OSError: the file cannot be created.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        #: A gate's own part of the footer.
        self.gate: Mapping[str, object] | None = None
        self._verdicts: Counter[str] = Counter()
        self._file = path.open("x", encoding="utf-8")
        header = Header(
            format=FORMAT,
            headcount=version("headcount"),
            harness=environment.harness_digest(),
            environment=dict(environment.environment()),
            machine={"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
            command=tuple(command),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            builds=tuple(Build(b.label, b.spec, b.version, b.digest) for b in builds),
            gate=gate,
        )
        self._write(_line(header))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(complete=kind is None)

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return self._verdicts.total()

    def write(self, row: Row | Network, line: str | None = None) -> None:
        """Append a finished cell or network; `line` is the same as JSON, where it is at hand."""
        self._verdicts[row.verdict.kind.value] += 1
        self._write(line or row.to_json())

    def close(self, *, complete: bool) -> None:
        """End the file, with a footer if the run was complete.

        Raises:
            OSError: the footer cannot be written; the file is then as if it was cut off.
        """
        try:
            if complete and not self._file.closed:
                finished = datetime.now(UTC).isoformat(timespec="seconds")
                self._write(_line(Footer(self.rows, dict(self._verdicts), finished, self.gate)))
                if not self.path.exists() or not os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                    raise FileNotFoundError(errno.ENOENT, "the file was removed or replaced while it was written")
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
    networks: tuple[Network, ...] = ()

    @property
    def every(self) -> tuple[Row | Network, ...]:
        """All rows, those of cells first."""
        return (*self.rows, *self.networks)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, and every row it counted is there."""
        return (
            self.footer is not None
            and self.footer.rows == len(self.every)
            and (
                not self.footer.verdicts
                or self.footer.verdicts == Counter(row.verdict.kind.value for row in self.every)
            )
        )


def read(path: Path) -> Results:
    """Return a results file; a last line that was cut in the middle is left out.

    Raises:
        UsageError: there is no such file, or it is not one of ours.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"cannot read {path}: {error}", _give()) from error
    rows: list[Row | Network] = []
    footer: Footer | None = None
    number = 1
    try:
        header = _header(path, lines)
        for number, line in enumerate(lines[1:], 2):
            if number == len(lines) and (data := json.loads(line)).get("kind") == "footer":
                footer = untrusted.checked(Footer, data, "footer")
            else:
                rows.append(_row(line, header))
    except json.JSONDecodeError as error:
        if number == 1 or number < len(lines):
            raise errors.UsageError(f"{path}, line {number} is no JSON", _give()) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise errors.UsageError(f"{path}, line {number}: {error}", _HINT) from error
    cells = tuple(row for row in rows if isinstance(row, Row))
    return Results(header, cells, footer, tuple(row for row in rows if isinstance(row, Network)))


def _give() -> str:
    return f"give a results file of {invocation.matrix()}, or of {invocation.command('check')}"


def _header(path: Path, lines: list[str]) -> Header:
    data = json.loads(lines[0]) if lines else None
    if not isinstance(data, dict) or data.get("kind") != "header":
        raise errors.UsageError(
            f"{path} is no results file: it does not begin with a header", f"{invocation.matrix()} writes one"
        )
    if data.get("format") != FORMAT:
        raise errors.UsageError(f"{path} has format {data.get('format')!r}, not {FORMAT}", _HINT)
    header = untrusted.checked(Header, data, "header")
    Version(header.environment.get("transformers", ""))
    return header


def _row(line: str, header: Header) -> Row | Network:
    row = Network.from_json(line) if line.startswith(_NETWORK) else Row.from_json(line)
    if row.kind != type(row).kind:
        raise ValueError(f"it is a {row.kind!r} where a row belongs")
    if row.build not in {build.label for build in header.builds}:
        raise ValueError(f"it is of {row.build!r}, a build that the header does not list")
    if row.transformers != header.environment["transformers"]:
        raise ValueError("it is of another transformers version than the header")
    return row


def merge(parts: Sequence[Results]) -> Results:
    """Return several files as one: shards of a run, or runs of several builds.

    Raises:
        UsageError: there are none, one is cut off, a cell is in two, or the environments differ.
    """
    if not parts:
        raise errors.UsageError("there are no results to merge")
    if cut_off := [part.header.started for part in parts if not part.complete]:
        raise errors.UsageError(f"the results started at {cut_off[0]} are cut off", "run that part again")
    first, seen = parts[0].header, set()
    for name in ("environment", "harness"):
        if any(getattr(part.header, name) != getattr(first, name) for part in parts):
            raise errors.UsageError(
                f"the results come from different environments: {name} differs", "merge runs of one environment"
            )
    for key in (row.key for part in parts for row in part.every):
        if key in seen:
            raise errors.UsageError(f"{'-'.join(key[1:])} is in two of the results", "merge each part once")
        seen.add(key)
    rows = tuple(row for part in parts for row in part.rows)
    networks = tuple(row for part in parts for row in part.networks)
    builds = tuple(dict.fromkeys(build for part in parts for build in part.header.builds))
    return Results(replace(first, builds=builds), rows, Footer(len(rows) + len(networks)), networks)
