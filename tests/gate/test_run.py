"""The gate on fake candidates: broken, flaky, and such as hide it in a simple way."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import miniatures
from headcount import gate, results
from headcount.builds import Overlay
from headcount.canary import Engine
from headcount.errors import ExitCode, UsageError
from headcount.gate import Change, GateVerdict
from headcount.isolation import Cache
from headcount.matrix import Criterion
from headcount.matrix import cells as matrix_cells
from headcount.matrix.cells import default_cells, known_cells
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import Kind
from headcount.report.gate import what
from headcount.results import Row, Writer
from helpers import ISSUE_410, PLAIN, gate_file, gated, with_digest

EVERY = gate.every_cell()
CELLS = [known_cells()[name] for name in (PLAIN, ISSUE_410)]


class Noted(gate.Watcher):
    """Keeps every row that it hears of."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def row(self, row: Row) -> None:
        self.rows.append(row)


def changes(verdict: GateVerdict) -> dict[str, Change]:
    return {difference.cell: difference.change for difference in verdict.differences}


@pytest.mark.parametrize(
    ("base", "candidate", "change", "code"),
    [
        ("correct", "wrong-heads", Change.REGRESSED, ExitCode.REGRESSION),
        ("correct", "crash-step", Change.REGRESSED, ExitCode.REGRESSION),
        ("wrong-heads", "correct", Change.FIXED, ExitCode.CLEAN),
        ("crash-step", "wrong-heads", Change.CHANGED, ExitCode.CLEAN),
        # It failed, and fails in another way besides: what was wrong already must not hide it.
        ("wrong-heads", "desync", Change.REGRESSED, ExitCode.REGRESSION),
        ("wrong-heads", "crash-step", Change.REGRESSED, ExitCode.REGRESSION),
        ("desync", "wrong-selection", Change.REGRESSED, ExitCode.REGRESSION),
        ("correct", "crash-import", Change.INDETERMINATE, ExitCode.INDETERMINATE),
        ("crash-import", "correct", Change.INDETERMINATE, ExitCode.INDETERMINATE),
        ("correct", "flaky", Change.FLAKY, ExitCode.INDETERMINATE),
    ],
)
def test_what_became_of_a_cell(
    tmp_path: Path, made: Callable[..., Overlay], base: str, candidate: str, change: Change, code: ExitCode
) -> None:
    verdict = gated(tmp_path, made(base, "1.6.1"), made(candidate))
    assert (changes(verdict)[ISSUE_410], verdict.exit_code) == (change, code)


def test_a_model_that_cannot_run_runs_once(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing failed that a machine could be at fault for, and a process for each would take half of a second run."""
    fixed = next(cell for cell in EVERY if cell.model.family == "siglip" and cell.config.pruning_ratio)
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [fixed])
    build, watcher = made("correct", "1.6.1"), Noted()
    wanted = gate.request(build, build)
    with gate.opened(wanted, tmp_path / "one.jsonl") as writer:
        gate.run_both(wanted, writer, watcher)
    assert [row.verdict.kind for row in watcher.rows] == [Kind.NOT_APPLICABLE] * 2


def test_a_change_fails_if_strict(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    verdict = gated(tmp_path, made("crash-step", "1.6.1"), made("wrong-heads"), strict=True)
    assert (verdict.of(Change.REGRESSED), verdict.exit_code) == ((), ExitCode.REGRESSION)


@pytest.mark.parametrize("seed", range(5))
def test_a_build_against_itself(tmp_path: Path, made: Callable[..., Overlay], seed: int) -> None:
    """It is run again, in another order, and nothing differs."""
    build = made("correct", "1.6.1")
    verdict = gated(tmp_path, build, build, seed=seed)
    assert (gate.counted(verdict.differences), verdict.exit_code) == ({Change.STILL_OK: len(CELLS)}, ExitCode.CLEAN)
    assert verdict.base.label == "correct~base"


@pytest.mark.parametrize("broken", ["raise RuntimeError('once')", "raise MemoryError", "os.kill(os.getpid(), 9)"])
def test_a_base_that_fails_once_hides_nothing(tmp_path: Path, made: Callable[..., Overlay], broken: str) -> None:
    base = made("flaky", "1.6.1")
    module = base.path / "torch_pruning" / "__init__.py"
    module.write_text("import os\n" + module.read_text().replace("raise RuntimeError('now and then')", broken))
    base = with_digest(base)
    verdict = gated(tmp_path, base, made("wrong-heads"), allow_api=("*",))
    assert (changes(verdict)[ISSUE_410], verdict.exit_code) == (Change.FLAKY, ExitCode.INDETERMINATE)


def test_a_candidate_that_claims_to_be_older(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its version never promised is not run on it; that is no way to pass."""
    isomorphic = next(cell for cell in default_cells() if cell.config.isomorphic)
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [isomorphic])
    verdict = gated(tmp_path, made("correct", "1.6.1"), made("thaws", "1.3.0"))
    assert (changes(verdict)[isomorphic.id], verdict.exit_code) == (Change.INDETERMINATE, ExitCode.INDETERMINATE)


