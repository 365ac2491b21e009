"""Which release to take for one call: what each does with it, for the terminal, and the same as plain values."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from headcount.defects import DEFECTS, recorded
from headcount.environment import environment
from headcount.examine import Examined
from headcount.matrix import Cell
from headcount.oracle import Kind, counts_left, expect
from headcount.oracle.expectation import prunes_heads
from headcount.wording import explanation, ranges, reason

#: Release -> what it does with the call.
Trials = Mapping[str, Examined]


def is_untouched(found: Examined) -> bool:
    """Return whether all heads are left where some were to go, and no sentence forbids it."""
    cell, config = found.cell, found.cell.config
    heads = cell.model.block_heads
    ranked = sum(heads) if config.global_pruning else max(heads)
    goes = prunes_heads(config) and ranked * config.head_pruning_ratio >= 1  # however the ratio is rounded
    if found.verdict.kind is not Kind.OK or not goes:
        return False
    left = counts_left(expect(cell), found.observation)
    return all(left[f"heads.{block}"] == count for block, count in enumerate(heads))


def right(trials: Trials) -> list[str]:
    """Return the releases that do with the call what it is made for."""
    return [r for r, found in trials.items() if found.verdict.kind is Kind.OK and not is_untouched(found)]


def advice(cell: Cell, trials: Trials) -> str:
    """Return what the releases do with a call, neighbours that do the same in one line, and which to take."""
    lines = [f"{cell.id}, on a small model:", ""]
    for _, same in groupby(trials, lambda release: _likeness(trials[release])):
        releases = list(same)
        found = trials[releases[0]]
        lines.append(f"{ranges(releases):<15}  {found.verdict.kind:<15} {_words(found)}".rstrip())
    good = right(trials)
    if not good:
        return "\n".join([*lines, "", *_none(cell, trials)])
    others = f" ({ranges(good[:-1])} too)" if len(good) > 1 else ""
    lines += ["", f"take {good[-1]}: the newest that does it right{others}"]
    if known := _known_defects(good[-1]):
        ids = ", ".join(known)
        lines.append(f"what it gets wrong in other calls, {len(known)} known defects (README, known defects): {ids}")
    return "\n".join(lines)


def to_json(cell: Cell, trials: Trials) -> dict[str, Any]:
    """Return the same as plain values."""
    good = right(trials)
    return {
        "cell": cell.id,
        "environment": dict(environment()),
        "releases": {
            release: {
                "verdict": found.verdict.kind,
                "reason": reason(found.verdict),
                "defect": found.explanation.defect or None,
                "looks_like": list(found.explanation.looks_like),
                "untouched": is_untouched(found),
            }
            for release, found in trials.items()
        },
        "right": good,
        "take": good[-1] if good else None,
        "known_defects_of_it": _known_defects(good[-1]) if good else [],
    }


def _likeness(found: Examined) -> tuple[object, ...]:
    """Return what is alike in releases that do the same."""
    return found.verdict.signature, found.verdict.found, found.explanation, is_untouched(found)


def _words(found: Examined) -> str:
    """Say what a release does, after the kind of it."""
    if is_untouched(found):
        return "all heads stay, which the documentation leaves open"
    why = reason(found.verdict)
    return f"{why}  [{explanation(found.explanation)}]" if found.verdict.is_failure else why


def _none(cell: Cell, trials: Trials) -> Iterator[str]:
    """Yield that there is no release to take, and what to try."""
    untouched = [release for release, found in trials.items() if is_untouched(found)]
    yield "no release does it right" + (f"; no head goes with {ranges(untouched)}" if untouched else "")
    if "residual_outputs" not in cell.config.ignored_layers:
        yield "(--keep-width leaves the width alone, as upstream's examples do: some may do that right)"


def _known_defects(release: str) -> list[str]:
    shown = recorded(environment()["transformers"]).releases
    return [defect.id for defect in DEFECTS if release in shown.get(defect.id, ())]
