"""What may get worse, for a reason and until a day: waivers, read from a TOML file.

[[waiver]]
cells = "vit-*-by_lamp*"        # or: cause = "crash: KeyError: ..."
reason = "LAMP is rewritten in the next release"
until = 2027-01-31
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from headcount import errors
from headcount.gate.compare import Difference, failure_of

_HINT = 'each [[waiver]] has cells = "PATTERN" or cause = "TEXT", a reason, and until = YEAR-MONTH-DAY'


@dataclass(frozen=True)
class Waiver:
    """One reason why cells may get worse.

    Attributes:
        reason: why.
        until: the last day on which it holds.
        cells: a shell's pattern of ids; "" for all.
        cause: the candidate's failure, as a gate's report calls it; "" for any.
    """

    reason: str
    until: date
    cells: str = ""
    cause: str = ""

    def covers(self, difference: Difference) -> bool:
        """Return whether a cell that got worse may."""
        failure = str(failure_of(difference.candidate)) if difference.candidate else ""
        return fnmatchcase(difference.cell, self.cells or "*") and self.cause in ("", failure)


def read(path: Path, today: date | None = None) -> tuple[Waiver, ...]:
    """Return the waivers in a file.

    Args:
        today: the day; the real one unless given.

    Raises:
        UsageError: it cannot be read, holds something else, or one has expired.
    """
    try:
        found = [_waiver(entry) for entry in tomllib.loads(path.read_text("utf-8"))["waiver"]]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise errors.UsageError(f"{path} holds no waivers: {error}", _HINT) from error
    day = today or datetime.now(UTC).date()
    if expired := [waiver for waiver in found if waiver.until < day]:
        raise errors.UsageError(
            f"{path}: the waiver {expired[0].reason!r} ended on {expired[0].until}", "take it out, or give a new reason"
        )
    return tuple(found)


def _waiver(entry: Mapping[str, object]) -> Waiver:
    """Return the waiver in an entry.

    Raises:
        ValueError: it is none.
    """
    wrong = [name for name in entry if name not in ("cells", "cause", "reason", "until")]
    texts = {name: entry.get(name, "") for name in ("cells", "cause", "reason")}
    if wrong or not all(isinstance(text, str) for text in texts.values()) or not str(texts["reason"]).strip():
        raise ValueError(f"no waiver: {', '.join(wrong) or 'it needs a reason'}")
    if not (texts["cells"] or texts["cause"]):
        raise ValueError("a waiver of everything is none")
    until = entry.get("until")
    if type(until) is not date:
        raise ValueError("it needs a day, as until = 2027-01-31")
    return Waiver(str(texts["reason"]), until, str(texts["cells"]), str(texts["cause"]))


def waived(waivers: Iterable[Waiver], worse: Iterable[Difference]) -> Mapping[str, str]:
    """Return cell -> the reason why it may get worse.

    Raises:
        UsageError: a waiver covers none: what it was for is mended.
    """
    worse, found = list(worse), dict[str, str]()
    for waiver in waivers:
        covered = [difference.cell for difference in worse if waiver.covers(difference)]
        if not covered:
            causes = dict.fromkeys(str(failure_of(each.candidate)) for each in worse if each.candidate)
            raise errors.UsageError(
                f"the waiver {waiver.reason!r} covers no cell that got worse",
                f"the causes are {', '.join(map(repr, causes))}" if causes else "take it out of the file",
            )
        found |= dict.fromkeys(covered, f"{waiver.reason} (until {waiver.until})")
    return found
