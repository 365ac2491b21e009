"""Users' own networks over the builds: what `headcount check` judged of each, neighbours that do the same together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from packaging.version import Version

from headcount import untrusted, wording
from headcount.report import check
from headcount.results import Network


@dataclass(frozen=True)
class Run:
    """What some neighbouring builds do with a network.

    Attributes:
        state: in a word.
        reasons: in which ways it fails; or why it was not judged, or not all of it.
        looks_like: known defects.
    """

    builds: tuple[str, ...]
    state: str
    reasons: tuple[str, ...]
    looks_like: tuple[str, ...]

    @property
    def names(self) -> str:
        """The builds: a range, if they are releases."""
        return wording.ranges(self.builds)


@dataclass(frozen=True)
class Told:
    """A user's network, with one transformers version, on all builds.

    Attributes:
        rows: as their builds stand in the report.
    """

    file: str
    transformers: str
    rows: tuple[Network, ...]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """What the builds do, those side by side that do the same together."""
        return tuple(_run(list(run)) for _, run in groupby(self.rows, _likeness))

    @property
    def take(self) -> str:
        """The newest build that prunes it right; "" if none does."""
        right = [row for row in self.rows if row.judgement.is_right]
        return max(reversed(right), key=lambda row: Version(row.version)).build if right else ""

    @property
    def title(self) -> str:
        """The file, with the transformers version."""
        return f"{self.file}, transformers {self.transformers}"

    @property
    def advice(self) -> str:
        """Which build to take, in words."""
        return f"take {self.take}: the newest that prunes it right" if self.take else "none of these prunes it right"

    def to_json(self, places: Sequence[str]) -> dict[str, object]:
        """Return it as plain values; builds by their places, and in words."""
        runs = [
            {
                "builds": [places.index(build) for build in run.builds],
                "names": run.names,
                "state": run.state,
                "reasons": list(run.reasons),
                "looks_like": list(run.looks_like),
            }
            for run in self.runs
        ]
        return {name: getattr(self, name) for name in ("file", "transformers", "take", "advice")} | {"runs": runs}


def told(rows: Sequence[Network], order: Sequence[str]) -> Iterator[Told]:
    """Yield each network of these rows.

    Args:
        order: the builds, as they stand in the report.
    """
    for file, transformers in dict.fromkeys((row.file, row.transformers) for row in rows):
        own = [row for row in rows if (row.file, row.transformers) == (file, transformers)]
        yield Told(file, transformers, tuple(sorted(own, key=lambda row: order.index(row.build))))


def _run(run: Sequence[Network]) -> Run:
    judgement, labels = run[0].judgement, tuple(row.build for row in run)
    why = check.reasons(judgement) or [*filter(None, (run[0].detail,)), *judgement.undecided]
    known = check.looks_like(judgement.verdict, labels)
    return Run(labels, check.state(judgement), tuple(map(untrusted.clean, why)), known)


def _likeness(row: Network) -> tuple[object, ...]:
    verdict = row.verdict
    return verdict.signature, verdict.found, check.state(row.judgement)
