"""What random calls on a user's own network came to, for people."""

from collections import Counter
from collections.abc import Iterator, Sequence

from headcount import builds, defects, explore, wording


def summary(label: str, seed: int, ran: Sequence[explore.OwnCall], failing: Sequence[explore.OwnCall]) -> str:
    """Return what the calls came to, and which remedies cured those that failed.

    Args:
        failing: those that failed, with their cures.
    """
    known = Counter(name for call in failing for name in call.cured or ())
    explained = sum(call.cured is not None for call in failing)
    rest = len(failing) - explained
    lines = [
        counted(label, seed, ran),
        f"{len(failing)} fail: known defects explain {explained}, each by one or more; nothing explains {rest}",
    ]
    for name, count in known.most_common():
        lines.append(f"  {count:5} {name}: {defects.defect(name).title}")
        if alone := [call.file for call in failing if call.cured == frozenset({name})]:
            example = min(alone, key=lambda file: len(file.changes))
            lines.append(f"        as in: headcount check {example.options}")
    return "\n".join(lines)


def causes(call: explore.OwnCall | None) -> list[str]:
    """Return which known defects explain a failing call, a line each; nothing if it does not fail."""
    if call is None or call.found is None:
        return []
    label, names = call.found.build.label, sorted(call.cured or ())
    if not names:
        return [f"no known defect explains it: no remedy makes {label} right"]
    lines = [f"{label} fails by {name}: {defects.defect(name).title}" for name in names]
    mended = f"headcount fix {label} {' '.join(names)} mends it, in a copy"
    return [*lines, mended] if label in builds.ordered([label]) else lines


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
