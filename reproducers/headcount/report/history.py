"""Which release shows which defect, and which one to take: tables for the terminal, and the same as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from headcount.bisect.search import State
from headcount.builds import RELEASES
from headcount.defects import Defect, catalogue
from headcount.environment import environment
from headcount.matrix import Cell
from headcount.bisect.probe import Answer, Finding
from headcount.reproduce.script import ranges
from headcount.oracle.verdict import Kind

_MARKS = {State.GOOD: "·", State.BAD: "X", State.SKIP: "?"}


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
    for (kind, words), same in groupby(findings, lambda found: (found.verdict.kind, _words(found))):
        releases = [found.release for found in same]
        ends = releases[0] if len(releases) == 1 else f"{releases[0]} to {releases[-1]}"
        lines.append(f"{ends:<15}  {kind:<15} {words}".rstrip())
    right = _right(findings)
    if not right:
        return "\n".join([*lines, "", *_none(cell, findings)])
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
            found.release: {
                "verdict": str(found.verdict.kind),
                "reason": found.verdict.reason,
                "defect": found.defect.id if found.defect else None,
                "untouched": found.untouched,
            }
            for found in findings
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
    return [found.release for found in findings if found.right]


def _words(found: Finding) -> str:
    """What a release does, after the kind of it."""
    if found.untouched:
        return "all heads stay, which the documentation leaves open"
    if found.verdict.kind in (Kind.OK, Kind.UNTESTABLE, Kind.NOT_APPLICABLE):
        return found.verdict.reason
    known = f"{found.defect.id}: {found.defect.title}" if found.defect else "no known defect explains it"
    return f"{found.verdict.reason}  [{known}]"


def _none(cell: Cell, findings: Sequence[Finding]) -> Iterable[str]:
    """That there is no release to take, and what to try."""
    untouched = [found.release for found in findings if found.untouched]
    yield "no release does it right" + (f"; no head goes with {ranges(untouched)}" if untouched else "")
    if "residual_outputs" not in cell.config.ignored_layers:
        yield "(--keep-width leaves the width alone, as upstream's examples do: some may do that right)"


def _left(release: str) -> list[Defect]:
    transformers = environment()["transformers"]
    return [defect for defect in catalogue().defects if defect.affects(release, transformers)]
