"""Which changes ran: by probes in a copy of a build, which does what the build does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

import miniatures
from headcount import gate, results
from headcount.builds import Overlay
from headcount.errors import ExitCode
from headcount.gate import Fate, GateVerdict, exercise, probes, source
from headcount.gate.source import Kind
from headcount.matrix.cells import default_cells
from helpers import ISSUE_410, PLAIN, gate_file, gated, with_digest

CODE = '''"""It has a docstring."""
from __future__ import annotations

LIMIT = 2
TABLE = {}


class Base:
    rate = 3


class Pruner(Base):
    """A pruner."""

    def step(self, ratio=0.5, found={}, *, heads=None):
        """Prune."""
        try:
            if ratio > LIMIT:
                raise ValueError(ratio)
            elif heads:
                return self.rate
        except ValueError:
            return None
        return len(found)
'''


def loaded(copy: Overlay) -> tuple[ModuleType, set[int]]:
    """A probed module, run in this process, and what it notes."""
    notes, module = ModuleType("notes"), ModuleType("pruner")
    text = (copy.path / "torch_pruning" / "pruner.py").read_text()
    exec((copy.path / "torch_pruning" / "_headcount_probes.py").read_text(), vars(notes))  # noqa: S102
    head = "from torch_pruning._headcount_probes import RAN as _headcount_ran, given as _headcount_notes, "
    assert head in text
    names = {
        "_headcount_ran": notes.RAN,
        "_headcount_notes": notes.given,
        "_headcount_notes_of": vars(notes)["_Default"],
    }
    vars(module).update(names)
    exec("\n".join(line for line in text.splitlines() if head not in line), vars(module))  # noqa: S102
    return module, notes.RAN


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Overlay:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    overlay = miniatures.build(tmp_path / "builds", "correct")
    (overlay.path / "torch_pruning" / "pruner.py").write_text(CODE)
    return with_digest(overlay)


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        ({}, {15, 17, 18, 20, 24}),
        ({"heads": 1}, {15, 17, 18, 20, 21}),
        ({"ratio": 3}, {15, 17, 18, 19, 22, 23}),
    ],
)
def test_statements_say_that_they_ran(build: Overlay, call: Mapping[str, int], lines: set[int]) -> None:
    module, ran = loaded(probes.probed(build))
    whole = source.source(build)
    assert ran == set()
    module.Pruner().step(**call)
    assert {whole.pieces[number].first for number in ran} == lines


def test_a_default_runs_where_a_call_leaves_it_out(build: Overlay) -> None:
    whole = source.source(build)
    defaults = [piece for piece in whole.pieces if piece.kind is Kind.DEFAULT]
    module, ran = loaded(probes.probed(build, defaults))
    assert module.Pruner().step(0.5, heads=None) == 0
    assert [whole.pieces[number].names for number in ran if whole.pieces[number].kind is Kind.DEFAULT] == [("found",)]
    assert module.Pruner().step(found=[1]) == 1
    inside = {piece for piece in defaults if piece.place[0].endswith("pruner.py")}
    assert {p for n in ran if (p := whole.pieces[n]).kind is Kind.DEFAULT} == inside


def test_where_defaults_are_not_noted_they_run_with_their_function(build: Overlay) -> None:
    whole = source.source(build)
    defaults = [piece for piece in whole.pieces if piece.kind is Kind.DEFAULT and piece.place[1] == "Pruner.step"]
    (entry,) = {*exercise.masks(whole, defaults, noted=False)}
    assert [p.kind for n, p in enumerate(whole.pieces) if entry >> n & 1] == [Kind.SIGNATURE]


def test_what_is_outside_of_functions_runs_where_it_is_read(build: Overlay) -> None:
    whole = source.source(build)
    inside = [piece for piece in whole.pieces if piece.place[0].endswith("pruner.py")]
    masks = dict(zip(inside, exercise.masks(whole, inside), strict=True))
    lines = {
        piece.first: {whole.pieces[n].first for n in range(len(whole.pieces)) if mask >> n & 1}
        for piece, mask in masks.items()
        if piece.kind in (Kind.OUTER, Kind.CLASS)
    }
    assert lines[4] == {18}  # LIMIT
    assert lines[5] == set()  # nobody reads TABLE
    assert lines[9] == {21}  # rate
    assert lines[12] == {15, 17, 18, 19, 20, 21, 22, 23, 24}  # the class, in its methods


def changed(base: Overlay, old: str, new: str) -> Overlay:
    """A fake build with a part of its code changed."""
    path = base.path / "torch_pruning" / "__init__.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return with_digest(base)


def fates(verdict: GateVerdict) -> list[tuple[Fate, bool]]:
    return [(change.fate, change.gone) for change in verdict.ending.exercised]


def test_a_gate_says_what_became_of_each_change(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    base = made("correct", "1.6.1")
    harmless = miniatures.build(tmp_path / "harmless", "correct")
    harmless = changed(harmless, "\ndef state_dict", "\ndef nobody_calls():\n    return 1\n\n\ndef state_dict")
    verdict = gated(tmp_path, base, harmless, same_version=True)
    assert verdict.exit_code is ExitCode.CLEAN
    assert [(c.function, c.fate) for c in verdict.ending.exercised if c.function == "nobody_calls"] == [
        ("nobody_calls", Fate.NOT_RUN)
    ] * 2
    assert (
        gated(tmp_path, base, harmless, same_version=True, require_exercised=True).exit_code is ExitCode.INDETERMINATE
    )
    worse = gated(tmp_path, base, made("wrong-heads"))
    assert Fate.DIFFERENT in {fate for fate, _ in fates(worse)}
    assert ISSUE_410 in {id_ for change in worse.ending.exercised for id_ in change.cells}


def test_the_same_code_needs_no_look(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    base = made("correct", "1.6.1")
    same = changed(miniatures.build(tmp_path / "same", "correct"), "class MetaPruner", "# a comment\nclass MetaPruner")
    verdict = gated(tmp_path, base, same, same_version=True, budget=60.0)
    assert (verdict.ending.exercised, verdict.ending.traced, verdict.ending.draws) == ((), (), 0)
    assert verdict.exit_code is ExitCode.CLEAN


def test_a_candidate_that_behaves_where_it_is_looked_at_is_in_doubt(
    tmp_path: Path, made: Callable[..., Overlay]
) -> None:
    """It finds the probes, and does something else with them than without."""
    base = made("correct", "1.6.1")
    sly = changed(
        made("crash-step"),
        "class MetaPruner",
        "import importlib.util as u\n\nLOOKED_AT = u.find_spec('torch_pruning._headcount_probes')\n\nclass MetaPruner",
    )
    path = sly.path / "torch_pruning" / "__init__.py"
    path.write_text(path.read_text() + "\n\nif LOOKED_AT:\n    MetaPruner.step = _Correct.step\n")
    verdict = gated(tmp_path, base, with_digest(sly))
    assert verdict.exit_code is not ExitCode.CLEAN


def test_random_calls_find_what_no_cell_shows(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    """They are drawn until the budget ends, or so many; the same ones for a seed."""
    base = made("correct", "1.6.1")
    worse = made("wrong-heads")
    verdict = gated(tmp_path, base, worse, draws=16)
    assert verdict.ending.draws == 16
    assert verdict.ending.drawn == gated(tmp_path, base, worse, draws=16).ending.drawn
    assert verdict.ending.drawn != gated(tmp_path, base, worse, draws=16, seed=2).ending.drawn
    assert {d.cell for d in verdict.worse} & {*verdict.ending.drawn}
    assert {d.cell for d in verdict.differences} == {PLAIN, ISSUE_410, *verdict.ending.drawn}


def test_shards_say_together_what_ran(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("wrong-heads")
    parts = [results.read(gate_file(tmp_path, base, candidate, shard=(k, 2))) for k in (1, 2)]
    merged, whole = gate.summed_up(parts), gated(tmp_path, base, candidate)
    assert fates(merged) == fates(whole)
    assert [c.failure for c in merged.causes] == [c.failure for c in whole.causes]


def test_calls_that_are_unlike_are_chosen() -> None:
    cells = default_cells()
    chosen = exercise.spread(cells, 10)
    assert len({*chosen}) == 10
    assert len({cell.model.family for cell in chosen}) > 3
    assert exercise.spread(cells[:3], 10) == exercise.spread(cells[:3], 3)
    assert PLAIN in {cell.id for cell in cells}
