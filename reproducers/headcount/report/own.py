"""What random calls on a user's own network came to, for people."""

from collections import Counter
from collections.abc import Iterator, Sequence

from headcount import explore, wording


def summary(label: str, seed: int, ran: Sequence[explore.OwnCall], failing: Sequence[explore.OwnCall]) -> str:
    """Return what the calls came to, and which remedies cured those that failed.

    Args:
        failing: those that failed, with their cures.
    """
    cured = Counter(name for call in failing for name in call.cured or ())
    explained = sum(call.cured is not None for call in failing)
    lines = [
        counted(label, seed, ran),
        f"{len(failing)} fail: {explained} cured, {len(failing) - explained} unexplained",
    ]
    return "\n".join((*lines, *(f"  {count:5} {name}" for name, count in cured.most_common())))


def counted(label: str, seed: int, ran: Sequence[explore.OwnCall]) -> str:
    """Return what calls came to, in a line."""
    counts = Counter(str(call.verdict.kind) if call.found else "make no network" for call in ran)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none has been run"
    return f"{label}, seed {seed}: {wording.number(len(ran), 'call')}: {kinds}"


def kind(number: int, found: explore.OwnKind, build: str, file: str, why_no_file: str) -> str:
    """Return a paragraph about calls that fail in one way."""
    return "\n".join(_kind(number, found, build, file, why_no_file))


def _kind(number: int, found: explore.OwnKind, build: str, file: str, why_no_file: str) -> Iterator[str]:
    yield f"{number}. {wording.verdict(found.smallest.verdict)} ({wording.number(len(found.calls), 'call')})"
    yield f"   smallest call: headcount check {found.smallest.file.options}"
    yield f"   drawn as: headcount check {found.calls[0].file.options}"
    yield f"   also in: {', '.join(label for label in found.releases if label != build) or 'no other release'}"
    yield f"   file: {file}" if file else f"   no file: {why_no_file}"
