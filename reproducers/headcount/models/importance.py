"""Synthetic importance: which heads and channels must go is known beforehand, and no two that compete tie."""

import math
from bisect import bisect
from collections.abc import Mapping
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
        for layer, levels in enumerate(head_levels(model.block_heads))
    )


def _levels(count: int, spread: float) -> tuple[float, ...]:
    """`count` levels by one constant ratio, the last `spread` times the first, with mean 1."""
    raw = [spread ** (rank / max(count - 1, 1)) for rank in range(count)]
    return tuple(level * count / sum(raw) for level in raw)


@cache
def head_levels(block_heads: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
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
def synthetic_channels(model: Model) -> Mapping[str, tuple[float, ...]]:
    """Return dimension -> importance of each channel, as a factor on its squared weights: `width`, `mlp.0`, `dims.0`.

    No dimension spreads as another does: criteria divide by a dimension's mean, and equal spreads would tie then.
    """
    sizes = {**model.widths, **model.reduced}
    sizes |= {f"mlp.{block}": model.mlp_of(block) for block in range(model.layers)}
    sizes |= model.pooled
    # One nn.MultiheadAttention is as wide as the residual stream, so its head dims go in all blocks at once.
    shared = model.traits.uses_multihead_attention
    sizes |= {f"dims.{block}": model.head_dim for block in range(1 if shared else model.layers)}
    found = dict(zip(sizes, channel_levels(tuple(sizes.values())), strict=True))
    found |= {f"dims.{block}": found["dims.0"] for block in range(model.layers) if shared}
    # A criterion that does not look into that layer ranks its heads by the width: each head's part is a little larger.
    width = tuple(level * (1 + head / 100) for head in range(model.heads) for level in found["dims.0"])
    return found | ({"width": width} if shared else {})


@cache
def channel_levels(sizes: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Each dimension's levels, shuffled. Their spreads are from 4 to 6, and nudged as those of layers are."""
    found, taken = [], {power: list[float]() for power in _POWERS}
    few = sum(sizes) < _MANY
    for salt, size in enumerate(sizes):
        spreads = [4 * 1.5 ** ((salt * _GOLDEN + nudge * 0.11) % 1) for nudge in range(9 if few else 1)]
        candidates = [_levels(size, spread) for spread in spreads]
        levels = max(candidates, key=lambda levels: _least_clearance(levels, taken)) if few else candidates[0]
        for power in _POWERS if size > 1 and few else ():  # the only channel of a dimension never goes
            taken[power] = sorted((*taken[power], *_scores(levels, power)))
        found.append(tuple(levels[rank] for rank in shuffled(size, salt)))
    return tuple(found)


#: Multiples of it lie far from each other, without their whole parts.
_GOLDEN = (math.sqrt(5) - 1) / 2

#: Criteria compare squared weights, or weights.
_POWERS = (1, 0.5)

#: So many channels lie too close for a nudge to matter, and would take long.
_MANY = 500


def _scores(levels: tuple[float, ...], power: float) -> list[float]:
    """Return what a criterion makes of levels: a power of them, by its mean."""
    raised = [level**power for level in levels]
    return [value * len(raised) / sum(raised) for value in raised]


def _least_clearance(levels: tuple[float, ...], taken: Mapping[float, list[float]]) -> float:
    return min(_clearance(tuple(_scores(levels, power)), others) for power, others in taken.items())


def shuffled(size: int, salt: int) -> tuple[int, ...]:
    """A permutation of `range(size)` that is the same on every machine and Python."""
    return tuple(sorted(range(size), key=lambda i: ((i + 1) * 2654435761 + (salt + 1) * 40503) % 4294967291))
