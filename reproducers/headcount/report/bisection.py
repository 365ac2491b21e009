"""A bisection for people and for programs: the answer first, then what it rests on. Markdown, ready to paste."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from headcount.bisect import Answer, Bisection, Change, State, runs
from headcount.builds import Clone
from headcount.environment import environment
from headcount.report.markdown import render
from headcount.untrusted import clean

_MARKS = {State.GOOD: ".", State.BAD: "X", State.SKIP: "?"}


def markdown(bisection: Bisection, clone: Clone | None, command: Sequence[str]) -> str:
    """Return everything, as Markdown."""
    span, answers = bisection.span, bisection.answers
    text = render(
        "bisection.md.j2",
        {"escaped": _escaped},
        answer=answer(bisection, clone),
        changes=[(change, _verb(bisection, change)) for change in bisection.changes] if clone else [],
        span=span,
        answers=answers,
        clone=clone,
        marks="".join(_MARKS[answers[point].state] if point in answers else " " for point in span.points),
        runs=[
            (run[0], run[-1], answers[run[0]], len({answers[point].likeness(roughly=False) for point in run}) - 1)
            for run in runs(bisection)
        ],
        hidden_by=lambda said: _hidden_by(bisection, [said]),
        states=[answers[point].state for point in span.points if point in answers],
        unlike=[p for p in span.boundary if p in answers and answers[p].label != answers[span.points[0]].label],
        builds=len({span.keys[point] for point in answers}),
        scanned=bisection.scanned,
        transformers=environment()["transformers"],
        command=shlex.join(command),
    )
    return text.rstrip()


def answer(bisection: Bisection, clone: Clone | None) -> str:
    """Return the answer in one line: what happened to it, and where; and where that is unknown."""
    span, answers = bisection.span, bisection.answers
    known = [p for p in span.points if p in answers and answers[p].state is not State.SKIP]
    parts = [f"{_verb(bisection, change)} {_where(bisection, change, clone)}" for change in bisection.changes]
    first, last = known[0], known[-1]
    gaps = " wherever it can be told" if len(known) <= span.points.index(last) - span.points.index(first) else ""
    if not parts:
        states = {answers[point].state for point in known}
        always = f"{states.pop()} throughout{gaps}" if len(states) == 1 else "no such change"
        parts = [f"{always}, {span.titles[first]} to {span.titles[last]}"]
    elif bisection.scanned:
        if answers[first].state is State.BAD and first not in bisection.begins:
            parts.insert(0, f"bad{_as(bisection, first)} from {span.titles[first]} on")
        parts += [gaps.strip()] * bool(gaps)
    for point in bisection.begins:
        by = " and ".join(_hidden_by(bisection, [answers[p] for p in span.points[: span.points.index(point)]]))
        parts.append(f"before {span.titles[point]} it cannot be told{by and f' (hidden by {by})'}")
    parts += [f"after {span.titles[point]} it cannot be told" for point in bisection.ends]
    return f"{bisection.subject}: {_escaped(', '.join(parts))}"


def to_json(bisection: Bisection, clone: Clone | None, command: Sequence[str]) -> dict[str, Any]:
    """Return the same as plain values."""
    span, answers = bisection.span, bisection.answers
    return {
        "subject": bisection.subject,
        "answer": answer(bisection, clone),
        "exit_code": int(bisection.exit_code),
        "scanned": bisection.scanned,
        "range": [span.points[0], span.points[-1]],
        "command": list(command),
        "environment": dict(environment()),
        "begins": list(bisection.begins),
        "ends": list(bisection.ends),
        "changes": [
            {
                "kind": "fixed" if answers[change.point].state is State.GOOD else "introduced",
                "merged": change.merged,
                "label": answers[change.point].label,
                "point": change.point,
                "suspects": list(change.suspects),
                "last_known_before": list(change.last),
                "release": clone.released(change.point) if clone else change.point,
                **_commit(bisection, change.point),
            }
            for change in bisection.changes
        ],
        "timeline": [{"point": p, "title": span.titles[p], **_commit(bisection, p)} for p in span.points],
        "asked": {
            point: {"state": str(said.state), "what": said.what, "label": said.label} for point, said in answers.items()
        },
    }


def _commit(bisection: Bisection, point: str) -> dict[str, str]:
    """Return a point's commit as plain values; nothing of a release."""
    commit = bisection.span.commits.get(point)
    return {name: getattr(commit, name) for name in ("subject", "author", "date", "author_date")} if commit else {}


def _escaped(untrusted: str) -> str:
    """Return one line that Markdown shows as it is."""
    return re.sub(r"([`*<\\])", r"\\\1", clean(untrusted))


def _verb(bisection: Bisection, change: Change) -> str:
    is_bad = bisection.answers[change.point].state is State.BAD
    if change.merged:
        return "brought in" if is_bad else "mended"
    was_bad = any(bisection.answers[point].state is State.BAD for point in change.last)
    return "fixed" if not is_bad else "becomes another failure" if was_bad else "introduced"


def _where(bisection: Bisection, change: Change, clone: Clone | None) -> str:
    span, what = bisection.span, _as(bisection, change.point)
    first, title = (
        span.commits[point].short if span.commits else span.titles[point]
        for point in (change.suspects[0], change.point)
    )
    if len(change.suspects) > 1:
        return f"by one of {len(change.suspects)}, {first} to {title}{what}"
    if clone is None:
        return f"in {title}{what}"
    return f"by {title} ({clone.released(change.point) or 'in no release yet'}){what}"


def _as(bisection: Bisection, point: str) -> str:
    """Return which failure it is, where there are several."""
    failures = {said.label for said in bisection.answers.values() if said.state is State.BAD}
    label = bisection.answers[point].label
    return f" as {label}" if len(failures) > 1 and label in failures else ""


def _hidden_by(bisection: Bisection, answers: Sequence[Answer]) -> list[str]:
    """Return the known defects that skipped builds look like, and that is not the one searched for."""
    found = (id_ for said in answers if said.state is State.SKIP for id_ in said.looks_like)
    return [id_ for id_ in dict.fromkeys(found) if id_ != bisection.subject]
