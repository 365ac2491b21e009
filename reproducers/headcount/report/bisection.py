"""A bisection for people and for programs: the answer first, then what it rests on. Markdown, ready to paste."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from headcount.bisection import Bisection, distinct, runs
from headcount.bisector import Change, State
from headcount.clones import Clone
from headcount.probing import Answer

_VERBS = {State.BAD: "introduced", State.GOOD: "fixed"}
_MARKS = {State.GOOD: ".", State.BAD: "X", State.SKIP: "?"}
_WIDTH = 100


def markdown(bisection: Bisection, clone: Clone | None, command: Sequence[str]) -> str:
    """Everything, as Markdown."""
    lines = [f"**{answer(bisection, clone)}**", ""]
    for change in bisection.changes:
        lines += [*_change(bisection, change, clone), ""]
    lines += ["```text", *timeline(bisection), "```", "", *_said(bisection), *_skipped(bisection)]
    asked = len({bisection.span.keys[point] for point in bisection.asked})
    how = "every build was asked" if bisection.scanned else "a binary search"
    lines += ["", f"{asked} of {distinct(bisection.span)} distinct builds: {how}. Again:", ""]
    return "\n".join([*lines, f"    headcount {shlex.join(command)}"])


def answer(bisection: Bisection, clone: Clone | None) -> str:
    """In one line: what happened to it, and where."""
    parts = [f"{_VERBS[change.after]} {_where(bisection, change, clone)}" for change in bisection.changes]
    if not parts:
        states = {answer.state for answer in bisection.asked.values()} - {State.SKIP}
        always = f"{states.pop()} throughout" if len(states) == 1 else "never changes as asked for"
        parts = [f"{always}, {bisection.span.titles[bisection.span.older]} to {_newest(bisection)}"]
    return f"{bisection.subject}: {', '.join(parts)}"


def timeline(bisection: Bisection) -> list[str]:
    """A mark for each point, oldest first; a dot is good, X bad, ? cannot be told, a blank was not asked."""
    span = bisection.span
    marks = "".join(_MARKS[bisection.asked[p].state] if p in bisection.asked else " " for p in span.history.points)
    rows = [marks[start : start + _WIDTH] for start in range(0, len(marks), _WIDTH)]
    return [f"{span.titles[span.older]} to {_newest(bisection)}: . good, X bad, ? cannot be told", *rows]


def to_json(bisection: Bisection, clone: Clone | None) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "subject": bisection.subject,
        "answer": answer(bisection, clone),
        "scanned": bisection.scanned,
        "range": [bisection.span.older, bisection.span.newer],
        "changes": [
            {
                "kind": _VERBS[change.after],
                "point": change.point,
                "suspects": list(change.suspects),
                "last_known_before": list(change.last),
                "release": clone.released(change.point) if clone else change.point,
            }
            for change in bisection.changes
        ],
        "asked": {
            point: {"state": str(answer.state), "what": answer.what, "label": answer.label}
            for point, answer in bisection.asked.items()
        },
    }


def _where(bisection: Bisection, change: Change, clone: Clone | None) -> str:
    title = bisection.span.titles[change.point]
    if len(change.suspects) > 1:
        return f"by one of {len(change.suspects)}, {bisection.span.titles[change.suspects[0]]} to {title}"
    if clone is None:
        return f"in {title}"
    release = clone.released(change.point)
    return f"by {title}" + (f" ({release})" if release else " (in no release yet)")


def _newest(bisection: Bisection) -> str:
    return bisection.span.titles[bisection.span.newer]


def _change(bisection: Bisection, change: Change, clone: Clone | None) -> list[str]:
    """One change: which commit, whose, when, in which release; and the suspects where it may be another."""
    if clone is None:
        return []
    lines = []
    for point in change.suspects:
        commit = bisection.span.commits[point]
        known = "" if point == change.point else f" (cannot be told: {bisection.asked[point].what})"
        lines.append(f"- `{commit.short}` {commit.date} {commit.subject}{known}")
        written = "" if commit.author_date == commit.date else f", written {commit.author_date}"
        lines.append(f"  by {commit.author}{written}; first released in {clone.released(point) or 'nothing yet'}")
    return [f"{_VERBS[change.after].capitalize()}:", "", *lines]


def _said(bisection: Bisection) -> list[str]:
    """The trail: what neighbours said, oldest first."""
    lines = []
    for first, last, said in runs(bisection):
        titles = [bisection.span.titles[first], bisection.span.titles[last]]
        span = titles[0] if first == last else " to ".join(titles)
        lines.append(f"- {span}: {said.state}: {said.what}{_mask(bisection, said)}")
    return ["What they said, oldest first:", "", *lines]


def _mask(bisection: Bisection, said: Answer) -> str:
    """Which known defect hides the one that is looked for."""
    if said.state is not State.SKIP or said.label in (bisection.subject, "untestable") or ": " in said.label:
        return ""
    return f" (hidden by {said.label})"


def _skipped(bisection: Bisection) -> Iterable[str]:
    skipped = [point for point, said in bisection.asked.items() if said.state is State.SKIP]
    return [f"\n{len(skipped)} of {len(bisection.asked)} could not be told."] if skipped else []
