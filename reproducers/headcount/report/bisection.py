"""A bisection for people and for programs: the answer first, then what it rests on. Markdown, ready to paste."""

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise

from headcount import bisect, builds, environment, invocation, oracle, untrusted
from headcount.report.markdown import render

_MARKS = {bisect.State.GOOD: ".", bisect.State.BAD: "X", bisect.State.SKIP: "?"}


def markdown(bisection: bisect.Bisection, clone: builds.Clone | None, command: Sequence[str]) -> str:
    """Return everything, as Markdown."""
    span, answers = bisection.span, bisection.answers
    return _rendered(
        "bisection.md.j2",
        bisection,
        clone,
        answer=answer(bisection, clone),
        marks="".join(_MARKS[answers[point].state] if point in answers else " " for point in span.points),
        # Of each run: its first and last point, and in how many other ways its builds say the same.
        runs=[
            (run[0], run[-1], len({answers[p].likeness(roughly=False) for p in run}) - 1)
            for run in bisect.runs(bisection)
        ],
        states=[answers[point].state for point in span.points if point in answers],
        unlike=[p for p in span.boundary if p in answers and answers[p].label != answers[span.points[0]].label],
        builds=len({span.keys[point] for point in answers}),
        command=invocation.command(shlex.join(command), environment.environment()["transformers"]),
    )


def answer(bisection: bisect.Bisection, clone: builds.Clone | None) -> str:
    """Return the answer in one line: what happened to it, and where; and where that is unknown."""
    points, answers = bisection.span.points, bisection.answers
    known = [point for point in points if point in answers and answers[point].state is not bisect.State.SKIP]
    parts = _rendered(
        "bisection.txt.j2",
        bisection,
        clone,
        known=known,
        has_gaps=len(known) <= points.index(known[-1]) - points.index(known[0]),
        states={answers[point].state for point in known},
        failures={said.label for said in answers.values() if said.state is bisect.State.BAD},
    )
    return f"{bisection.subject}: {_escaped(', '.join((*parts.splitlines(), *_moves(bisection, clone))))}"


def _moves(bisection: bisect.Bisection, clone: builds.Clone | None) -> Iterator[str]:
    """Yield where the numbers of a failure change, and nothing else: `heads left 2 -> 1 in 1.5.1`."""
    for one, other in pairwise(run[0] for run in bisect.runs(bisection)):
        before, after = (bisection.answers[point] for point in (one, other))
        numbers = [_counted(answer) for answer in (before, after)]
        if before.label == after.label and None not in numbers and numbers[0] != numbers[1]:
            (what, was), (_, now) = (number for number in numbers if number)
            where = bisection.span.commits[other].short if clone else other
            yield f"{what} left {was} -> {now} in {where}"


def _counted(answer: bisect.Answer) -> tuple[str, int] | None:
    """Return what a bad answer counts, and how many are left."""
    finding = answer.evidence.finding if isinstance(answer.evidence, oracle.Verdict) else None
    if answer.state is not bisect.State.BAD or finding is None:
        return None
    counts = finding.problem in (oracle.Problem.COUNT, oracle.Problem.TOTAL)
    return (finding.dimension, finding.found[0]) if counts and finding.found else None


def _rendered(template: str, bisection: bisect.Bisection, clone: builds.Clone | None, **values: object) -> str:
    return render(
        template,
        {"escaped": _escaped},
        bisection=bisection,
        span=bisection.span,
        answers=bisection.answers,
        clone=clone,
        verb=_verb,
        hidden_by=_hidden_by,
        **values,
    ).rstrip()


def to_json(bisection: bisect.Bisection, clone: builds.Clone | None, command: Sequence[str]) -> dict[str, object]:
    """Return the same as plain values."""
    span, answers = bisection.span, bisection.answers
    return {
        "subject": bisection.subject,
        "answer": answer(bisection, clone),
        "exit_code": int(bisection.exit_code),
        "scanned": bisection.scanned,
        "range": [span.points[0], span.points[-1]],
        "command": list(command),
        "environment": dict(environment.environment()),
        "begins": list(bisection.begins),
        "ends": list(bisection.ends),
        "changes": [
            {
                "kind": "fixed" if answers[change.point].state is bisect.State.GOOD else "introduced",
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


def _commit(bisection: bisect.Bisection, point: str) -> dict[str, str]:
    """Return a point's commit as plain values; nothing of a release."""
    commit = bisection.span.commits.get(point)
    return {name: getattr(commit, name) for name in ("subject", "author", "date", "author_date")} if commit else {}


def _escaped(text: str) -> str:
    """Return one line that Markdown shows as it is."""
    return re.sub(r"([`*<\\])", r"\\\1", untrusted.clean(text))


def _verb(bisection: bisect.Bisection, change: bisect.Change) -> str:
    is_bad = bisection.answers[change.point].state is bisect.State.BAD
    if change.merged:
        return "brought in" if is_bad else "mended"
    was_bad = any(bisection.answers[point].state is bisect.State.BAD for point in change.last)
    return "fixed" if not is_bad else "becomes another failure" if was_bad else "introduced"


def _hidden_by(bisection: bisect.Bisection, points: Sequence[str]) -> list[str]:
    """Return the known defects that skipped builds look like, without the one that is searched for."""
    skipped = (answer for point in points if (answer := bisection.answers[point]).state is bisect.State.SKIP)
    return [*dict.fromkeys(id_ for answer in skipped for id_ in answer.looks_like if id_ != bisection.subject)]
