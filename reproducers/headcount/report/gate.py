"""A gate's verdict for people, for GitHub and for CI: text, Markdown, annotations, JUnit.

What a candidate says is foreign text, and may try to be markup: it is stripped of control characters,
fenced in Markdown, and escaped in XML and in workflow commands.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from headcount.errors import ExitCode
from headcount.untrusted import clean
from headcount.gate.compare import Breach, Difference, Sort, Verdict, failure

#: Failures of one kind that are listed one by one.
_LISTED = 8

_HEADLINES = {
    ExitCode.CLEAN: "fit for release: nothing that was fine got worse",
    ExitCode.REGRESSION: "NOT fit for release",
    ExitCode.INDETERMINATE: "undecided: nothing is known to be worse, but something cannot be told",
}

#: In the order in which they are told.
_TOLD = (Sort.REGRESSED, Sort.FLAKY, Sort.INDETERMINATE, Sort.CHANGED, Sort.FIXED)


def text(verdict: Verdict) -> str:
    """For the terminal: the answer, the counts, then each failure and its cells."""
    lines = [headline(verdict), _counts(verdict)]
    for sort in _TOLD:
        for what, cells in _groups(verdict.of(sort)):
            lines += ["", f"{sort.value.upper()}: {what}", *(f"  {cell}" for cell in _some(cells))]
    if verdict.breaches:
        lines += ["", f"{_interface(verdict)}:", *(f"  {line}" for line in _breaches(verdict))]
        if any(breach.lost for breach in verdict.breaches):
            lines += ["  (--allow-api NAME, a name as above or its last part, says that one is meant to go)"]
    lines += [f"\nDOUBT: {clean(doubt)}" for doubt in verdict.doubts]
    return "\n".join(lines)


def headline(verdict: Verdict) -> str:
    """The answer in one line."""
    base, candidate = verdict.base["label"], verdict.candidate["label"]
    line = f"transformers {verdict.environment['transformers']}"
    return f"{candidate}, against {base}, {line}: {_HEADLINES[verdict.exit_code]}{_why(verdict)}"


def _why(verdict: Verdict) -> str:
    """What makes it unfit."""
    if verdict.exit_code is not ExitCode.REGRESSION:
        return ""
    gone = sum(breach.lost for breach in verdict.breaches)
    worse = verdict.counts.get(Sort.REGRESSED, 0)
    counted = [f"cells that got worse: {worse}"] * bool(worse) + [f"names or parameters that are gone: {gone}"] * bool(
        gone
    )
    return f"; {', '.join(counted or ['cells changed, which --strict forbids'])}"


def markdown(verdict: Verdict, commands: Mapping[str, str], reproducers: Mapping[str, str]) -> str:
    """For a pull request or a job's summary: the answer, then details to unfold.

    Args:
        commands: cell -> what to type to see it alone.
        reproducers: a failure, as `gate.failure` has it -> a file that shows it.
    """
    lines = [f"## {code_span(headline(verdict))}", "", _counts(verdict), ""]
    lines += [f"- doubtful: {code_span(doubt)}" for doubt in verdict.doubts]
    if verdict.breaches:
        lines += _folded(_interface(verdict), [f"- {code_span(line)}" for line in _breaches(verdict)])
    for sort in _TOLD:
        for what, cells in _groups(verdict.of(sort)):
            inside = [f"- {code_span(cell)}" for cell in _some(cells)]
            if sort is Sort.REGRESSED:
                inside += ["", "One of them alone:", "", *fenced(commands[cells[0]], "console")]
                shown = next(d for d in verdict.differences if d.cell == cells[0])
                inside += ["", *fenced(reproducers.get(failure(shown.candidate), ""), "python")]
            lines += _folded(f"{sort.value}, {len(cells)} cells: {code_span(what)}", inside)
    return "\n".join(lines).rstrip() + "\n"


def annotations(verdict: Verdict) -> list[str]:
    """Workflow commands that put each failure on the pull request's page."""
    lines = []
    for sort, level in ((Sort.REGRESSED, "error"), (Sort.FLAKY, "warning"), (Sort.INDETERMINATE, "warning")):
        for what, cells in _groups(verdict.of(sort)):
            lines.append(f"::{level} title=head pruning {sort.value}::{_command(f'{what} ({len(cells)} cells)')}")
    lost = [breach for breach in verdict.breaches if breach.lost]
    lines += [f"::error title=a public name is gone::{_command(_breach(breach))}" for breach in lost]
    return [*lines, *(f"::warning title=doubtful::{_command(doubt)}" for doubt in verdict.doubts)]


