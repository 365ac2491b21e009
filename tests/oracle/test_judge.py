"""Verdicts: the order of the promises, refusals, allowances that were needed, signatures that tell failures apart."""

from dataclasses import replace
from fractions import Fraction

import pytest

from headcount import wording
from headcount.matrix import Cell, Config, cells
from headcount.models import Model
from headcount.observation import Ending, Failure, Observation, Phase, without_numbers
from headcount.oracle import ALLOWANCES, PROMISES, Finding, Kind, Problem, Rule, Verdict, judge

PLAIN = Cell(Model(), Config())
NONSENSE = next(cell for cell in cells.EDGE_CASES if cell.config.head_pruning_ratio < 0)


def raised(
    exception: str, message: str, frame: str = "", phase: Phase = Phase.STEP, *, deliberate: bool = True
) -> Observation:
    return Observation(Ending.RAISED, phase, Failure(exception, message, frame, phase, deliberate=deliberate))


def test_an_exception_is_a_crash() -> None:
    verdict = judge(PLAIN, raised("IndexError", "index 7 is out of range\nfor real", "pruner._prune"))
    assert verdict.kind is Kind.CRASH
    assert wording.reason(verdict) == "IndexError at step in pruner._prune: index 7 is out of range"
    assert str(verdict.signature) == "crash: IndexError: index N is out of range: pruner._prune"
    assert verdict.found == "IndexError@_prune"


def test_only_nonsense_may_be_refused_and_not_by_a_slip() -> None:
    refusal = raised("ValueError", "no")
    assert judge(NONSENSE, refusal) == Verdict(Kind.OK)
    assert judge(PLAIN, refusal).kind is Kind.CRASH
    for slip in (
        raised("AttributeError", "no attribute"),
        raised("ZeroDivisionError", "division by zero"),
        raised("ValueError", "max() arg is an empty sequence", deliberate=False),
        raised("AssertionError", ""),
        replace(refusal, changed=True),
    ):
        assert judge(NONSENSE, slip).kind is Kind.CRASH


def test_a_ratio_that_is_not_used_is_no_reason_to_refuse() -> None:
    call = Cell(Model(), Config(prune_num_heads=False, head_pruning_ratio=Fraction(1)))
    assert judge(call, raised("ValueError", "no")).kind is Kind.CRASH


def test_a_refusal_of_all_heads_needs_its_allowance() -> None:
    config = Config(prune_num_heads=True, head_pruning_ratio=Fraction(1))
    assert judge(Cell(Model(), config), raised("ValueError", "no")) == Verdict(
        Kind.OK, allowances=("all-heads-refused",)
    )


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Ending.TIMEOUT, Kind.TIMEOUT),
        (Ending.KILLED, Kind.KILLED),
        (Ending.GARBAGE, Kind.KILLED),
        (Ending.NOT_RUN, Kind.UNTESTABLE),
        (Ending.UNIMPORTABLE, Kind.UNTESTABLE),
        (Ending.NOT_APPLICABLE, Kind.NOT_APPLICABLE),
    ],
)
def test_what_did_not_finish_is_never_ok(ending: Ending, kind: Kind) -> None:
    verdict = judge(PLAIN, Observation(ending, Phase.CELL, detail="killed by SIGSEGV"))
    assert (verdict.kind, verdict.ending, verdict.detail) == (kind, ending, "killed by SIGSEGV")
    assert "killed by SIGSEGV" in wording.reason(verdict)


def test_an_empty_observation_is_not_ok() -> None:
    """Finished, and nothing seen: that must not pass for a pruned model."""
    assert judge(PLAIN, Observation(Ending.FINISHED)).kind is Kind.DESYNC


def test_messages_without_numbers() -> None:
    one = without_numbers("shape '[6, -1]' is invalid for input of size 40 at 0x7f00ab")
    other = without_numbers("shape '[12, -1]' is invalid for input of size 8 at 0x7f00cd\nand more")
    assert one == other == "shape '[N, N]' is invalid for input of size N at NxN"
    assert without_numbers(one) == one


def test_a_signature_is_without_numbers_and_places() -> None:
    one = Finding(Rule.HEAD_COUNTS, Kind.WRONG_HEADS, Problem.COUNT, 0, "heads", "", (3,), (4,), 6)
    other = replace(one, block=1, found=(2,))
    more = replace(one, found=(5,))
    signatures = [Verdict(Kind.WRONG_HEADS, finding).signature for finding in (one, other, more)]
    assert signatures[0] == signatures[1]
    assert signatures[0] != signatures[2], "too few and too many are two failures"
    assert [Verdict(Kind.WRONG_HEADS, f).found for f in (one, other)] == ["count:heads.0=3", "count:heads.1=2"]


def test_every_promise_has_its_sentence_and_its_rule() -> None:
    assert {promise.number for promise in PROMISES} == set(range(2, 13))
    assert {promise.rule for promise in PROMISES} | {Rule.NO_EXCEPTION} == set(Rule)
    assert all(len(promise.sentence) > 20 for promise in PROMISES)
    assert len({allowance.name for allowance in ALLOWANCES}) == len(ALLOWANCES)
    assert all(allowance.sentence.endswith(".") for allowance in ALLOWANCES)
