"""Rows of a matrix that are made up: each shows one thing that a build may do."""

from dataclasses import replace

from headcount.defects import Explanation, Outcome
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.results import Row

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
