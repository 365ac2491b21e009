"""Laws of the minimiser, against failures whose smallest cell is known beforehand."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from headcount.matrix import Cell, Config, Criterion
from headcount.matrix.cells import default_cells
from headcount.models import Model
from headcount.reproduce.minimise import minimise, simpler, simpler_models

CELLS = st.sampled_from([cell for cell in default_cells() if cell.model.family == Model.family and cell.model.labels])

#: What a defect may need, and how the smallest cell meets it.
NEEDS: dict[str, tuple[Callable[[Cell], bool], Callable[[Cell], Cell]]] = {
    "heads": (lambda c: c.model.heads >= 6, lambda c: replace(c, model=replace(c.model, heads=6))),
    "layers": (lambda c: c.model.layers >= 2, lambda c: replace(c, model=replace(c.model, layers=2))),
    "global": (lambda c: c.config.global_pruning, lambda c: with_config(c, global_pruning=True)),
    "steps": (lambda c: c.config.iterative_steps >= 2, lambda c: with_config(c, iterative_steps=2)),
    "prunes": (
        lambda c: c.config.prune_num_heads and c.config.head_pruning_ratio > 0,
        lambda c: with_config(c, prune_num_heads=True, head_pruning_ratio=Fraction(1, 2)),
    ),
    "no-channels": (lambda c: c.config.pruning_ratio == 0, lambda c: with_config(c, pruning_ratio=Fraction(0))),
    "lamp": (
        lambda c: c.config.importance is Criterion.LAMP,
        lambda c: with_config(c, importance=Criterion.LAMP),
    ),
}

SMALLEST = Cell(Model(layers=1, heads=2, head_dim=2, mlp=8, labels=2), Config())


def with_config(cell: Cell, **changes: object) -> Cell:
    return replace(cell, config=replace(cell.config, **changes))  # type: ignore[arg-type]


@st.composite
def failures(draw: st.DrawFn) -> tuple[Cell, Callable[[Cell], bool], Cell]:
    """A cell, a defect that it shows, and the smallest cell that shows it."""
    cell = draw(CELLS)
    met = sorted(name for name, (shown, _) in NEEDS.items() if shown(cell))
    needed = draw(st.lists(st.sampled_from(met), unique=True)) if met else []
    # What is smaller already stays.
    names = ("heads", "head_dim", "mlp")
    sizes = {name: min(getattr(SMALLEST.model, name), getattr(cell.model, name)) for name in names}
    smallest = replace(SMALLEST, model=replace(SMALLEST.model, **sizes))
    for name in needed:
        smallest = NEEDS[name][1](smallest)
    return cell, lambda c: all(NEEDS[name][0](c) for name in needed), smallest


def test_a_bare_model_gets_its_classifier_where_that_shows_the_same() -> None:
    bare = replace(SMALLEST, model=replace(SMALLEST.model, labels=0))
    assert minimise(bare, lambda _: True, simpler) == SMALLEST
    assert minimise(bare, lambda cell: cell.model.labels == 0, simpler) == bare
    headless = Cell(Model("yolos", layers=1, heads=2, head_dim=2, mlp=8, labels=0), Config())
    assert minimise(headless, lambda _: True, simpler) == headless


@given(failures())
def test_the_smallest_failing_cell_is_found(case: tuple[Cell, Callable[[Cell], bool], Cell]) -> None:
    """Law: where a failure needs several things at once and nothing else, exactly these are left."""
    cell, fails, smallest = case
    assert minimise(cell, fails, simpler) == smallest


@given(CELLS, st.integers(0, 2**32 - 1))
def test_what_is_left_is_minimal(cell: Cell, salt: int) -> None:
    """Law: whatever fails, and however oddly, no simpler neighbour of what is left does."""

    def fails(candidate: Cell) -> bool:
        return candidate == cell or crc32(f"{salt} {candidate.id}".encode()) % 3 == 0

    left = minimise(cell, fails, simpler)
    assert fails(left)
    assert not any(fails(candidate) for candidate in simpler(left))


@given(failures())
def test_each_step_fails_and_is_told(case: tuple[Cell, Callable[[Cell], bool], Cell]) -> None:
    """Law: the steps lead from the first cell to the last, and each fails."""
    cell, fails, _ = case
    steps: list[tuple[Cell, Cell]] = []
    left = minimise(cell, fails, simpler, lambda before, after: steps.append((before, after)))
    assert [before for before, _ in steps] + [left] == [cell] + [after for _, after in steps]
    assert all(fails(after) for _, after in steps)


@given(CELLS)
def test_a_smaller_model_has_every_layer_that_the_call_names(cell: Cell) -> None:
    """Law: no simplification names a block that is not there, and none changes the call and the model at once."""
    for smaller in (*simpler(cell), *simpler_models(cell)):
        config = smaller.config
        scopes = [scope for scope, _ in (*config.head_pruning_ratio_dict, *config.pruning_ratio_dict)]
        blocks = [name.partition(".")[2] for scope in (*scopes, config.ignored_layers) for name in scope]
        assert all(int(block or 0) < smaller.model.layers for block in blocks)
        assert (smaller.model == cell.model) != (smaller.config == cell.config)
