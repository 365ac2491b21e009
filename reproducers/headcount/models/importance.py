"""Synthetic importance: which heads and channels must go is known beforehand, and no two that compete tie."""

import math
from bisect import bisect
from functools import cache

from headcount.models.families import Model

#: The least important head's share of the most important one's. Wide enough that the ranking of
#: synthetic importance survives every criterion's normalisation.
SYNTHETIC_RANGE = 64.0


@cache
def synthetic_heads(model: Model) -> tuple[tuple[float, ...], ...]:
    """Return the importance of each head, [layer][head], as a factor on its squared weights.

    Every layer's mean is 1: criteria divide by it, and the ranking over all layers must survive
    that. But the layers spread unlike each other, the first the most, so that the least important
    heads of all are not the least important of each: global pruning differs from local.
    """
    return tuple(
        tuple(levels[i] for i in shuffled(len(levels), salt=layer))
        for layer, levels in enumerate(_layers(model.block_heads))
    )


def _levels(count: int, spread: float) -> tuple[float, ...]:
    """`count` levels by one constant ratio, the last `spread` times the first, with mean 1."""
    raw = [spread ** (rank / max(count - 1, 1)) for rank in range(count)]
    return tuple(level * count / sum(raw) for level in raw)


@cache
def _layers(block_heads: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Each layer's levels. Their spread is `SYNTHETIC_RANGE`, then about its square root, its cube root, and so on.

    Each spread is nudged until none of its levels comes close to one of the layers before.
    """
    chosen: list[tuple[float, ...]] = []
    for layer, heads in enumerate(block_heads):
        taken = sorted(level for levels in chosen for level in levels)
        candidates = [
            _levels(heads, SYNTHETIC_RANGE ** (1 / (layer + 1) * (1 + nudge / 100)))
            for nudge in range(30 if taken else 1)
        ]
        chosen.append(max(candidates, key=lambda levels: _clearance(levels, taken)))
    return tuple(chosen)


def _clearance(levels: tuple[float, ...], taken: list[float]) -> float:
    """The smallest ratio between a level and one that is taken; these are sorted."""
    neighbours = ((level, other) for level in levels for other in taken[max(bisect(taken, level) - 1, 0) :][:2])
    return min((max(pair) / min(pair) for pair in neighbours), default=math.inf)


@cache
def synthetic_channels(size: int, salt: int) -> tuple[float, ...]:
    """Return the importance of each of `size` channels that compete: factors from 1 to 4, shuffled."""
    return tuple(4.0 ** (rank / max(size - 1, 1)) for rank in shuffled(size, salt))


def shuffled(size: int, salt: int) -> tuple[int, ...]:
    """A permutation of `range(size)` that is the same on every machine and Python."""
    return tuple(sorted(range(size), key=lambda i: ((i + 1) * 2654435761 + (salt + 1) * 40503) % 4294967291))
