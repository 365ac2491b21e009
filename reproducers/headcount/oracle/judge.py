"""Judge an observation by its cell's expectation: one verdict, with what it rests on as data."""

from functools import cache

from headcount.matrix import Cell
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import promises
from headcount.oracle.allowances import applicable, expect
from headcount.oracle.expectation import Expectation
from headcount.oracle.promises import Promise, is_untouched
from headcount.oracle.verdict import Finding, Kind, Verdict

#: Exceptions that tell of a mistake in the code, whatever it was called with.
_SLIPS = ("AttributeError", "NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError")

_UNFINISHED = {
    Ending.UNIMPORTABLE: Kind.UNTESTABLE,
    Ending.NOT_APPLICABLE: Kind.NOT_APPLICABLE,
    Ending.NOT_RUN: Kind.UNTESTABLE,
    Ending.TIMEOUT: Kind.TIMEOUT,
    Ending.KILLED: Kind.KILLED,
    Ending.GARBAGE: Kind.KILLED,
}


def judge(cell: Cell, observation: Observation) -> Verdict:
    """Return the verdict on what was observed. The first promise that is broken decides."""
    verdict = _judged(expect(cell), observation)
    if verdict.kind is not Kind.OK:
        return verdict
    return Verdict(Kind.OK, allowances=_needed(cell, observation))


def kinds_broken(cell: Cell, observation: Observation) -> frozenset[Kind]:
    """Return every way in which it fails, as far as it went: the first broken promise alone hides the others."""
    expectation = expect(cell)
    if observation.ending is not Ending.FINISHED:
        return frozenset({_judged(expectation, observation).kind} - {Kind.OK})
    checked = (*(p for stage in _stages(expectation, observation) for p in stage), *promises.LATER)
    found = {finding.kind for promise in checked for finding in promise.check(expectation, observation)}
    return frozenset(found | ({Kind.BROKEN_FORWARD} if _broken_forward(observation) else set()))


def _needed(cell: Cell, observation: Observation) -> tuple[str, ...]:
    """Return the fewest allowances with which it is fine: each is left out in turn, and stays out if it can."""
    without = frozenset(allowance.name for allowance in applicable(cell))
    if not without or _is_fine(cell, without, observation):
        return ()
    left_out: frozenset[str] = frozenset()
    for name in sorted(without):
        if _is_fine(cell, left_out | {name}, observation):
            left_out |= {name}
    return tuple(sorted(without - left_out))


def _is_fine(cell: Cell, without: frozenset[str], observation: Observation) -> bool:
    return _judged(expect(cell, without), observation).kind is Kind.OK


def _judged(expectation: Expectation, observation: Observation) -> Verdict:
    if observation.ending is not Ending.FINISHED:
        return _unfinished(expectation, observation)
    for stage in _stages(expectation, observation):
        if (finding := _first(stage, expectation, observation)) is not None:
            return Verdict(finding.kind, finding)
    if (failure := _broken_forward(observation)) is not None:
        return Verdict(Kind.BROKEN_FORWARD, failure=failure)
    for promise in promises.LATER:
        for finding in promise.check(expectation, observation):
            return Verdict(finding.kind, finding)
    # All that can be said of the weights is fine, and no pruner could do more.
    return Verdict(Kind.NOT_APPLICABLE, ending=Ending.FINISHED) if observation.cannot_run else Verdict(Kind.OK)


def _stages(expectation: Expectation, observation: Observation) -> tuple[tuple[Promise, ...], ...]:
    """Return the promises about weights; of a model that may stay as it was, and has, the first two."""
    untouched = expectation.may_leave and is_untouched(expectation, observation)
    return promises.STAGES[:2] if untouched else promises.STAGES


def _first(stage: tuple[Promise, ...], expectation: Expectation, observation: Observation) -> Finding | None:
    """Return the finding of the count that stands first, heads before channels."""
    found = (finding for promise in stage for finding in promise.check(expectation, observation))
    if len(stage) == 1:
        return next(found, None)
    order = _order(expectation)
    return min(found, key=lambda finding: order[finding.dimension, finding.block], default=None)


@cache
def _places(names: tuple[tuple[str, ...], ...]) -> dict[tuple[str, int | None], int]:
    places: dict[tuple[str, int | None], int] = {}
    for place, dimensions in enumerate(names):
        kind, _, block = dimensions[0].partition(".")
        places.setdefault(("+".join(dimensions), None), place)
        if len(dimensions) == 1:
            places[kind, int(block) if block else None] = place
    return places


def _order(expectation: Expectation) -> dict[tuple[str, int | None], int]:
    """Return where each count stands in an expectation."""
    return _places(tuple(count.dimensions for count in expectation.counts if count.dimensions))


def _broken_forward(observation: Observation) -> Failure | None:
    """Promise 1, its second half: a forward pass with the head counts updated, if the model's own code allows one."""
    return None if observation.cannot_run else observation.output_failure


def _unfinished(expectation: Expectation, observation: Observation) -> Verdict:
    """Promise 1: no exception, unless the call may be refused."""
    failure, ending = observation.failure, observation.ending
    if ending is Ending.RAISED and failure is not None:
        refused = failure.phase in (Phase.CONSTRUCT, Phase.STEP) and failure.exception not in _SLIPS
        return Verdict(Kind.OK) if expectation.may_refuse and refused else Verdict(Kind.CRASH, failure=failure)
    if ending is Ending.UNIMPORTABLE and failure is not None:
        return Verdict(Kind.UNTESTABLE, failure=failure)
    kind = _UNFINISHED.get(ending, Kind.UNTESTABLE)
    if observation.phase is Phase.IMPORT and ending is not Ending.NOT_APPLICABLE:
        kind = Kind.UNTESTABLE
    return Verdict(kind, ending=ending, detail=observation.detail)
