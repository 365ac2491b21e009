"""Synthetic importance: which heads and channels must go is known beforehand, and no two that compete tie."""

import math
from bisect import bisect
from functools import cache

from headcount.models.model import Model

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
        tuple(_levels(heads, spread)[i] for i in shuffled(heads, salt=layer))
        for layer, (heads, spread) in enumerate(zip(model.block_heads, _spreads(model.block_heads), strict=True))
    )


def _levels(count: int, spread: float) -> tuple[float, ...]:
    """`count` levels by one constant ratio, the last `spread` times the first, with mean 1."""
    raw = [spread ** (rank / max(count - 1, 1)) for rank in range(count)]
    return tuple(level * count / sum(raw) for level in raw)


@cache
def _spreads(block_heads: tuple[int, ...]) -> tuple[float, ...]:
    """Each layer's spread: `SYNTHETIC_RANGE`, then about its square root, its cube root, and so on.

    Each is nudged until none of its levels comes close to one of the layers before.
    """
    chosen: list[float] = []
    taken: list[float] = []
    for layer, heads in enumerate(block_heads):
        exponent = 1 / (layer + 1)
        nudges = [SYNTHETIC_RANGE ** (exponent * (1 + nudge / 100)) for nudge in range(30 if taken else 1)]
        best = max(nudges, key=lambda spread: _clearance(_levels(heads, spread), taken))
        chosen.append(best)
        taken = sorted((*taken, *_levels(heads, best)))
    return tuple(chosen)


def _clearance(levels: tuple[float, ...], taken: list[float]) -> float:
    """The smallest ratio between a level and one that is taken; these are sorted."""
    places = [(level, bisect(taken, level)) for level in levels]
    above = [taken[place] / level for level, place in places if place < len(taken)]
    below = [level / taken[place - 1] for level, place in places if place]
    return min(above + below, default=math.inf)


@cache
def synthetic_channels(size: int, salt: int) -> tuple[float, ...]:
    """Return the importance of each of `size` channels that compete: factors from 1 to 4, shuffled."""
    return tuple(4.0 ** (rank / max(size - 1, 1)) for rank in shuffled(size, salt))


def shuffled(size: int, salt: int) -> tuple[int, ...]:
    """A permutation of `range(size)` that is the same on every machine and Python."""
    return tuple(sorted(range(size), key=lambda i: ((i + 1) * 2654435761 + (salt + 1) * 40503) % 4294967291))
