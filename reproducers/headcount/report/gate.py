"""A gate's verdict for people, for GitHub and for CI: text, Markdown, annotations, JUnit.

What a candidate says is untrusted text, and may try to be markup: control characters are removed from it, and it is
code in Markdown, and escaped in XML and in workflow commands.
"""

import re
from collections.abc import Iterator, Sequence
from shlex import quote

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from headcount import errors, invocation, oracle, wording
from headcount.gate import ApiBreak, Change, Difference, Exercised, Fate, GateVerdict, counted, failure_of
from headcount.matrix.cells import known_cells
from headcount.report.markdown import render
from headcount.untrusted import clean
from headcount.wording import number

_HEADLINES = {
    errors.ExitCode.REGRESSION: "NOT fit for release",
    errors.ExitCode.INDETERMINATE: "undecided: nothing is known to be worse, but something is not known",
}

#: Causes, and changes that no call ran, that the first lines name; more are in the details.
_SHOWN = 3

#: What is said of a cell that gets worse behind known defects.
_MENDED = "; known defects of both builds hide this: it is seen on copies in which they are mended"

#: What is reported, in this order; and the level of its annotation, if it has one.
_REPORTED = {
    Change.REGRESSED: "error",
    Change.FLAKY: "warning",
    Change.INDETERMINATE: "warning",
    Change.CHANGED: "",
    Change.FIXED: "",
}

#: What a cell's case has in JUnit's file; others pass.
_RESULTS = {
    Change.REGRESSED: Failure,
    Change.FLAKY: Error,
    Change.INDETERMINATE: Error,
    Change.NOT_COMPARED: Skipped,
}


def text(verdict: GateVerdict) -> str:
    """Return the answer, the counts, then each failure and its cells: for the terminal."""
    return _rendered("gate.txt.j2", verdict).rstrip()


def markdown(verdict: GateVerdict) -> str:
    """Return the answer, then details to unfold: for a pull request or a job's summary."""
    return _rendered("gate.md.j2", verdict)


def _rendered(template: str, verdict: GateVerdict) -> str:
    return render(
        template,
        {"what": what, "quote": quote, "change": change_in_words, "number": number},
        verdict=verdict,
        headline=headline(verdict),
        summary=summary(verdict),
        groups=list(_groups(verdict)),
        some=8,  # cells of each group are listed
        api_title=_api_title(verdict),
        api=_api_lines(verdict.api_breaks),
        alone={
            group[0].cell: _alone(verdict, group[0]) for change, group in _groups(verdict) if change is Change.REGRESSED
        },
    )


def _alone(verdict: GateVerdict, difference: Difference) -> str:
    """Return the command that runs a cell alone: the gate's, where the matrix lacks it or shows less."""
    version, cell = verdict.environment["transformers"], difference.cell
    candidate = quote(verdict.candidate.spec)
    if cell in known_cells() and not difference.mended:
        return invocation.matrix(f'--build {candidate} -k "{cell} and not {cell}-"', version)
    return invocation.command(f"gate {candidate} --base {quote(verdict.base.spec)} --cell {quote(cell)}", version)


def headline(verdict: GateVerdict) -> str:
    """Return the answer in one line."""
    none = "no regression that is not waived" if verdict.waived else "no regression"
    answer = (
        _HEADLINES.get(verdict.exit_code) or f"{none} in {number(_compared(verdict), 'call')}; {_run_lines(verdict)}"
    )
    if verdict.exit_code is errors.ExitCode.REGRESSION:
        counts = {
            "calls that got worse": len(verdict.worse),
            "names or parameters that are gone": len(verdict.lost),
        }
        why = ", ".join(f"{reason}: {count}" for reason, count in counts.items() if count)
        answer += f"; {why or 'cells changed, which --strict forbids'}"
    elif verdict.chosen:
        answer += ", of the cells that were named: this is no gate of the whole matrix"
    return (
        f"{verdict.candidate.label}, against {verdict.base.label}, "
        f"transformers {verdict.environment['transformers']}: {answer}"
    )


def _compared(verdict: GateVerdict) -> int:
    return len(verdict.differences) - len(verdict.of(Change.NOT_COMPARED))


def _run_lines(verdict: GateVerdict) -> str:
    changes = verdict.ending.exercised
    if not changes:
        return "no code changed"
    run = sum(change.lines for change in changes if change.fate is not Fate.NOT_RUN)
    total = sum(change.lines for change in changes)
    lines = number(total, "changed line")
    return f"{run} of {lines} {'was' if total == 1 else 'were'} run" if run else f"but NONE of {lines} was run"


