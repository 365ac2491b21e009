"""`record` refuses what is not understood, and what an oracle with a fault sees."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import record as recording
from record import RefusedError, Tokens, known_of, record, text_of

from headcount.builds import RELEASES, Overlay
from headcount.defects.expectations import FOLDER, NOT_RUN, Expectations, Token
from headcount.examine import examine
from headcount.isolation import Engine
from headcount.matrix import Cell, Config, Criterion
from headcount.models import Model
from headcount.observation import Ending, Failure, Observation
from headcount.oracle import Finding, Kind, Problem, Promise, Rule, Verdict, promises

Miniature = Callable[[str], Overlay]

RELEASE = RELEASES[-1]
PLAIN = Config()
HEADS = Config(prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=Fraction(1, 3))
OWN = replace(HEADS, head_pruning_ratio_dict=((("attention.0",), Fraction(2, 3)),))

#: Each promise -> a fake build that breaks it, and the call that shows it.
BROKEN = {
    Rule.NO_EXCEPTION: ("crash-step", HEADS),
    Rule.REPORTED_HEADS: ("desync", HEADS),
    Rule.HEAD_COUNTS: ("wrong-heads", HEADS),
    Rule.WHOLE_HEADS: ("partial-heads", HEADS),
    Rule.CHANNEL_COUNTS: ("wrong-channels", PLAIN),
    Rule.DENSE_WEIGHTS: ("altered-weight", HEADS),
    Rule.LEAST_IMPORTANT: ("wrong-selection", HEADS),
    Rule.MASKED_OUTPUT: ("wrong-output", replace(HEADS, ignored_layers=("residual_outputs",))),
    Rule.STEPS: ("wrong-heads", replace(HEADS, iterative_steps=3)),
    Rule.RATIOS: ("wrong-heads", OWN),
    Rule.SIDE_EFFECTS: ("thaws", replace(HEADS, frozen=True)),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path))


def recorded(tokens: Tokens) -> Expectations:
    return Expectations("fake", tokens)


def run(overlay: Overlay, cells: Iterable[Cell], known: Tokens | None = None, because: str = "") -> Tokens:
    found = tuple(cells)
    return record({RELEASE: overlay}, recorded(known) if known else None, because=because, cells=lambda _: found)


def seeded(rule: Rule, check: Callable[..., Iterable[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another check in the place of a promise's."""

    def swapped(stage: Iterable[Promise]) -> tuple[Promise, ...]:
        return tuple(replace(promise, check=check) if promise.rule is rule else promise for promise in stage)

    monkeypatch.setattr(promises, "STAGES", tuple(map(swapped, promises.STAGES)))
    monkeypatch.setattr(promises, "LATER", swapped(promises.LATER))


class Ended(AbstractContextManager["Ended"]):
    """Observes that each cell came to its end."""

    def __exit__(self, *_: object) -> None:
        pass

    def observe(self, _: Overlay, cells: Iterable[Cell], *, recall: bool) -> Iterator[tuple[Cell, Observation]]:
        yield from ((cell, Observation(Ending.FINISHED, recalled=recall)) for cell in cells)


def blind(*_: object) -> Iterator[Finding]:
    """See nothing."""
    yield from ()


def test_what_is_fine_is_recorded(miniature: Miniature) -> None:
    tokens = run(miniature("correct"), [Cell(Model(), PLAIN), Cell(Model(), HEADS)])
    assert [str(row[RELEASE]) for row in tokens.values()] == ["ok", "ok"]
    assert {str(row["1.3.0"]) for row in tokens.values()} == {NOT_RUN}
    assert text_of(tokens).endswith("#end\t2\n")


def test_a_known_failure_is_recorded_with_its_defect(miniature: Miniature) -> None:
    cell = Cell(Model(), replace(HEADS, importance=Criterion.GROUP_NORM))
    (row,) = run(miniature("no-groupnorm"), [cell]).values()
    assert str(row[RELEASE]) == "crash:groupnorm-gone:AttributeError@"


@pytest.mark.parametrize(("name", "config"), BROKEN.values(), ids=BROKEN)
def test_what_no_defect_explains_is_refused(miniature: Miniature, name: str, config: Config) -> None:
    """The fake build breaks the promise, and no entry matches; where one does, the release's own are those recorded."""
    cell = Cell(Model(), config)
    known = {cell.id: {RELEASE: Token("ok")}}
    with pytest.raises(RefusedError, match=r"1 cells are not recorded:\n") as raised:
        run(miniature(name), [cell], known)
    assert cell.id in str(raised.value)


