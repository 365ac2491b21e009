"""A gate's verdict for people, for GitHub and for CI: text, Markdown, annotations, JUnit.

What a candidate says is untrusted text, and may try to be markup: control characters are removed from it, and it is
code in Markdown, and escaped in XML and in workflow commands.
"""

from collections.abc import Iterator, Sequence
from shlex import quote

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from headcount import errors, oracle, wording
from headcount.gate import ApiBreak, Change, Difference, GateVerdict, counted, failure_of
from headcount.report.markdown import render
from headcount.untrusted import clean

_HEADLINES = {
    errors.ExitCode.CLEAN: "fit for release: nothing that was fine got worse",
    errors.ExitCode.REGRESSION: "NOT fit for release",
    errors.ExitCode.INDETERMINATE: "undecided: nothing is known to be worse, but something is not known",
}

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
        {"what": what, "quote": quote},
        verdict=verdict,
        headline=headline(verdict),
        counts=f"{len(verdict.differences)} cells: {in_words(verdict.differences)}",
        groups=list(_groups(verdict)),
        some=8,  # cells of each group are listed
        api=_api_lines(verdict.api_breaks),
    )


def headline(verdict: GateVerdict) -> str:
    """Return the answer in one line."""
    answer = _HEADLINES[verdict.exit_code]
    if verdict.exit_code is errors.ExitCode.REGRESSION:
        counts = {
            "cells that got worse": len(verdict.of(Change.REGRESSED)),
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


def in_words(differences: Sequence[Difference]) -> str:
    """Return how many cells there are of each change."""
    return ", ".join(f"{count} {change}" for change, count in counted(differences).items())


def what(difference: Difference) -> str:
    """Return in one line what happened to a cell."""
    said = [clean(wording.verdict(row.verdict)) if row else "it was not run" for row in difference.sides]
    if len(said) == 1:
        return f"{'' if difference.sides[0] is difference.candidate else 'the base: '}{said[0]}"
    fails_alike = difference.change is Change.CHANGED and len(set(_failures(difference))) == 1
    return f"{' -> '.join(dict.fromkeys(said))}{', and other weights survive' if fails_alike else ''}"


def _failures(difference: Difference) -> tuple[oracle.Signature | None, ...]:
    return tuple(None if row is None else failure_of(row) for row in difference.sides)


def _groups(verdict: GateVerdict) -> Iterator[tuple[Change, list[Difference]]]:
    """Yield the cells that went the same way, the largest group of each change first."""
    for change in _REPORTED:
        groups: dict[object, list[Difference]] = {}
        for difference in verdict.of(change):
            groups.setdefault(_failures(difference), []).append(difference)
        yield from ((change, group) for group in sorted(groups.values(), key=len, reverse=True))


def _api_lines(broken: Sequence[ApiBreak]) -> list[str]:
    """Return a line for each name, those that are gone first; the parameters of one function in one line."""
    groups: dict[tuple[bool, bool, str, str], list[str]] = {}
    for each in broken:
        owner, _, parameter = each.path.partition("(")
        where = (not each.removed, each.allowed, clean(owner), clean(each.what))
        groups.setdefault(where, []).append(clean(parameter.removesuffix(")")))
    return [
        f"{owner}: {how}{f' ({names})' if (names := ', '.join(filter(None, parameters))) else ''}{' (meant)' * allowed}"
        for (_, allowed, owner, how), parameters in sorted(groups.items())
    ]


def annotations(verdict: GateVerdict) -> list[str]:
    """Return workflow commands that put each failure on the pull request's page."""
    said = [
        *(
            (level, f"head pruning {change}", f"{what(group[0])} ({len(group)} cells)")
            for change, group in _groups(verdict)
            if (level := _REPORTED[change])
        ),
        *(("error", "a public name is gone", f"{lost.path}: {lost.what}") for lost in verdict.lost),
        *(("warning", "doubtful", doubt) for doubt in verdict.doubts),
    ]
    return [f"::{level} title={title}::{clean(message).replace('%', '%25')}" for level, title, message in said]


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