def junit(verdict: Verdict) -> str:
    """A suite with a case for each cell and each broken name."""
    suite = TestSuite(f"gate-transformers-{verdict.environment['transformers']}")
    suite.add_testcases([*map(_case, verdict.differences), *map(_breach_case, verdict.breaches)])
    report = JUnitXml("headcount gate")
    report.add_testsuite(suite)
    report.update_statistics()  # type: ignore[no-untyped-call]
    found: bytes = report.tostring()  # type: ignore[no-untyped-call]
    return found.decode()


def _case(difference: Difference) -> TestCase:
    case = TestCase(clean(difference.cell), "gate", float(difference.candidate.get("seconds", 0)))
    what = clean(difference.what)
    match difference.sort:
        case Sort.REGRESSED:
            case.result = [Failure(what, difference.sort.value)]
        case Sort.FLAKY | Sort.INDETERMINATE:
            case.result = [Error(what, difference.sort.value)]
        case Sort.NOT_COMPARED:
            case.result = [Skipped(what)]
        case Sort.CHANGED | Sort.FIXED | Sort.STILL_FAILING:
            case.system_out = f"{difference.sort.value}: {what}"
    return case


def _breach_case(breach: Breach) -> TestCase:
    case = TestCase(clean(breach.path), "interface")
    if breach.lost:
        case.result = [Failure(clean(breach.what), "removed")]
    return case


def _counts(verdict: Verdict) -> str:
    return f"{len(verdict.differences)} cells: {in_words(verdict.counts)}"


def in_words(counts: Mapping[Sort, int]) -> str:
    """How many cells of each sort."""
    return ", ".join(f"{count} {sort.value}" for sort, count in counts.items())


def _groups(differences: Iterable[Difference]) -> list[tuple[str, list[str]]]:
    """Cells that went the same way, the largest group first: what happened in the first of them, all cells."""
    groups: dict[tuple[str, ...], list[Difference]] = {}
    for difference in differences:
        both = (failure(difference.base), failure(difference.candidate))
        groups.setdefault((difference.what,) if difference.is_untestable else both, []).append(difference)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [(clean(group[0].what), [d.cell for d in group]) for group in ordered]


def _some(cells: Sequence[str]) -> list[str]:
    more = [f"and {len(cells) - _LISTED} more"] if len(cells) > _LISTED else []
    return [*cells[:_LISTED], *more]


def _interface(verdict: Verdict) -> str:
    lost = sum(breach.lost for breach in verdict.breaches)
    return f"the interface: {len(verdict.breaches)} names or parameters differ, {lost} of them are gone"


def _breaches(verdict: Verdict) -> list[str]:
    """Those that are gone first; the parameters of one function in one line."""
    groups: dict[tuple[bool, bool, str, str], list[str]] = {}
    for breach in verdict.breaches:
        owner, _, parameter = breach.path.partition("(")
        where = (not breach.removed, breach.allowed, clean(owner), clean(breach.what))
        groups.setdefault(where, []).append(clean(parameter.removesuffix(")")))
    return [
        f"{owner}: {what}{f' ({names})' if (names := ', '.join(filter(None, parameters))) else ''}"
        f"{' (meant)' if allowed else ''}"
        for (_, allowed, owner, what), parameters in sorted(groups.items())
    ]


def _breach(breach: Breach) -> str:
    return f"{clean(breach.path)}: {clean(breach.what)}" + (" (meant)" if breach.allowed else "")


def code_span(foreign: str) -> str:
    """As code, in one line, with more backticks around than it has inside."""
    inside = clean(foreign).strip() or " "
    ticks = _ticks(inside)
    return f"{ticks} {inside} {ticks}" if "`" in inside else f"`{inside}`"


def fenced(content: str, language: str) -> list[str]:
    """A block of code, whatever it holds; nothing if it is empty."""
    if not content:
        return []
    fence = _ticks(content, least=3)
    return [f"{fence}{language}", *content.rstrip().split("\n"), fence]


def _ticks(inside: str, least: int = 1) -> str:
    """More backticks than any run of them inside."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", inside)), default=0))


def _folded(title: str, inside: Iterable[str]) -> list[str]:
    return ["<details>", f"<summary>{_summary(title)}</summary>", "", *inside, "", "</details>", ""]


def _summary(title: str) -> str:
    """Inside HTML no Markdown is read: as text."""
    return title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "")


def _command(foreign: str) -> str:
    """The message of a workflow command."""
    return clean(foreign).replace("%", "%25")
