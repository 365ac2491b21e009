"""Shrink a failing cell: take away what can go while it fails as it did.

It is greedy, and a pure function of what fails. Each step tries the simpler neighbours of a cell and goes to the first
that still fails, until none does. What is left is minimal: no single simplification of it fails in the same way.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, TypeVar

from headcount import matrix, models
from headcount.matrix.validity import why_invalid

T = TypeVar("T")

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
    call: T,
    fails: Callable[[T], bool],
    neighbours: Callable[[T], Iterator[T]],
    kept: Callable[[T, T], None] = lambda _before, _after: None,
) -> T:
    """Return the call that is left when nothing more can be taken away: a cell, or whatever fails.

    Args:
        call: one that fails.
        fails: whether a call fails in the same way.
        neighbours: what may be taken away.
        kept: called for each step, with the call before and after.
    """
    while smaller := next(filter(fails, neighbours(call)), None):
        kept(call, smaller)
        call = smaller
    return call


def simpler_models(cell: matrix.Cell) -> Iterator[matrix.Cell]:
    """Yield neighbours with the same call on a smaller model; and of a bare one, with its classifier."""
    own = cell.model
    usual = models.small(own.family, own.heads, bare=not own.labels)
    smaller = [usual] if own.full_size else []
    if own.traits.mlp_by_width and own.mlp > own.width:
        smaller.append(replace(own, mlp=own.width))
    if own.traits.head and not own.labels:
        smaller.append(replace(own, labels=min(_SIMPLER["labels"])))
    names = ("layers", "heads", "mlp", "head_dim", "labels")
    smaller += [replace(own, **change) for change in _simplifications(own, names)]
    yield from filter(_makes_sense, (replace(cell, model=model) for model in smaller))


def simpler(cell: matrix.Cell) -> Iterator[matrix.Cell]:
    """Yield every neighbour of a cell that is simpler in one respect, the largest simplification first."""
    names = (field.name for field in fields(matrix.Config))
    configs = (replace(cell.config, **change) for change in _simplifications(cell.config, names))
    yield from filter(_makes_sense, (replace(cell, config=config) for config in configs))
    yield from simpler_models(cell)


def _simplifications(whole: models.Model | matrix.Config, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield each change of one of these fields to a simpler value. Without a list, the default alone is simpler.

    A value that is not in its list is less simple than all that are, but for larger numbers.
    """
    for name in names:
        value = getattr(whole, name)
        order = _SIMPLER.get(name, (getattr(type(whole), name), value))
        if value in order:
            order = order[: order.index(value)]
        elif isinstance(value, int):
            order = tuple(simple for simple in order if simple is None or simple < value)
        yield from ({name: simple} for simple in order)


def _makes_sense(cell: matrix.Cell) -> bool:
    """Return whether it is a call that could be made."""
    return not why_invalid(cell)
