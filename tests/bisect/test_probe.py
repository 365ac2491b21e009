"""What an outcome means for a search: labels, what is doubtful, and the cells that stand for a defect."""

from dataclasses import replace
from pathlib import Path

import pytest

from headcount.bisect import Answer, Cells, Script, State, by_defect
from headcount.bisect.probe import script_failure
from headcount.builds import RELEASES, Overlay
from headcount.defects import DEFECTS, Defect, recorded
from headcount.environment import environment
from headcount.observation import ScriptRun

RUN = ScriptRun(1, "", "ValueError: 5 of 6 heads are odd", "pruner.algorithms.metapruner._prune", (7,))
BUILD = Overlay("1.6.1", Path("nowhere"), "1.6.1", "digest")


class Runs:
    """Stands for an engine that runs scripts."""

    def __init__(self, run: ScriptRun) -> None:
        self.run = run

    def run_script(self, *_: object, **__: object) -> ScriptRun:
        return self.run


def answer(run: ScriptRun, script: Script | None = None) -> Answer:
    return (script or Script(Path("mine.py"))).answer(Runs(run), BUILD)  # type: ignore[arg-type]


def test_a_script_s_failure_is_the_same_whatever_its_numbers_and_wherever_the_module_is() -> None:
    label = script_failure(RUN)
    assert label == script_failure(replace(RUN, raised="ValueError: 1 of 12 heads are odd", printed="more"))
    assert label == script_failure(replace(RUN, frame="pruner.meta._prune"))
    others = (
        replace(RUN, raised="KeyError: 5 of 6 heads are odd"),
        replace(RUN, frame="pruner.algorithms.metapruner.step"),
        replace(RUN, lines=(8,)),
    )
    assert len({label, *map(script_failure, others)}) == 4


@pytest.mark.parametrize(
    ("run", "state", "doubtful"),
    [
        (ScriptRun(0, "fine"), State.GOOD, False),
        (RUN, State.BAD, False),
        (replace(RUN, frame=""), State.BAD, True),
        (replace(RUN, frame="", raised="AssertionError: 3 heads, expected 4"), State.BAD, False),
        (replace(RUN, frame="", raised=""), State.BAD, False),  # sys.exit(1)
        (replace(RUN, frame="", raised="MemoryError"), State.SKIP, False),
        (replace(RUN, status=125, frame=""), State.SKIP, False),
        (replace(RUN, status=None, frame="", raised="", why="SIGSEGV"), State.SKIP, False),
    ],
)
def test_what_a_script_s_end_means(run: ScriptRun, state: State, doubtful: bool) -> None:
    found = answer(run)
    assert (found.state, found.doubtful) == (state, doubtful)


def test_one_failure_is_searched_for() -> None:
    script = Script(Path("mine.py"), sought=script_failure(RUN))
    assert answer(RUN, script).state is State.BAD
    assert answer(replace(RUN, lines=(8,)), script).state is State.SKIP
    assert answer(replace(RUN, lines=(8,)), replace(script, any_failure=True, sought="")).label == State.BAD


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.id)
def test_the_cells_of_a_defect_show_it_wherever_it_is_recorded(defect: Defect) -> None:
    known = recorded(environment()["transformers"])
    subject = by_defect(defect)
    assert isinstance(subject, Cells)
    shown = {r for r in RELEASES for cell in subject.cells if known.foretold(cell, r) == defect.id}
    assert shown == set(known.releases.get(defect.id, ()))
    assert 1 <= len(subject.cells) <= 4
