"""Judge an observation by its cell's expectation: one verdict, with what it rests on as data."""

from collections.abc import Iterable, Iterator

from headcount.matrix import Cell
from headcount.observation import Ending, Failure, Observation, Phase, Problem
from headcount.oracle import allowances, promises
from headcount.oracle.expectation import Expectation
from headcount.oracle.verdict import Finding, Kind, Verdict

#: Exceptions that say that a call is wrong.
_REFUSALS = ("ValueError", "AssertionError", "NotImplementedError")

_UNFINISHED = {
    Ending.NOT_APPLICABLE: Kind.NOT_APPLICABLE,
    Ending.TIMEOUT: Kind.TIMEOUT,
    Ending.KILLED: Kind.KILLED,
    Ending.GARBAGE: Kind.KILLED,
}


def judge(cell: Cell, observation: Observation) -> Verdict:
    """Return the verdict on what was observed. The first promise that is broken decides."""
    verdict = _judged(allowances.expect(cell), observation)
    return Verdict(Kind.OK, allowances=_needed(cell, observation)) if verdict.kind is Kind.OK else verdict


def broken(cell: Cell, observation: Observation) -> tuple[Verdict, ...]:
    """Return every way in which it fails, as far as it went: the first broken promise alone hides the others."""
    found = _broken(allowances.expect(cell), observation)
    return tuple(verdict for verdict in found if verdict.kind is not Kind.OK)


def _needed(cell: Cell, observation: Observation) -> tuple[str, ...]:
    """Return the fewest allowances with which it is fine: each is left out in turn, and stays out if it can."""
    without = frozenset(allowance.name for allowance in allowances.applicable(cell))
    if not without or _is_fine(cell, without, observation):
        return ()
    left_out: frozenset[str] = frozenset()
    for name in sorted(without):
        if _is_fine(cell, left_out | {name}, observation):
            left_out |= {name}
    return tuple(sorted(without - left_out))


def _is_fine(cell: Cell, without: frozenset[str], observation: Observation) -> bool:
    return _judged(allowances.expect(cell, without), observation).kind is Kind.OK


def _judged(expectation: Expectation, observation: Observation) -> Verdict:
    # All that can be said of the weights is fine, and no pruner could do more.
    cannot = observation.use.cannot if observation.use else ""
    unable = Verdict(Kind.NOT_APPLICABLE, ending=Ending.FINISHED, detail=cannot)
    fine = unable if observation.cannot_run or cannot else Verdict(Kind.OK)
    return next(_broken(expectation, observation), fine)


def _broken(expectation: Expectation, observation: Observation) -> Iterator[Verdict]:
    """Yield every way in which it fails, in the order of cause and effect; of a call that may be refused, OK."""
    if observation.ending is not Ending.FINISHED:
        yield unfinished(observation, may_refuse=expectation.may_refuse)
        return
    # Of a model that may stay as it was, and has, no count is wrong.
    untouched = expectation.may_leave and promises.is_untouched(expectation, observation)
    for stage in promises.STAGES[:2] if untouched else promises.STAGES:
        found = (finding for promise in stage for finding in promise.check(expectation, observation))
        ordered = found if len(stage) == 1 else _in_order(expectation, found)
        yield from (Verdict(finding.kind, finding) for finding in ordered)
    # Promise 1, its second half: a forward pass with the head counts updated, if the model's own code allows one.
    if observation.output_failure is not None and not observation.cannot_run:
        yield Verdict(Kind.BROKEN_FORWARD, failure=observation.output_failure)
    for promise in promises.LATER:
        yield from (Verdict(finding.kind, finding) for finding in promise.check(expectation, observation))
    if observation.use and observation.use.failure:
        yield Verdict(Kind.BROKEN_USE, failure=observation.use.failure)


def _in_order(expectation: Expectation, found: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of the counts that they are about: heads before channels."""
    names = [("+".join(count.dimensions), bool(count.scope)) for count in expectation.counts]
    return sorted(found, key=lambda finding: names.index((finding.place, finding.problem is Problem.TOTAL)))


def _refused(observation: Observation, failure: Failure) -> bool:
    """Return whether a build says of its own accord, before it has changed anything, that a call is wrong."""
    said = failure.exception in _REFUSALS and failure.deliberate and bool(failure.message.strip())
    return said and failure.phase in (Phase.CONSTRUCT, Phase.STEP) and not observation.changed


def unfinished(observation: Observation, *, may_refuse: bool) -> Verdict:
    """Return the verdict on what did not end. Promise 1, its first half: no exception, unless a call may be refused."""
    failure, ending = observation.failure, observation.ending
    if ending is Ending.RAISED and failure is not None:
        refused = _refused(observation, failure)
        return Verdict(Kind.OK) if may_refuse and refused else Verdict(Kind.CRASH, failure=failure)
    if ending is Ending.UNIMPORTABLE and failure is not None:
        return Verdict(Kind.UNTESTABLE, failure=failure)
    untestable = observation.phase is Phase.IMPORT and ending is not Ending.NOT_APPLICABLE
    kind = Kind.UNTESTABLE if untestable else _UNFINISHED.get(ending, Kind.UNTESTABLE)
    return Verdict(kind, ending=ending, detail=observation.detail)