def summary(verdict: GateVerdict) -> list[str]:
    """Return the first lines after the answer, ten at most: causes, what is fixed, what did not run, all counts."""
    drawn = {*verdict.ending.drawn}
    cells, calls = ([d for d in verdict.differences if (d.cell in drawn) is is_drawn] for is_drawn in (False, True))
    changed = [
        f"{owner}{_listed(names)}"
        for (_, _, owner, _), names in _api_groups([b for b in verdict.api_breaks if not b.removed])
    ]
    left_out = len(verdict.causes) - _SHOWN
    draws = number(verdict.ending.draws, "random call")
    return [
        *(
            [f"changed for its callers: {', '.join(changed[:_SHOWN])}" + " and more" * (len(changed) > _SHOWN)]
            if changed
            else []
        ),
        *(cause_in_words(verdict, place) for place in range(1, len(verdict.causes[:_SHOWN]) + 1)),
        *([f"and {number(left_out, 'more cause')}, below"] if left_out > 0 else []),
        *_fixed_line(verdict),
        *_code_lines(verdict),
        f"{number(len(cells), 'cell')}: {in_words(cells)}",
        *(
            [f"{draws} (--draws {verdict.ending.draws} --seed {verdict.seed}): {in_words(calls)}"]
            if calls
            else [f"{draws}: none reaches what changed"] * bool(verdict.ending.draws)
        ),
    ]


def cause_in_words(verdict: GateVerdict, place: int) -> str:
    """Return a cause in a line: how many calls, what happened, where the code changed, an example."""
    cause = verdict.causes[place - 1]
    different = [change for change in verdict.ending.exercised if change.fate is Fate.DIFFERENT]
    # Of each function the first; one that is gone, if no other is there.
    changes = {c.function or c.file: c for c in sorted(different, key=lambda c: (not c.gone, -c.first))}
    places = [_place(changes[name]) if name in changes else name for name in cause.functions[:_SHOWN]]
    where = f"; changed: {', '.join(places)}" if places else ""
    example, calls = cause.cells[0], number(len(cause.cells), "call")
    return f"cause {place}, {calls}: {what(example)}{clean(where)}; as in {clean(example.cell)}"


def _fixed_line(verdict: GateVerdict) -> Iterator[str]:
    """Yield which known defects hit fewer cells."""
    named = [
        f"{name}: {number(count, 'cell')} fixed" if name else f"{count} more fixed" for name, count in verdict.fixed
    ]
    if named:
        more = len(named) - 4
        yield "; ".join(named[:4]) + (f"; and {number(more, 'more defect')}" if more > 0 else "")


def _code_lines(verdict: GateVerdict) -> Iterator[str]:
    """Yield how much of what changed was run, and what was not."""
    changes = verdict.ending.exercised
    if not changes:
        return
    different = [change for change in changes if change.fate is Fate.DIFFERENT]
    traced, total = len(verdict.ending.traced), len(changes)
    made = f"{len(different)} of {number(total, 'change')} {'makes' if len(different) == 1 else 'make'} a difference"
    yield f"code: {_run_lines(verdict)} ({number(traced, 'call')} looked at); {made}"
    for title, outside in (("NOT RUN", False), ("not run by any call of head pruning", True)):
        places = [_place(change) for change in verdict.not_run if bool(change.why) is outside]
        if places := [*dict.fromkeys(places)]:
            more = f"; and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
            yield clean(f"{title}: {'; '.join(places[:_SHOWN])}{more}")


def _place(change: Exercised) -> str:
    return f"{change.place} {change.function}".rstrip() + ", gone" * change.gone


def change_in_words(change: Exercised) -> str:
    """Return where a change is, and what became of it where that is known."""
    kind = "" if change.kind == "statement" else f", {change.kind}"
    few = change.differ <= len(change.cells)  # else more calls differ than were looked at: those that ran its old form
    run = f": {change.fate}, in {number(max(len(change.cells), change.differ), 'call')}" if change.cells else ""
    differ = f", {change.differ} {'differs' if change.differ == 1 else 'differ'}" if change.differ and few else ""
    why = f" ({change.why})" if change.why else ""
    return clean(f"{_place(change)}{kind}{run}{differ}{why}")


def in_words(differences: Sequence[Difference]) -> str:
    """Return how many cells there are of each change."""
    return ", ".join(f"{count} {change}" for change, count in counted(differences).items())


def what(difference: Difference) -> str:
    """Return in one line what happened to a cell."""
    said = [clean(wording.verdict(row.verdict)) if row else "it was not run" for row in difference.sides]
    if len(said) == 1:
        return f"{'' if difference.sides[0] is difference.candidate else 'the base: '}{said[0]}"
    fails_alike = difference.change is Change.CHANGED and len(set(_failures(difference))) == 1
    said_of_weights = ", and other weights survive" if fails_alike else ""
    into = f"; the call gets further now, and meets a known defect: {clean(difference.into)}" if difference.into else ""
    return f"{' -> '.join(dict.fromkeys(said))}{said_of_weights}{into}{_MENDED if difference.mended else ''}"