def test_a_version_that_is_taken(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("chatty", "1.6.1")
    assert "has other code" in gated(tmp_path, base, candidate).ending.doubts[0]
    (candidate.path / "torch_pruning" / "__init__.py").write_text(f"{miniatures.CORRECT}\n# other\n")
    candidate = with_digest(candidate)
    assert gated(tmp_path, base, candidate).exit_code is ExitCode.INDETERMINATE
    assert gated(tmp_path, base, candidate, same_version=True).exit_code is ExitCode.CLEAN


def test_a_version_that_goes_back(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("chatty", "1.6.0")
    (candidate.path / "torch_pruning" / "__init__.py").write_text(f"{miniatures.CORRECT}\n# other\n")
    candidate = with_digest(candidate)
    assert "which is older than 1.6.1" in gated(tmp_path, base, candidate).ending.doubts[0]
    assert gated(tmp_path, base, candidate, same_version=True).exit_code is ExitCode.CLEAN


def test_a_cell_that_uses_what_is_meant_to_go(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it fails is no regression then; that another does, is."""
    named = known_cells()["vit-local-prunenum-keepdims-heads1of3-chan1of2-steps1-by_l1"]
    named = replace(named, config=replace(named.config, importance=Criterion.GROUP_NORM))
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [CELLS[0], named])
    base, candidate = made("correct", "1.6.1"), made("no-groupnorm")
    with (base.path / "torch_pruning" / "__init__.py").open("a") as module:
        module.write("GroupNormImportance = importance.GroupNormImportance\n")
    base = with_digest(base)
    for allowed, change, code in (
        ((), Change.REGRESSED, ExitCode.REGRESSION),
        (("GroupNormImportance",), Change.NOT_COMPARED, ExitCode.CLEAN),
        (("SomethingElse",), Change.REGRESSED, ExitCode.REGRESSION),
    ):
        verdict = gated(tmp_path, base, candidate, allow_api=allowed)
        assert (changes(verdict)[named.id], verdict.exit_code) == (change, code)
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: CELLS)
    verdict = gated(tmp_path, base, made("no-groupnorm-wrong"), allow_api=("GroupNormImportance",))
    assert (changes(verdict)[ISSUE_410], verdict.exit_code) == (Change.REGRESSED, ExitCode.REGRESSION)


def test_a_parameter_of_another_class_pardons_nothing(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one of its name is meant to go elsewhere says nothing of MetaPruner's."""
    base, candidate = made("correct", "1.6.1"), made("wrong-heads")
    for overlay, text in ((base, "head_pruning_ratio, other"), (candidate, "other")):
        with (overlay.path / "torch_pruning" / "__init__.py").open("a") as module:
            module.write(f"class Another:\n    def __init__(self, {text}): pass\n")
    base, candidate = (with_digest(o) for o in (base, candidate))
    verdict = gated(tmp_path, base, candidate, allow_api=("head_pruning_ratio",))
    assert [broken.allowed for broken in verdict.api_breaks if broken.removed] == [True]
    assert (changes(verdict)[ISSUE_410], verdict.exit_code) == (Change.REGRESSED, ExitCode.REGRESSION)


def recalled(tmp_path: Path, base: Overlay, candidate: Overlay) -> list[bool]:
    """Of each row as it is reported: whether it was looked up."""
    wanted, watcher = gate.request(base, candidate), Noted()
    with Writer(tmp_path / f"{time.monotonic_ns()}.jsonl", (wanted.base, wanted.candidate)) as writer:
        gate.run_both(wanted, writer, watcher)
    return [row.seen.recalled for row in watcher.rows]


def test_a_second_run_runs_nothing(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cells of each build, and one that got worse once more; unless what is kept may be forged."""
    base, candidate = made("correct", "1.6.1"), made("wrong-heads")
    assert recalled(tmp_path, base, candidate) == [False] * 5
    assert recalled(tmp_path, base, candidate) == [True] * 5
    monkeypatch.setattr("headcount.isolation.landlock.version", lambda: 0)
    assert recalled(tmp_path, base, candidate) == [False] * 5


def test_a_build_is_not_compared_with_what_it_was(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    """Against itself it is run anew, however often."""
    build = made("correct")
    recalled(tmp_path, build, build)
    assert recalled(tmp_path, build, build) == [True, True, False, False]


def test_what_failed_in_passing_is_run_again(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    """Of a base, each time; of a candidate, until it repeats: neither is believed for having been seen once."""
    passing = Observation(Ending.RAISED, Phase.STEP, Failure("OSError", "[Errno 5] Input/output error", ""))
    cell = next(cell for cell in CELLS if cell.id == ISSUE_410)
    correct, wrong, other = made("correct", "1.6.1"), made("wrong-heads"), made("desync")
    with Cache() as cache:
        for build, alone in ((correct, False), (correct, True), (other, False)):
            cache.put(build, cell, passing, alone=alone)
    first, second = (changes(gated(tmp_path, correct, wrong))[ISSUE_410] for _ in range(2))
    assert (first, second) == (Change.FLAKY, Change.REGRESSED)
    # A candidate that, run again, fails as its base does has not got worse.
    older = miniatures.build(tmp_path / "older", "desync")
    (older.path / "torch_pruning" / "__init__.py").write_text(f"{miniatures.source('desync')}# older\n")
    older = with_digest(older)
    first, second = (changes(gated(tmp_path, older, other))[ISSUE_410] for _ in range(2))
    assert (first, second) == (Change.FLAKY, Change.STILL_FAILING)


def test_what_was_flaky_once_is_not_believed_for_one_pass(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It passes as long as a process has run nothing else, and failed in an earlier run."""
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [known_cells()[ISSUE_410]])
    base, candidate = made("correct", "1.6.1"), made("flaky")
    first = gated(tmp_path, base, candidate)
    assert (changes(first)[ISSUE_410], first.exit_code) == (Change.STILL_OK, ExitCode.CLEAN)
    with Cache() as cache:
        cache.doubt(candidate, known_cells()[ISSUE_410])
        cache.doubt(base, known_cells()[ISSUE_410])
    for _ in range(2):
        verdict = gated(tmp_path, base, candidate)
        assert (changes(verdict)[ISSUE_410], verdict.exit_code) == (Change.FLAKY, ExitCode.INDETERMINATE)
        assert [doubt for doubt in verdict.ending.doubts if re.search(r"fails [1-8] of 8 times in", doubt)]


@pytest.mark.parametrize("message", ["DefaultCPUAllocator: can't allocate memory", "could not create a primitive"])
def test_a_machine_that_fails_both_hides_nothing(tmp_path: Path, made: Callable[..., Overlay], message: str) -> None:
    """It is no failure of the build's that both fail for want of memory."""
    base, candidate = made("crash-step", "1.6.1"), made("no-memory")
    for overlay in (base, candidate):
        module = overlay.path / "torch_pruning" / "__init__.py"
        module.write_text(
            f"{miniatures.CORRECT}\ndef step(*_, **__): raise RuntimeError({message!r})\nMetaPruner.step = step"
        )
    base, candidate = (with_digest(o) for o in (base, candidate))
    verdict = gated(tmp_path, base, candidate, same_version=True)
    assert (changes(verdict)[ISSUE_410], verdict.exit_code) == (Change.INDETERMINATE, ExitCode.INDETERMINATE)


def test_a_candidate_that_hangs_everywhere_is_given_up(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = list(default_cells())[:6]  # one part: one process runs them all
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: every)
    monkeypatch.setattr("headcount.canary.Engine", partial(Engine, cell_timeout=1.0))
    verdict = gated(tmp_path, made("correct", "1.6.1"), made("hang"))
    assert gate.counted(verdict.differences) == {Change.REGRESSED: 3, Change.INDETERMINATE: 3}
    assert verdict.exit_code is ExitCode.REGRESSION


def shards(tmp_path: Path, base: Overlay, candidate: Overlay, parts: Sequence[tuple[int, int]]) -> list[Path]:
    return [gate_file(tmp_path, base, candidate, shard=shard) for shard in parts]


def test_each_cell_is_in_one_shard(made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: EVERY)
    build = made("correct")
    parts = [gate.cells(gate.request(build, build, shard=(number, 3))) for number in (1, 2, 3)]
    every = [cell for part in parts for cell in part]
    assert len(every) == len(set(every)) == len(default_cells()) + 1
    assert gate.cells(gate.request(build, build, seed=1)) != gate.cells(gate.request(build, build))


def test_what_a_known_defect_hides_is_found(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    """Both builds fail; copies of them without the defect do not fail alike."""
    base, candidate = made("crash-step", "1.6.1"), made("no-memory")
    (candidate.path / "torch_pruning" / "__init__.py").write_text(f"{miniatures.source('crash-step')}# other\n")
    candidate = with_digest(candidate)
    hidden = gated(tmp_path, base, candidate, same_version=True)
    assert hidden.exit_code is ExitCode.CLEAN
    mended = (made("correct", "1.6.1"), made("wrong-heads"))
    verdict = gated(tmp_path, base, candidate, same_version=True, mended=mended)
    assert [(d.cell, d.mended) for d in verdict.worse] == [(ISSUE_410, True)]
    assert what(verdict.worse[0]).endswith("it is seen on copies in which they are mended")
    assert verdict.exit_code is ExitCode.REGRESSION
    same = gated(tmp_path, base, candidate, same_version=True, mended=(mended[0], replace(mended[0], label="copy")))
    assert same.exit_code is ExitCode.CLEAN


def test_shards_are_as_good_as_one(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, candidate = made("correct", "1.6.1"), made("wrong-heads")
    whole = gated(tmp_path, base, candidate)
    one, two = shards(tmp_path, base, candidate, [(1, 2), (2, 2)])
    merged = gate.summed_up([results.read(one), results.read(two)])
    assert changes(merged) == changes(whole)
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: [*CELLS, matrix_cells.ISSUE_410])
    more = gate.summed_up([results.read(one), results.read(two)])
    assert changes(more)[matrix_cells.ISSUE_410.id] is Change.INDETERMINATE  # it was lost on the way
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: CELLS)
    (tmp_path / "cut.jsonl").write_text("\n".join(two.read_text().splitlines()[:-1]) + "\n")
    for files, says in (
        ([one], "shard 2 of 2 is missing"),
        ([one, two, two], "is in two of the results"),
        ([one, tmp_path / "cut.jsonl"], "are cut off"),
        ([one, *shards(tmp_path, base, candidate, [(2, 3)])], "different numbers of shards"),
        ([*shards(tmp_path, made("flaky", "1.6.1"), candidate, [(1, 2)]), two], "different builds"),
    ):
        with pytest.raises(UsageError, match=says):
            gate.summed_up([results.read(path) for path in files])


def test_results_of_the_matrix_are_no_gate_s(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    with Writer(tmp_path / "matrix.jsonl", [made("correct")]):
        pass
    with pytest.raises(UsageError, match="no results of a gate"):
        gate.summed_up([results.read(tmp_path / "matrix.jsonl")])