@pytest.mark.parametrize(("rule", "broken"), [(r, b) for r, b in BROKEN.items() if r is not Rule.NO_EXCEPTION])
def test_a_rule_that_is_blind_is_refused(
    engine: Engine, miniature: Miniature, rule: Rule, broken: tuple[str, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded as a failure does not become fine, though the fault hides it."""
    name, config = broken
    cell = Cell(Model(), config)
    seen = examine(engine, miniature(name), cell).verdict
    known = {cell.id: {RELEASE: Token(str(seen.kind), "float-heads", seen.found)}}
    assert seen.finding is not None
    assert seen.finding.rule is rule
    seeded(rule, blind, monkeypatch)
    with pytest.raises(RefusedError):
        run(miniature(name), [cell], known)


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule is not Rule.NO_EXCEPTION])
def test_a_rule_that_sees_what_is_not_there_is_refused(
    miniature: Miniature, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sees(*_: object) -> Iterator[Finding]:
        yield Finding(rule, Kind.WRONG_SHAPE, Problem.COUNT, 0, "dims", "", (99,), (4,), 8)

    cell = Cell(Model(), replace(PLAIN, prune_num_heads=False))
    seeded(rule, sees, monkeypatch)
    for known in (None, {cell.id: {RELEASE: Token("ok")}}):
        with pytest.raises(RefusedError):
            run(miniature("correct"), [cell], known)


def test_a_crash_that_the_oracle_no_longer_sees_is_refused(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell(Model(), HEADS)
    known = {cell.id: {RELEASE: Token("crash", "float-heads", "KeyError@step")}}
    monkeypatch.setattr("record.judge", lambda *_: Verdict(Kind.OK))
    with pytest.raises(RefusedError, match="is recorded, and it is ok"):
        run(miniature("crash-step"), [cell], known)


def test_a_published_token_changes_only_with_a_reason(miniature: Miniature) -> None:
    cell = Cell(Model(), PLAIN)
    known = {cell.id: {RELEASE: Token("crash", "float-heads", "KeyError@step")}}
    with pytest.raises(RefusedError, match=r"crash:float-heads:KeyError@step is recorded, and it is ok \(--because"):
        run(miniature("correct"), [cell], known)
    tokens = run(miniature("correct"), [cell], known, because="the fake build is right")
    assert str(tokens[cell.id][RELEASE]) == "ok"


def test_two_that_match_are_told_apart_by_what_the_release_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that is new is likely to show what the one before does."""
    cell = Cell.parse("mix_ffn-local-keepnum-prunedims-heads0-chan1of2-steps2")
    crash = Failure("IndexError", "index 9 is out of bounds for dimension 0", "pruner.importance.__call__")
    monkeypatch.setattr("record.judge", lambda *_: Verdict(Kind.CRASH, failure=crash))
    monkeypatch.setattr("record.Pool", Ended)
    new = replace(cell, config=replace(cell.config, iterative_steps=3))
    shown = {"1.4.3": Token("crash", "chunk-last", "x"), "1.5.0": Token("crash", "chunk-steps", "x")}
    for known, defects in [(shown, ["chunk-last", "chunk-steps"]), ({"1.4.3": shown["1.4.3"]}, ["chunk-last"] * 2)]:
        overlays = {release: Overlay(release, Path(), release, "") for release in ("1.4.3", "1.5.0")}
        tokens = record(overlays, recorded({cell.id: known}), cells=lambda _: (new,))
        assert [tokens[new.id][release].defect for release in overlays] == defects


def test_a_failure_that_does_not_repeat_is_refused(miniature: Miniature) -> None:
    cells = [Cell(Model(), config) for config in (PLAIN, HEADS)]  # of one model: one process runs them
    with pytest.raises(RefusedError, match="run again it is another"):
        run(miniature("flaky"), cells)


def test_a_build_that_cannot_be_tested_is_refused(miniature: Miniature) -> None:
    with pytest.raises(RefusedError, match="it cannot be tested"):
        run(miniature("crash-import"), [Cell(Model(), PLAIN)])


def test_what_was_recorded_for_another_matrix_is_known(tmp_path: Path) -> None:
    """A release is added, and a cell, and a defect has another name: what is recorded stays what it is."""
    path = tmp_path / "4.0.tsv"
    assert known_of(path) is None
    path.write_text("cell\t1.3.0\t1.3.1\nvit-gone\tok\tcrash:old-name:KeyError@a:b\n#end\t1\n")
    known = known_of(path)
    assert known is not None
    assert known.transformers == "4.0"
    assert known.tokens == {"vit-gone": {"1.3.0": Token("ok"), "1.3.1": Token("crash", "old-name", "KeyError@a:b")}}


def test_a_cell_is_lost_only_with_a_reason(tmp_path: Path) -> None:
    kept = Cell(Model(), HEADS).id
    known = recorded({"vit-gone": {RELEASE: Token("ok")}, kept: {RELEASE: Token("ok")}})
    with pytest.raises(RefusedError, match=r"1 recorded cells are no longer in the matrix, vit-gone first \(--because"):
        recording.without_lost_cells(known, "")
    assert recording.without_lost_cells(known, "it tested nothing") == recorded({kept: {RELEASE: Token("ok")}})
    assert recording.without_lost_cells(None, "") is None


def test_a_catalogue_that_is_wrong_is_seen_before_anything_is_written(tmp_path: Path) -> None:
    """What counts is what would be written, not what is there."""
    (path, *_) = sorted(Path(str(FOLDER)).glob("*.tsv"))
    text = path.read_text("utf-8")
    assert list(recording.problems_with(text, path)) == []
    without = re.sub(r"\t[\w-]+:410-total-heads:[^\t\n]*", "\tok", text)
    wrong = list(recording.problems_with(without, tmp_path / path.name))
    assert any("410-total-heads: no cell shows it" in line for line in wrong)
