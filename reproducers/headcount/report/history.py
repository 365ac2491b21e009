"""Which release shows which defect, and which one to take: tables for the terminal."""

from collections.abc import Iterable, Mapping, Sequence

from headcount.bisector import State
from headcount.builds import RELEASES
from headcount.probing import Answer
from headcount.verdicts import Kind, Verdict

_MARKS = {State.GOOD: "·", State.BAD: "X", State.SKIP: "?"}


def table(answers: Mapping[str, Mapping[str, Answer]]) -> str:
    """Defects as rows, releases as columns: X shows it, a dot does not, ? fails in another way or cannot be told."""
    width = max(map(len, answers))
    lines = [*_heads(width)]
    for defect, by_release in answers.items():
        lines.append(f"{defect:<{width}}  " + "  ".join(_MARKS[by_release[r].state] + " " for r in RELEASES))
    lines += ["", "X shows it, · does not, ? fails in another way, which may hide it"]
    return "\n".join(lines)


def _heads(width: int) -> Iterable[str]:
    minor = [release.rpartition(".") for release in RELEASES]
    top = [line if i == 0 or minor[i - 1][0] != line else "" for i, (line, _, _) in enumerate(minor)]
    yield " " * width + "  " + "".join(f"{line:<4}" for line in top).rstrip()
    yield " " * width + "  " + "".join(f".{patch:<3}" for _, _, patch in minor).rstrip()


def advice(verdicts: Sequence[tuple[str, Verdict, str]]) -> str:
    """For one call: what each release does with it, and which to take.

    Args:
        verdicts: release, verdict, and the known defect's title or "".
    """
    lines = []
    for release, verdict, title in verdicts:
        lines.append(f"{release:<6} {verdict.kind:<15} {verdict.reason}".rstrip())
        if title:
            lines[-1] += f"  [{title}]"
    right = [release for release, verdict, _ in verdicts if verdict.kind is Kind.OK]
    taken = f"take {right[-1]}: the newest that does it right" if right else "no release does it right"
    others = f" ({', '.join(right[:-1])} too)" if len(right) > 1 else ""
    return "\n".join([*lines, "", taken + others])
