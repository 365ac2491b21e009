"""Which release shows which defect, and which one to take: tables for the terminal, and the same as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from headcount.bisector import State
from headcount.builds import RELEASES
from headcount.defects import Defect, catalogue
from headcount.environment import environment
from headcount.matrix import Cell
from headcount.probing import Answer
from headcount.scripts import ranges
from headcount.verdicts import Kind, Verdict

_MARKS = {State.GOOD: "·", State.BAD: "X", State.SKIP: "?"}

#: Release, verdict on what it does with a call, and the known defect that explains it.
Finding = tuple[str, Verdict, Defect | None]


def table(answers: Mapping[str, Mapping[str, Answer]]) -> str:
    """Defects as rows, releases as columns: a mark for what each does with it."""
    width = max(map(len, answers))
    lines = [*_heads(width)]
    for defect, by_release in answers.items():
        lines.append(f"{defect:<{width}}  " + "  ".join(_mark(by_release[r]) + " " for r in RELEASES))
    lines += [
        "",
        "X shows it, · does not, - has no such parameter or criterion, ? fails in another way, which may hide it",
    ]
    return "\n".join(lines)


def _mark(said: Answer) -> str:
    return "-" if said.what.startswith(Kind.NOT_APPLICABLE) else _MARKS[said.state]


def _heads(width: int) -> Iterable[str]:
    minor = [release.rpartition(".") for release in RELEASES]
    top = [line if i == 0 or minor[i - 1][0] != line else "" for i, (line, _, _) in enumerate(minor)]
    yield " " * width + "  " + "".join(f"{line:<4}" for line in top).rstrip()
    yield " " * width + "  " + "".join(f".{patch:<3}" for _, _, patch in minor).rstrip()


def advice(cell: Cell, findings: Sequence[Finding]) -> str:
    """For one call: what the releases do with it, neighbours that do the same in one line, and which to take."""
    lines = [f"{cell.id}, on a small model:", ""]
    for (kind, reason, defect), same in groupby(findings, lambda found: (found[1].kind, found[1].reason, found[2])):
        releases = [release for release, _, _ in same]
        ends = releases[0] if len(releases) == 1 else f"{releases[0]} to {releases[-1]}"
        known = f"  [{defect.id}: {defect.title}]" if defect else ""
        lines.append(f"{ends:<15}  {kind:<15} {reason}{known}".rstrip())
    right = _right(findings)
    if not right:
        return "\n".join([*lines, "", "no release does it right"])
    others = f" ({ranges(right[:-1])} too)" if len(right) > 1 else ""
    lines += ["", f"take {right[-1]}: the newest that does it right{others}"]
    if left := _left(right[-1]):
        ids = ", ".join(defect.id for defect in left)
        lines.append(f"what it gets wrong in other calls, {len(left)} known defects (README, known defects): {ids}")
    return "\n".join(lines)


def advice_to_json(cell: Cell, findings: Sequence[Finding]) -> dict[str, Any]:
    """The same as plain values."""
    right = _right(findings)
    return {
        "cell": cell.id,
        "environment": dict(environment()),
        "releases": {
            release: {
                "verdict": str(verdict.kind),
                "reason": verdict.reason,
                "defect": defect.id if defect else None,
            }
            for release, verdict, defect in findings
        },
        "right": right,
        "take": right[-1] if right else None,
        "known_defects_of_it": [defect.id for defect in _left(right[-1])] if right else [],
    }


def table_to_json(answers: Mapping[str, Mapping[str, Answer]]) -> dict[str, Any]:
    """Defect -> release -> what it says."""
    return {
        defect: {release: {"state": str(said.state), "what": said.what} for release, said in by_release.items()}
        for defect, by_release in answers.items()
    }


def _right(findings: Sequence[Finding]) -> list[str]:
    return [release for release, verdict, _ in findings if verdict.kind is Kind.OK]


def _left(release: str) -> list[Defect]:
    transformers = environment()["transformers"]
    return [defect for defect in catalogue().defects if defect.affects(release, transformers)]
