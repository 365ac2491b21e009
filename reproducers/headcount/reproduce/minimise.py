"""Shrink a failing cell: take away what can go while it fails as it did.

It is greedy, and a pure function of what fails. Each step tries the simpler neighbours of a cell and goes to the first
that still fails, until none does. What is left is minimal: no single simplification of it fails in the same way.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from headcount.matrix import Cell, Config
from headcount.models import Model

#: Simpler values come first.
_SIMPLER: dict[str, tuple[Any, ...]] = {
    "layers": (1, 2),
    "heads": (2, 3, 4, 6, 10, 12),
    "head_dim": (2, 4, 8),
    "mlp": (8, 24, 72),
    "labels": (2, 10),
    "iterative_steps": (1, 2, 3),
    "head_pruning_ratio": (Fraction(0), Fraction(1, 2), Fraction(1, 3), Fraction(2, 3)),
    "pruning_ratio": (Fraction(1, 2), Fraction(0)),
    "round_to": (None, 2, 4),
    "ignored_layers": ((), ("residual_outputs",)),
}


def minimise(
    cell: Cell,
    fails: Callable[[Cell], bool],
    kept: Callable[[Cell, Cell], None] = lambda _before, _after: None,
    neighbours: Callable[[Cell], Iterator[Cell]] | None = None,
) -> Cell:
    """Return the cell that is left when nothing more can be taken away.

    Args:
        cell: one that fails.
        fails: whether a cell fails in the same way.
        kept: called for each step, with the cell before and after.
        neighbours: what may be taken away; `simpler` unless given.
    """
    while True:
        smaller = next((candidate for candidate in (neighbours or simpler)(cell) if fails(candidate)), None)
        if smaller is None:
            return cell
        kept(cell, smaller)
        cell = smaller


def simpler_models(cell: Cell) -> Iterator[Cell]:
    """Yield neighbours with the same call on a smaller model."""
    plain = replace(Model(), family=cell.model.family, heads=cell.model.heads)
    models = [plain] if cell.model.full_size else []
    for name in ("layers", "heads", "mlp", "head_dim", "labels"):
        models += [replace(cell.model, **{name: value}) for value in _below(name, getattr(cell.model, name))]
    yield from filter(_makes_sense, (replace(cell, model=model) for model in models))


def simpler(cell: Cell) -> Iterator[Cell]:
    """Yield every neighbour of a cell that is simpler in one respect, the largest simplification first."""
    plain = Config()
    candidates = []
    for field in fields(Config):
        value = getattr(cell.config, field.name)
        default = getattr(plain, field.name)
        values = _below(field.name, value) if field.name in _SIMPLER else [default] if value != default else []
        candidates += [replace(cell, config=replace(cell.config, **{field.name: simple})) for simple in values]
    yield from filter(_makes_sense, candidates)
    yield from simpler_models(cell)


def _below(name: str, value: Any) -> list[Any]:
    """Return values of a field that are simpler than `value`; one that is in no list is the least simple."""
    order = _SIMPLER[name]
    if value in order:
        return list(order[: order.index(value)])
    return [simple for simple in order if not (isinstance(value, int) and isinstance(simple, int) and simple >= value)]


def _makes_sense(cell: Cell) -> bool:
    """Return whether every layer that the call names is in the model."""
    config = cell.config
    scopes = [scope for scope, _ in (*config.head_pruning_ratio_dict, *config.pruning_ratio_dict)]
    names = [name for scope in (*scopes, config.ignored_layers) for name in scope]
    return all(int(name.partition(".")[2] or 0) < cell.model.layers for name in names)
