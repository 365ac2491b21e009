"""What random calls came to, for people: counts, then each kind that nothing explains, with its smallest call."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from headcount import wording
from headcount.explore import Difference, Explored, Group


@dataclass(frozen=True)
class Kind:
    """An unexplained kind, and what was made of it.

    Attributes:
        releases: those whose smallest call fails so, too.
        file: where the reproducer is; "" if none could be written, and then why.
    """

    group: Group
    releases: tuple[str, ...]
    file: str = ""
    why_no_file: str = ""


def summary(explored: Explored, seed: int) -> str:
    """Return what the calls came to, and which remedies cured those that failed."""
    counts = Counter(found.verdict.kind for found in explored.ran)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    cured = Counter(id_ for chosen in explored.cured.values() for id_ in chosen)
    lines = [
        f"{explored.build.label}, seed {seed}: {len(explored.ran)} calls: {kinds}",
        f"{len(explored.failures)} fail: {len(explored.cured)} cured, {len(explored.unexplained)} unexplained",
    ]
    return "\n".join((*lines, *(f"  {count:5} {id_}" for id_, count in cured.most_common())))


def kind(number: int, found: Kind, build: str) -> str:
    """Return a paragraph about a kind."""
    return "\n".join(_kind(number, found, build))


def _kind(number: int, kind: Kind, build: str) -> Iterator[str]:
    smallest, count = kind.group.smallest, len(kind.group.found)
    yield f"{number}. {wording.verdict(smallest.verdict)} ({count} {'call' if count == 1 else 'calls'})"
    yield f"   smallest call: {smallest.cell.id}"
    yield f"   drawn as: {kind.group.found[0].cell.id}"
    yield f"   also in: {', '.join(release for release in kind.releases if release != build) or 'no other release'}"
    yield f"   file: {kind.file}" if kind.file else f"   no file: {kind.why_no_file}"


def entry(kind: Kind) -> str:
    """Return a catalogue entry to review: what is known is filled in, what is not is TODO."""
    smallest = kind.group.smallest
    finding, failure = smallest.verdict.finding, smallest.verdict.failure
    if failure is not None:
        signature = f"Raises({failure.exception!r}, {failure.text!r}, {failure.frame!r})"
    elif finding is not None:
        side = f", side=Side.{finding.side.name}" if finding.side else ""
        signature = f"Breaks(Problem.{finding.problem.name}, {finding.dimension.partition('.')[0]!r}{side})"
    else:
        signature = "TODO"
    return f"""Defect(
    id="TODO",
    title="TODO: {wording.verdict(smallest.verdict)}",
    severity=Severity.TODO,
    hits="TODO",
    cause="TODO",
    breaks="TODO",
    source="TODO",
    signature=({signature},),
    may_show=TODO,
    examples=({smallest.cell.id!r},),
    reproducer=Reproducer({kind.file.rpartition("/")[2]!r}, {(kind.releases or (smallest.build.label,))[-1]!r}),
)
"""


def difference(found: Difference) -> str:
    """Return in a line what a call does on each of two builds."""
    before, after = found.before, found.after
    return f"{before.cell.id}: {wording.verdict(before.verdict)} -> {wording.verdict(after.verdict)}"
