"""Verdicts: the order of the rules, refusals, and signatures that tell failures apart."""

import pytest

from headcount.matrix import cells as matrix
from headcount.matrix.config import Config
from headcount.models import Model
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle.expectation import expect
from headcount.oracle.verdict import Kind, judge, normalised

EXPECTATION = expect(Model(), Config())
NONSENSE = expect(Model(), next(c.config for c in matrix.CORNERS if c.config.head_pruning_ratio < 0))


def raised(kind: str, message: str, frame: str = "", phase: Phase = Phase.STEP) -> Observation:
    return Observation(Ending.RAISED, phase, Failure(kind, message, frame))


def test_an_exception_is_a_crash() -> None:
    verdict = judge(EXPECTATION, raised("IndexError", "index 7 is out of range\nfor real", "pruner._prune"))
    assert verdict.reason == "IndexError at step in pruner._prune: index 7 is out of range"
    assert str(verdict.signature) == "crash: IndexError: index N is out of range: pruner._prune"


def test_only_nonsense_may_be_refused_and_not_by_a_slip() -> None:
    refusal, slip = raised("ValueError", "no"), raised("AttributeError", "no attribute")
    assert judge(NONSENSE, refusal).kind is Kind.OK
    assert judge(EXPECTATION, refusal).kind is Kind.CRASH
    assert judge(NONSENSE, slip).kind is Kind.CRASH


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Ending.TIMEOUT, Kind.TIMEOUT),
        (Ending.KILLED, Kind.KILLED),
        (Ending.GARBAGE, Kind.KILLED),
        (Ending.UNIMPORTABLE, Kind.UNTESTABLE),
        (Ending.NOT_APPLICABLE, Kind.NOT_APPLICABLE),
    ],
)
def test_what_did_not_finish_is_never_ok(ending: Ending, kind: Kind) -> None:
    verdict = judge(EXPECTATION, Observation(ending, Phase.CELL, detail="killed by SIGSEGV"))
    assert verdict.kind is kind
    assert verdict.reason


def test_an_empty_observation_is_not_ok() -> None:
    """Finished, and nothing seen: that must not pass for a pruned model."""
    assert judge(EXPECTATION, Observation(Ending.FINISHED)).kind is not Kind.OK


def test_normalised_messages() -> None:
    one = normalised("shape '[6, -1]' is invalid for input of size 40 at 0x7f00ab")
    other = normalised("shape '[12, -1]' is invalid for input of size 8 at 0x7f00cd\nand more")
    assert one == other == "shape '[N, N]' is invalid for input of size N at NxN"
    assert normalised(one) == one
