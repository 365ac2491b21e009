"""A bisection for people and for programs: the answer first, then what it rests on. Markdown, ready to paste."""

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from headcount.bisect.run import Bisection, distinct, runs
from headcount.bisect.search import Change, State
from headcount.builds.git import Clone
from headcount.defects import catalogue
from headcount.environment import environment
from headcount.untrusted import clean
from headcount.bisect.probe import Answer
from headcount.report.gate import code_span

_MARKS = {State.GOOD: ".", State.BAD: "X", State.SKIP: "?"}
_WIDTH = 100

#: So many suspects are told one by one.
_SUSPECTS = 12


def markdown(bisection: Bisection, clone: Clone | None, command: Sequence[str]) -> str:
    """Everything, as Markdown."""
    lines = [f"**{answer(bisection, clone)}**", ""]
    if clone:
        lines += [line for change in _in_order(bisection) for line in (*_change(bisection, change, clone), "")]
    lines += ["```text", *timeline(bisection), "```", "", *_said(bisection), *_skipped(bisection), *_before(bisection)]
    asked = len({bisection.span.keys[point] for point in bisection.asked})
    how = "every build was asked" if bisection.scanned else "a binary search"
    lines += ["", f"{asked} of {distinct(bisection.span)} distinct builds: {how}. Again:", ""]
    session = f"headcount(transformers='{environment()['transformers']}')"
    return "\n".join([*lines, f'    nox -s "{session}" -- {shlex.join(command)}'])


def answer(bisection: Bisection, clone: Clone | None) -> str:
    """In one line: what happened to it, and where; and where that cannot be told."""
    parts = [f"{_verb(bisection, change)} {_where(bisection, change, clone)}" for change in _in_order(bisection)]
    titles = bisection.span.titles
    first, last = bisection.known[0], bisection.known[-1]
    between = bisection.span.points.index(last) - bisection.span.points.index(first) + 1
    gaps = " wherever it can be told" if len(bisection.known) < between else ""
    if not parts:
        states = {bisection.asked[point].state for point in bisection.known}
        always = f"{states.pop()} throughout{gaps}" if len(states) == 1 else "no such change"
        parts = [f"{always}, {titles[first]} to {titles[last]}"]
    elif gaps and bisection.scanned:
        parts.append(gaps.strip())
    if (
        bisection.changes
        and bisection.asked[first].state is State.BAD
        and first not in bisection.begins
        and bisection.scanned
    ):
        parts.insert(0, f"bad{_as(bisection, first)} from {titles[first]} on")
    parts += [f"before {titles[p]} it cannot be told{_hidden(bisection, p)}" for p in bisection.begins]
    parts += [f"after {titles[p]} it cannot be told" for p in bisection.ends]
    return f"{bisection.subject}: {_escaped(', '.join(parts))}"


def timeline(bisection: Bisection) -> list[str]:
    """A mark for each point, oldest first; a dot is good, X bad, ? cannot be told, a blank was not asked."""
    span = bisection.span
    marks = "".join(_MARKS[bisection.asked[p].state] if p in bisection.asked else " " for p in span.points)
    rows = [marks[start : start + _WIDTH] for start in range(0, len(marks), _WIDTH)]
    legend = ". good, X bad, ? cannot be told" + (", blank not asked" if " " in marks else "")
    order = " (branches one after the other)" if span.commits else ""
    return [f"{span.titles[span.older]} to {span.titles[span.newer]}{order}: {legend}", *rows]


def to_json(bisection: Bisection, clone: Clone | None, command: Sequence[str]) -> dict[str, Any]:
    """The same as plain values."""
    titles = bisection.span.titles
    return {
        "subject": bisection.subject,
        "answer": answer(bisection, clone),
        "exit_code": int(bisection.exit_code),
        "scanned": bisection.scanned,
        "range": [bisection.span.older, bisection.span.newer],
        "command": list(command),
        "environment": dict(environment()),
        "begins": list(bisection.begins),
        "ends": list(bisection.ends),
        "changes": [
            {
                "kind": "fixed" if bisection.asked[change.point].state is State.GOOD else "introduced",
                "merged": change.merged,
                "label": bisection.asked[change.point].label,
                "point": change.point,
                "suspects": list(change.suspects),
                "last_known_before": list(change.last),
                "release": clone.released(change.point) if clone else change.point,
                **_commit(bisection, change.point),
            }
            for change in _in_order(bisection)
        ],
        "timeline": [
            {"point": point, "title": titles[point], **_commit(bisection, point)} for point in bisection.span.points
        ],
        "asked": {
            point: {"state": str(answer.state), "what": answer.what, "label": answer.label}
            for point, answer in bisection.asked.items()
        },
    }


def _in_order(bisection: Bisection) -> list[Change]:
    """The changes as time has them: branches of a history stand one after the other, though they grew side by side."""
    commits = bisection.span.commits
    return sorted(bisection.changes, key=lambda change: commits[change.point].date if commits else "")


