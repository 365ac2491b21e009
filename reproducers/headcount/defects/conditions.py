"""Conditions on a call, by name: what must hold for a defect to show. Each is one plain fact, to be read aloud."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

from headcount.matrix import Cell, Criterion, Pruner, Second
from headcount.oracle.expectation import keeps_width, prunes_heads


@dataclass(frozen=True)
class Condition:
    """A fact about a call, with its name."""

    name: str
    holds: Callable[[Cell], bool]

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(f"{self.name}, {other.name}", lambda cell: self.holds(cell) and other.holds(cell))

    def __or__(self, other: "Condition") -> "Condition":
        return Condition(f"{self.name} or {other.name}", lambda cell: self.holds(cell) or other.holds(cell))


def criterion(*criteria: Criterion) -> Condition:
    """Return whether importance is one of these."""
    return Condition(f"importance {' or '.join(criteria)}", lambda cell: cell.config.importance in criteria)


def families(name: str, *members: str) -> Condition:
    """Return whether the model is of one of these families; the name says what they have in common."""
    return Condition(name, lambda cell: cell.model.family in members)


def _floats_miss(cell: Cell) -> bool:
    """Return whether a count of heads times the ratio is rounded to another whole number in floats."""
    ratio, counts = cell.config.head_pruning_ratio, (*cell.model.block_heads, sum(cell.model.block_heads))
    products = [(count * share, count * float(share)) for count in counts for share in (ratio, 1 - ratio)]
    products += [(count * (1 - ratio), count * (1 - float(ratio))) for count in counts]
    return any(rounding(exact) != rounding(close) for exact, close in products for rounding in (floor, ceil))


LOCAL = Condition("local pruning", lambda cell: not cell.config.global_pruning)
GLOBAL = Condition("global pruning", lambda cell: cell.config.global_pruning)
PRUNES_HEADS = Condition("heads are pruned", lambda cell: prunes_heads(cell.config))
PRUNES_HEAD_DIMS = Condition("head dims are pruned", lambda cell: cell.config.prune_head_dims)
KEEPS_HEAD_DIMS = Condition("head dims are kept", lambda cell: not cell.config.prune_head_dims)
PRUNES_CHANNELS = Condition("channels are pruned", lambda cell: cell.config.pruning_ratio > 0)
NO_CHANNELS = Condition("pruning_ratio is 0", lambda cell: cell.config.pruning_ratio == 0)
PRUNES_WIDTH = Condition(
    "the width is pruned", lambda cell: cell.config.pruning_ratio > 0 and not keeps_width(cell.config)
)
KEEPS_WIDTH = Condition("what writes the width is ignored", lambda cell: keeps_width(cell.config))
SEVERAL_STEPS = Condition("several steps", lambda cell: cell.config.iterative_steps > 1)
ONE_SHOT = Condition("a scheduler that takes all in one step", lambda cell: cell.config.one_shot)
HEAD_RATIO_DICT = Condition("head_pruning_ratio_dict", lambda cell: bool(cell.config.head_pruning_ratio_dict))
RATIO_DICT = Condition("pruning_ratio_dict", lambda cell: bool(cell.config.pruning_ratio_dict))
MAXIMUM = Condition("a maximum below the ratio", lambda cell: cell.config.max_pruning_ratio < cell.config.pruning_ratio)
ROUNDS = Condition("round_to", lambda cell: cell.config.round_to is not None)
ISOMORPHIC = Condition("isomorphic", lambda cell: cell.config.isomorphic)
FROZEN = Condition("frozen weights", lambda cell: cell.config.frozen)
TRAINING = Condition("a model in training mode", lambda cell: cell.config.training)
SECOND_MODEL = Condition("a second pruner on another model", lambda cell: cell.config.second is Second.OTHER)
SPARSE = Condition("a pruner that makes weights sparse", lambda cell: cell.config.pruner is not Pruner.META)
FLOATS_MISS = Condition("a number of heads that floats get wrong", _floats_miss)
LESS_THAN_A_HEAD = Condition(
    "less than one head should be left", lambda cell: cell.model.heads * (1 - cell.config.head_pruning_ratio) < 1
)
GROUPED_QUERIES = Condition("grouped queries", lambda cell: cell.model.traits.queries_per_kv > 1)
MULTIHEAD = Condition("nn.MultiheadAttention", lambda cell: cell.model.traits.uses_multihead_attention)
TABLES = Condition("a table for each head", lambda cell: cell.model.traits.relative_position_bias)
STAGES = Condition("several stages", lambda cell: cell.model.stages > 1)
SPATIAL_REDUCTION = Condition("keys read through a convolution", lambda cell: bool(cell.model.reduced))
CLASSIFIER = Condition("a classifier", lambda cell: cell.model.labels > 0)
