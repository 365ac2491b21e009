"""What became of a cell, from two rows of it."""

from dataclasses import replace

import pytest

from headcount import gate, oracle, wording
from headcount.builds import RELEASES
from headcount.errors import ExitCode
from headcount.gate import Change, GateVerdict
from headcount.matrix.cells import default_cells
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import Kind, Verdict
from headcount.report.gate import markdown, what
from headcount.results import Build
from helpers import ISSUE_410
from rows import COUNT, row


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


def test_a_number_that_moves_in_a_known_defect_is_no_regression() -> None:
    """The same defect breaks the promise before and after; by another number, or in more of its ways."""
    before, after = (row("count", cell=ISSUE_410, defect="steps-compound") for _ in range(2))
    after = replace(after, verdict=Verdict(Kind.WRONG_HEADS, replace(COUNT, found=(1,))))
    assert gate.change_between(before, after) is Change.CHANGED


def test_what_is_drawn_at_random_may_be_other_channels() -> None:
    before, after = (replace(row(shown), config={"importance": "random"}) for shown in ("ok", "other weights"))
    assert gate.change_between(before, after) is Change.STILL_OK
    assert gate.change_between(before, replace(row("count"), config={"importance": "random"})) is Change.REGRESSED


def test_what_gets_further_into_an_older_defect_is_named() -> None:
    before, after = row("crash"), row("count", defect="steps-compound")
    found = gate.Difference("one", before, after, gate.change_between(before, after))
    assert (found.change, found.into) == (Change.CHANGED, "steps-compound")
    assert what(found).endswith("; the call gets further now, and meets a known defect: steps-compound")
    assert gate.Difference("one", row("count"), after, Change.CHANGED).into == ""


def test_a_crash_by_accident_is_no_refusal() -> None:
    """It fixes nothing: only a deliberate exception before anything has changed is one."""
    cell = next(cell for cell in default_cells() if oracle.expect(cell).may_refuse)
    slip = Observation(Ending.RAISED, Phase.STEP, Failure("ZeroDivisionError", "division by zero"))
    verdict = oracle.judge(cell, slip)
    after = replace(row("crash", cell=cell.id), verdict=verdict, observation=slip)
    assert gate.change_between(row("count", cell=cell.id), after) is not Change.FIXED


def verdict_of(*cells: tuple[str, str], functions: dict[str, tuple[str, ...]]) -> GateVerdict:
    """A gate's verdict on cells that were fine, and fail now as they are named."""
    build = Build(RELEASES[-1], "", RELEASES[-1], "abc")
    worse = tuple(gate.Difference(id_, row("ok"), row(shown, cell=id_), Change.REGRESSED) for id_, shown in cells)
    return GateVerdict(build, build, {}, worse, ending=gate.Ending(functions=functions, drawn=("drawn",)))


def test_cells_that_fail_alike_have_one_cause() -> None:
    """The one that explains most cells comes first; its example is a cell of the matrix."""
    ran = {"drawn": ("step", "prune"), "one": ("prune",), "two": ("prune",), "three": ()}
    verdict = verdict_of(
        ("three", "count"), ("drawn", "crash"), ("one", "crash"), ("two", "moved crash"), functions=ran
    )
    assert [(len(cause.cells), cause.functions, cause.cells[0].cell) for cause in verdict.causes] == [
        (3, ("prune",), "one"),
        (1, (), "three"),
    ]


def test_a_call_that_the_matrix_lacks_is_shown_by_a_gate() -> None:
    """As is what known defects hide; any other cell of the matrix is shown by the matrix."""
    verdict = replace(
        verdict_of((ISSUE_410, "crash"), ("drawn", "count"), functions={}), environment={"transformers": "4.57.6"}
    )
    page = markdown(verdict)
    assert f'-k "{ISSUE_410} and not {ISSUE_410}-"' in page
    assert "--cell drawn\n" in page
    assert "-k drawn" not in page
    assert ": 1 call" in page.replace("cause 1, ", ": ")
    mended = replace(verdict, differences=tuple(replace(found, mended=True) for found in verdict.differences))
    assert f"--cell {ISSUE_410}\n" in markdown(mended)


def test_cells_with_no_changed_function_in_common_have_several_causes() -> None:
    verdict = verdict_of(("one", "crash"), ("two", "crash"), functions={"one": ("step",), "two": ("prune",)})
    assert [cause.functions for cause in verdict.causes] == [("step",), ("prune",)]


def test_a_cell_that_fails_before_it_gets_there_is_of_the_cause_that_fails_alike() -> None:
    """What known defects hide: the base fails first, and nothing says which changed function would run."""
    verdict = verdict_of(("one", "crash"), ("hidden", "crash"), functions={"one": ("step",)})
    assert [(len(cause.cells), cause.functions) for cause in verdict.causes] == [(2, ("step",))]


def test_what_did_not_run_is_a_doubt_where_that_is_required() -> None:
    build = Build(RELEASES[-1], "", RELEASES[-1], "abc")
    unseen = gate.Ending(exercised=(gate.Exercised("ops.py", "f", 3, 4),))
    fine = (gate.Difference("one", row("ok"), row("ok"), Change.STILL_OK),)
    codes = [GateVerdict(build, build, {}, fine, ending=unseen, require_exercised=r).exit_code for r in (False, True)]
    assert codes == [ExitCode.CLEAN, ExitCode.INDETERMINATE]


def test_what_is_waived_is_no_regression() -> None:
    verdict = replace(verdict_of(("one", "crash"), functions={}), waived={"one": "known"})
    assert (verdict.worse, verdict.causes, verdict.exit_code) == ((), (), ExitCode.CLEAN)


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