def _commit(bisection: Bisection, point: str) -> dict[str, str]:
    """A point's commit, as plain values; nothing of a release."""
    commit = bisection.span.commits.get(point)
    if commit is None:
        return {}
    return {
        "subject": commit.subject,
        "author": commit.author,
        "date": commit.date,
        "author_date": commit.author_date,
    }


def _escaped(foreign: str) -> str:
    """One line that Markdown shows as it is."""
    return re.sub(r"([`*<\\])", r"\\\1", clean(foreign))


def _verb(bisection: Bisection, change: Change) -> str:
    if change.merged:
        return "brought in" if bisection.asked[change.point].state is State.BAD else "mended"
    if bisection.asked[change.point].state is State.GOOD:
        return "fixed"
    was_bad = any(bisection.asked[point].state is State.BAD for point in change.last)
    return "becomes another failure" if was_bad else "introduced"


def _where(bisection: Bisection, change: Change, clone: Clone | None) -> str:
    first, title = (_name(bisection, point) for point in (change.suspects[0], change.point))
    what = _as(bisection, change.point)
    if len(change.suspects) > 1:
        return f"by one of {len(change.suspects)}, {first} to {title}{what}"
    if clone is None:
        return f"in {title}{what}"
    release = clone.released(change.point)
    return f"by {title}" + (f" ({release})" if release else " (in no release yet)") + what


def _as(bisection: Bisection, point: str) -> str:
    """Which failure it is, where there are several."""
    failures = {said.label for said in bisection.asked.values() if said.state is State.BAD}
    label = bisection.asked[point].label
    return f" as {label}" if len(failures) > 1 and label in failures else ""


def _hidden(bisection: Bisection, point: str) -> str:
    """By which known defects, before a point of which something can be told."""
    points = bisection.span.points
    before = [bisection.asked[earlier] for earlier in points[: points.index(point)]]
    by = [label for label in dict.fromkeys(said.label for said in before) if _is_known(label)]
    return f" (hidden by {' and '.join(by)})" if by else ""


def _is_known(label: str) -> bool:
    return label in {defect.id for defect in catalogue().defects}


def _name(bisection: Bisection, point: str) -> str:
    commit = bisection.span.commits.get(point)
    return commit.short if commit else bisection.span.titles[point]


def _change(bisection: Bisection, change: Change, clone: Clone) -> list[str]:
    """One change: which commit, whose, when, in which release; and the suspects where it may be another."""
    lines = []
    shown = change.suspects
    if len(shown) > _SUSPECTS:
        shown = (*change.suspects[: _SUSPECTS - 1], change.point)
    for point in shown:
        commit = bisection.span.commits[point]
        known = "" if point == change.point else f" (cannot be told: {code_span(bisection.asked[point].what)})"
        merged = " (a merge: one of its lines was so before)" if change.merged else ""
        lines.append(f"- `{commit.short}` {commit.date} {_escaped(commit.subject)}{known}{merged}")
        written = "" if commit.author_date == commit.date else f", written {commit.author_date}"
        lines.append(
            f"  by {_escaped(commit.author)}{written}; first released in {clone.released(point) or 'nothing yet'}"
        )
    verb = _verb(bisection, change)
    left = len(change.suspects) - len(shown)
    more = [f"- and {left} more between the last two, in the JSON (`--json FILE`)"] if left else []
    return [f"{verb.capitalize()}:", "", *lines, *more]


def _said(bisection: Bisection) -> list[str]:
    """The trail: what neighbours said, oldest first."""
    lines = []
    for first, last, said in runs(bisection):
        titles = [bisection.span.titles[first], bisection.span.titles[last]]
        span = titles[0] if first == last else " to ".join(titles)
        lines.append(f"- {span}: {said.state}: {code_span(said.what)}{_mask(bisection, said)}{_doubt(said)}")
    return ["What they said, oldest first:", "", *lines]


def _mask(bisection: Bisection, said: Answer) -> str:
    """Which known defect hides the one that is looked for."""
    known = _is_known(said.label) and said.label != bisection.subject
    return f" (hidden by {said.label})" if said.state is State.SKIP and known else ""


def _doubt(said: Answer) -> str:
    return " (raised outside torch_pruning: is it the script's own slip?)" if said.doubtful else ""


def _skipped(bisection: Bisection) -> Iterable[str]:
    asked = [bisection.asked[point] for point in bisection.span.points if point in bisection.asked]
    skipped = [said for said in asked if said.state is State.SKIP]
    return [f"\n{len(skipped)} of {len(asked)} could not be told."] if skipped else []


def _before(bisection: Bisection) -> Iterable[str]:
    """Where branches begin before the range, if they are not as its older end."""
    span, asked = bisection.span, bisection.asked
    unlike = [p for p in span.boundary if p in asked and asked[p].label != asked[span.older].label]
    if unlike:
        yield f"\nBranches of the range begin before {span.titles[span.older]}, at commits that are not as it is:\n"
    for point in unlike:
        yield f"- {span.titles[point]}: {asked[point].state}: {code_span(asked[point].what)}"
