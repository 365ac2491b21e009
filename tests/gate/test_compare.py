"""What became of a cell, from two rows of it."""

from dataclasses import replace

import pytest

from headcount import gate, wording
from headcount.builds import RELEASES
from headcount.defects import Explanation, Outcome
from headcount.errors import ExitCode
from headcount.gate import Change, GateVerdict
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.results import Build, Row
from helpers import ISSUE_410

KEPT = Observation(Ending.FINISHED, kept={"q.0": (0, 1)}, sizes={"q.0": 3})
RAISED = Failure("KeyError", "'x'", "pruner.metapruner._prune", Phase.STEP)
COUNT = Finding(Rule.HEAD_COUNTS, Kind.WRONG_HEADS, Problem.COUNT, 0, "heads", "", (3,), (2,), 4)

SHOWN = {
    "ok": (Verdict(Kind.OK), KEPT),
    "other weights": (Verdict(Kind.OK), replace(KEPT, kept={"q.0": (0, 2)})),
    "crash": (Verdict(Kind.CRASH, failure=RAISED), Observation(Ending.RAISED, failure=RAISED)),
    "moved crash": (
        Verdict(Kind.CRASH, failure=replace(RAISED, frame="pruner.other._prune")),
        Observation(Ending.RAISED, failure=RAISED),
    ),
    "short of memory": (Verdict(Kind.CRASH, failure=Failure("MemoryError")), Observation(Ending.RAISED)),
    "count": (Verdict(Kind.WRONG_HEADS, COUNT), KEPT),
    "another count": (Verdict(Kind.WRONG_HEADS, replace(COUNT, block=1, found=(4,))), KEPT),
    "cannot run": (Verdict(Kind.NOT_APPLICABLE, ending=Ending.FINISHED), replace(KEPT, cannot_run=True)),
    "no such parameter": (Verdict(Kind.NOT_APPLICABLE), Observation(Ending.NOT_APPLICABLE)),
    "timeout": (Verdict(Kind.TIMEOUT, ending=Ending.TIMEOUT), Observation(Ending.TIMEOUT)),
    "untestable": (Verdict(Kind.UNTESTABLE, ending=Ending.NOT_RUN), Observation(Ending.NOT_RUN)),
}


def row(shown: str, build: str = "", cell: str = "one", defect: str = "") -> Row:
    verdict, observation = SHOWN[shown]
    explanation = Explanation(Outcome.EXPECTED, defect)
    return Row(build, "1.6.1", "vit", {}, cell, "4.57.6", "2.9.0", verdict, explanation, 0.1, observation)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        # What the pruner did to a model that cannot run was right, or was not: only the forward pass is no one's fault.
        ("cannot run", "crash", Change.REGRESSED),
        ("crash", "cannot run", Change.FIXED),
        ("cannot run", "cannot run", Change.STILL_OK),
        ("no such parameter", "crash", Change.NOT_COMPARED),
        ("cannot run", "no such parameter", Change.INDETERMINATE),
        ("ok", "untestable", Change.INDETERMINATE),
        ("ok", "ok", Change.STILL_OK),
        ("ok", "other weights", Change.CHANGED),
        ("crash", "moved crash", Change.STILL_FAILING),
        ("crash", "count", Change.CHANGED),
        ("count", "another count", Change.STILL_FAILING),
        ("short of memory", "crash", Change.INDETERMINATE),
        ("timeout", "timeout", Change.INDETERMINATE),
    ],
)
def test_what_became_of_a_cell(before: str, after: str, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the facts alone: the sentences may say anything."""
    assert gate.change_between(row(before), row(after)) is change
    for name in ("reason", "verdict", "failure", "finding"):
        monkeypatch.setattr(wording, name, lambda _: "")
    assert gate.change_between(row(before), row(after)) is change


def test_what_does_not_repeat_is_flaky() -> None:
    once = replace(row("crash"), repeats=False)
    assert gate.change_between(once, row("crash")) is Change.FLAKY
    assert gate.change_between(row("ok"), once) is Change.FLAKY


def test_a_known_defect_is_not_the_machine_s() -> None:
    assert gate.change_between(row("timeout", defect="a-hang"), row("ok")) is Change.FIXED


def test_a_cell_that_was_not_run_is_indeterminate() -> None:
    """On either side, or on both: it was lost on the way."""
    found = gate.compare([row("ok", cell="one")], [row("ok", cell="two")], {"one": (), "three": ()})
    assert [(d.cell, d.base is None, d.candidate is None) for d in found] == [
        ("one", False, True),
        ("three", True, True),
        ("two", True, False),
    ]
    assert gate.counted(found) == {Change.INDETERMINATE: 3}


def test_rows_are_found_by_a_key() -> None:
    found = gate.compare([row("ok", "a")], [row("crash", "b")], key=lambda found: f"4.57.6-{found.cell}")
    assert [(d.cell, d.change) for d in found] == [("4.57.6-one", Change.REGRESSED)]


@pytest.mark.parametrize(
    ("changes", "strict", "code"),
    [
        ((Change.STILL_OK, Change.FIXED, Change.CHANGED, Change.NOT_COMPARED), False, ExitCode.CLEAN),
        ((Change.STILL_OK, Change.CHANGED), True, ExitCode.REGRESSION),
        ((Change.FLAKY, Change.REGRESSED), False, ExitCode.REGRESSION),
        ((Change.STILL_OK, Change.FLAKY), False, ExitCode.INDETERMINATE),
        ((Change.INDETERMINATE,), False, ExitCode.INDETERMINATE),
        ((), False, ExitCode.INDETERMINATE),
    ],
)
def test_exit_codes(changes: tuple[Change, ...], strict: bool, code: ExitCode) -> None:
    build = Build(RELEASES[-1], "", RELEASES[-1], "abc")
    differences = tuple(gate.Difference(ISSUE_410, row("ok"), row("ok"), change) for change in changes)
    assert GateVerdict(build, build, {}, differences, strict=strict).exit_code is code
