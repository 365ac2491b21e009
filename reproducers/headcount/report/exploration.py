"""What random calls came to, for people: counts, then each kind that nothing explains, with its smallest call."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headcount import oracle, wording
from headcount.examine import Examined
from headcount.explore import Explored, Group
from headcount.gate import Change, Difference
from headcount.report.gate import what


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
    cured = Counter(id_ for chosen in explored.cured.values() for id_ in chosen)
    lines = [
        counted(explored.build.label, seed, explored.ran),
        f"{len(explored.failures)} fail: {len(explored.cured)} cured, {len(explored.unexplained)} unexplained",
    ]
    return "\n".join((*lines, *(f"  {count:5} {id_}" for id_, count in cured.most_common())))


def counted(label: str, seed: int, ran: Sequence[Examined]) -> str:
    """Return what calls came to, in a line; in another why some could not be tested, if any could not."""
    counts = Counter(found.verdict.kind for found in ran)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none has been run"
    why = next((wording.verdict(one.verdict) for one in ran if one.verdict.kind is oracle.Kind.UNTESTABLE), "")
    return f"{label}, seed {seed}: {len(ran)} calls: {kinds}" + (f"\n  {why}" if why else "")


def cost(ran: Sequence[Examined], seconds: float, cores: int) -> str:
    """Return in a line what running calls took, as a multiple of the builds' own work; "" if all were known.

    Args:
        seconds: all that passed, on so many cores.
    """
    observed = [found.observation for found in ran if not found.observation.recalled]
    own = sum(second for one in observed for second in one.seconds.values())
    if not own:
        return ""
    return (
        f"{len(observed)} calls run in {seconds:.1f} s on {cores} cores: "
        f"{seconds * cores / own:.2f} times the build's own work, {own:.1f} s"
    )


def kind(number: int, found: Kind, build: str) -> str:
    """Return a paragraph about a kind."""
    return "\n".join(_kind(number, found, build))


def _kind(number: int, kind: Kind, build: str) -> Iterator[str]:
    smallest, count = kind.group.smallest, len(kind.group.found)
    yield f"{number}. {wording.verdict(smallest.verdict)} ({wording.number(count, 'call')})"
    yield f"   smallest call: {smallest.cell.id}"
    yield f"   drawn as: {kind.group.found[0].cell.id}"
    yield f"   also in: {', '.join(release for release in kind.releases if release != build) or 'no other release'}"
    yield f"   file: {kind.file}" if kind.file else f"   no file: {kind.why_no_file}"


def entry(kind: Kind) -> str:
    """Return a catalogue entry to review: what is known is filled in, what is not is TODO."""
    smallest = kind.group.smallest
    finding, failure = smallest.verdict.finding, smallest.verdict.failure
    if failure is not None:
        signature = f"Raises({_quoted(failure.exception)}, {_quoted(failure.text)}, {_quoted(failure.frame)})"
    elif finding is not None:
        side = f", side=oracle.Side.{finding.side.name}" if finding.side else ""
        dimension = _quoted(finding.dimension.partition(".")[0])
        signature = f"Breaks(oracle.Problem.{finding.problem.name}, {dimension}{side})"
    else:
        signature = "TODO"
    release = (kind.releases or (smallest.build.label,))[-1]
    return f"""Defect(
    id="TODO",
    title={_quoted(f"TODO: {wording.verdict(smallest.verdict)}")},
    severity=Severity.TODO,
    hits="TODO",
    cause="TODO",
    breaks="TODO",
    source="TODO",
    signature=({signature},),
    may_show=TODO,
    examples=({_quoted(smallest.cell.id)},),
    reproducer=Reproducer({_quoted(kind.file.rpartition("/")[2] or "TODO")}, {_quoted(release)}),
)
"""


def _quoted(text: str) -> str:
    """Return a string as the catalogue writes it."""
    return json.dumps(text, ensure_ascii=False)


def differences(found: Sequence[Difference]) -> str:
    """Return a line for each call that comes to something else on two builds, those for the worse first; their number.

    Args:
        found: of all calls that were run on both.
    """
    other = [one for one in found if one.change not in (Change.STILL_OK, Change.STILL_FAILING, Change.NOT_COMPARED)]
    lines = [
        f"{'WORSE: ' * (one.change is Change.REGRESSED)}{one.cell}: {what(one)}"
        for one in sorted(other, key=lambda one: one.change is not Change.REGRESSED)
    ]
    worse = sum(one.change is Change.REGRESSED for one in other)
    calls = wording.number(len(found), "call")
    return "\n".join((*lines, f"{len(other)} of {calls} come to something else, {worse} of them for the worse"))