def _failures(difference: Difference) -> tuple[oracle.Signature | None, ...]:
    return tuple(None if row is None else failure_of(row) for row in difference.sides)


def _groups(verdict: GateVerdict) -> Iterator[tuple[Change, list[Difference]]]:
    """Yield the cells that went the same way, the largest group of each change first; what got worse by its cause."""
    yield from ((Change.REGRESSED, list(cause.cells)) for cause in verdict.causes)
    waived = [difference for difference in verdict.of(Change.REGRESSED) if difference.cell in verdict.waived]
    for change in _REPORTED:
        groups: dict[object, list[Difference]] = {}
        for difference in waived if change is Change.REGRESSED else verdict.of(change):
            groups.setdefault(_failures(difference), []).append(difference)
        yield from ((change, group) for group in sorted(groups.values(), key=len, reverse=True))


def _api_lines(broken: Sequence[ApiBreak]) -> list[str]:
    """Return a line for each name, those that are gone first; the parameters of one function in one line."""
    return [
        f"{owner}: {how}{_listed(parameters)}{' (meant)' * allowed}"
        for (_, allowed, owner, how), parameters in _api_groups(broken)
    ]


def _api_groups(broken: Sequence[ApiBreak]) -> list[tuple[tuple[bool, bool, str, str], list[str]]]:
    """Return each name with what happened to it, and the parameters to which it did; those that are gone first."""
    groups: dict[tuple[bool, bool, str, str], list[str]] = {}
    for each in broken:
        owner, _, parameter = each.path.partition("(")
        where = (not each.removed, each.allowed, clean(owner), clean(each.what))
        groups.setdefault(where, []).append(clean(parameter.removesuffix(")")))
    return sorted(groups.items())


def _listed(parameters: Sequence[str]) -> str:
    names = ", ".join(filter(None, parameters))
    return f" ({names})" if names else ""


def _api_title(verdict: GateVerdict) -> str:
    differ, gone = len(verdict.api_breaks), len(verdict.lost)
    names = "1 name or parameter differs" if differ == 1 else f"{differ} names or parameters differ"
    return f"the interface: {names}, {gone} {'is' if gone == 1 else 'are'} gone"


def annotations(verdict: GateVerdict) -> list[str]:
    """Return workflow commands that put each failure on the pull request's page."""
    said = [
        *(
            (level, f"title=head pruning {change}", f"{what(group[0])} ({number(len(group), 'cell')})")
            for change, group in _groups(verdict)
            if (level := _REPORTED[change])
        ),
        *(("error", "title=a public name is gone", f"{lost.path}: {lost.what}") for lost in verdict.lost),
        *(
            ("warning", f"{_at(change)},title=not run by any call", change_in_words(change))
            for change in verdict.not_run
        ),
        *(
            ("notice", f"{_at(change)},title=makes a difference", change_in_words(change))
            for change in verdict.ending.exercised
            if change.fate is Fate.DIFFERENT and not change.gone
        ),
        *(("warning", "title=doubtful", doubt) for doubt in verdict.ending.doubts),
    ]
    return [f"::{level} {where}::{clean(message).replace('%', '%25')}" for level, where, message in said]


def _at(change: Exercised) -> str:
    """Return a change's place as a workflow command has it; of one that is gone, the base's line may be elsewhere."""
    file = re.sub(r"[^\w./-]", "_", change.file)
    return f"file=torch_pruning/{file}" + ("" if change.gone else f",line={change.first},endLine={change.last}")


def junit(verdict: GateVerdict) -> str:
    """Return a suite with a case for each cell and each name that differs."""
    suite = TestSuite(f"gate-transformers-{verdict.environment['transformers']}")
    suite.add_testcases([*map(_case, verdict.differences), *map(_api_case, verdict.api_breaks)])
    report = JUnitXml("headcount gate")
    report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]
    return str(report.tostring(), "utf-8")  # type: ignore[no-untyped-call]


def _case(difference: Difference) -> TestCase:
    row, change, said = difference.candidate, difference.change, what(difference)
    case = TestCase(clean(difference.cell), "gate", row.seconds if row else 0.0)
    if result := _RESULTS.get(change):
        case.result = [result(said, change.value)]
    elif change is not Change.STILL_OK:
        case.system_out = f"{change}: {said}"
    return case


def _api_case(broken: ApiBreak) -> TestCase:
    case = TestCase(clean(broken.path), "interface")
    case.result = [Failure(clean(broken.what), "removed")] * broken.lost
    return case
