"""The choices that the documentation leaves. Each widens the strict core, and a verdict names those that it needed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, partial
from math import ceil, floor

from headcount.matrix import Cell, Criterion
from headcount.matrix.config import Scope
from headcount.oracle import expectation as core
from headcount.oracle.expectation import Count, Counts, Expectation, kept_from, pruners, span

Also = Callable[[Cell, Count], Counts]


@dataclass(frozen=True)
class Allowance:
    """One choice.

    Attributes:
        applies: whether a call leaves it open.
        sentence: what the documentation says, and does not say.
        also: dimension -> more counts for it. `all heads` and `all channels` are totals.
        between: what lies between a total's counts is allowed, too.
        may_leave, may_refuse: further answers to the call.
    """

    name: str
    applies: Callable[[Cell], bool]
    sentence: str
    also: Mapping[str, Also] = field(default_factory=dict)
    between: bool = True
    may_leave: bool = False
    may_refuse: bool = False

    def widen(self, cell: Cell, expectation: Expectation) -> Expectation:
        """Return an expectation with this choice."""
        return replace(
            expectation,
            counts=tuple(self._widened(cell, count) for count in expectation.counts),
            may_leave=expectation.may_leave or self.may_leave,
            may_refuse=expectation.may_refuse or self.may_refuse,
        )

    def _widened(self, cell: Cell, count: Count) -> Count:
        total = "all heads" if count.scope == "heads" else "all channels"
        also = self.also.get(total if count.scope else count.dimension)
        if also is None:
            return count
        allowed = count.allowed | also(cell, count)
        return replace(count, allowed=span(allowed) if count.scope and self.between else allowed)


@cache  # every build has the same expectation
def expect(cell: Cell, without: Collection[str] = ()) -> Expectation:
    """Return what may be left of a cell's model.

    Args:
        without: names of allowances that are not granted; a frozenset.
    """
    # A nonsensical ratio is refused, or brought into range as a release does with min(ratio, 1).
    in_range = min(max(cell.config.head_pruning_ratio, Fraction(0)), Fraction(1))
    sensible = replace(cell, config=replace(cell.config, head_pruning_ratio=in_range))
    expectation = replace(core.promised(sensible), may_refuse=is_nonsense(cell))
    for allowance in applicable(cell):
        if allowance.name not in without:
            expectation = allowance.widen(sensible, expectation)
    return _with_attention_width(sensible, expectation)


@cache
def applicable(cell: Cell) -> tuple[Allowance, ...]:
    """Return the choices that a call leaves open."""
    return tuple(allowance for allowance in ALLOWANCES if allowance.applies(cell))


def is_nonsense(cell: Cell) -> bool:
    """Return whether a call asks for more heads than there are, or for fewer than none."""
    return not 0 <= cell.config.head_pruning_ratio <= 1


def _with_attention_width(cell: Cell, expectation: Expectation) -> Expectation:
    """Return it with the width that is left of attention, where one layer takes its heads' channels to be the width."""
    if not cell.model.traits.uses_multihead_attention or core.keeps_width(cell.config):
        return expectation
    left = {count.dimensions[0]: count.allowed for count in expectation.counts if not count.scope}
    widths = frozenset(h * d for b in range(cell.model.layers) for h in left[f"heads.{b}"] for d in left[f"dims.{b}"])
    counts = (replace(c, allowed=c.allowed | widths) if c.dimensions == ("width",) else c for c in expectation.counts)
    return replace(expectation, counts=tuple(counts))


# --- what a choice adds ------------------------------------------------------------------------


def _dense(_: Cell, count: Count) -> Counts:
    return frozenset({count.dense})


def _head_ratio(cell: Cell, count: Count) -> Fraction:
    """Return the ratio that a block's heads follow by themselves; 0 where they are ranked with others, or stay."""
    ranked = cell.config.global_pruning and not core.head_scope(cell.config, count.block)[0]
    return Fraction(0) if ranked else core.head_ratio(cell, count.block)


def _whole_groups(cell: Cell, count: Count) -> Counts:
    """Return counts with as many heads of queries for each of keys and values."""
    each = cell.model.traits.queries_per_kv
    left = kept_from(each, _head_ratio(cell, count), rounds=pruners(cell.config))
    return frozenset(count.dense // each * readers for readers in left)


def _off_by_groups(cell: Cell, count: Count) -> Counts:
    """Return totals that are off by less than one head for each head of keys and values."""
    slack = count.dense // cell.model.traits.queries_per_kv - len(count.dimensions)
    return span({max(min(count.allowed) - slack, 0), min(max(count.allowed) + slack, count.dense)})


def _capped_heads(cell: Cell, count: Count) -> Counts:
    """Return the counts by the maximum ratio, and all between."""
    most = cell.config.max_pruning_ratio
    capped = span(count.allowed | kept_from(count.dense, most, rounds=pruners(cell.config)))
    return capped if _head_ratio(cell, count) > most else frozenset()


def _capped_total(cell: Cell, count: Count) -> Counts:
    """Return the totals by the maximum ratio, of all heads together or of each block."""
    ratio, rounds = min(cell.config.head_pruning_ratio, cell.config.max_pruning_ratio), pruners(cell.config)
    heads = (cell.model.heads_of(block) for block in count.blocks)
    each = sum(max(kept_from(number, ratio, rounds=rounds)) for number in heads)
    return kept_from(count.dense, ratio, len(count.dimensions), rounds) | {each}


def _heads_in_layer(cell: Cell, count: Count) -> Counts:
    """Return every count up to those with which a layer has lost its maximum, if each head loses as many as it may."""
    left = sum(min(cell.model.heads_of(block), _heads_at_maximum(cell, block)) for block in count.blocks)
    return span({min(count.allowed), max(left, *count.allowed)}) if count.allowed != {count.dense} else frozenset()


def _heads_at_maximum(cell: Cell, block: int) -> int:
    """Return the heads with which a layer has lost its maximum of channels, if its heads have as few as they may."""
    size, most = cell.model.head_dim, cell.config.max_pruning_ratio
    ratio = core.channel_scope(cell.config, f"dims.{block}")[1]
    ranked = core.is_ranked_together(cell.config, f"dims.{block}") and ratio > 0
    dims = min(kept_from(size, min(most if ranked else min(ratio, most), core.ALMOST_ALL), rounds=pruners(cell.config)))
    return ceil(cell.model.heads_of(block) * size * (1 - most) / dims)


def _dims_in_layer(cell: Cell, count: Count) -> Counts:
    """Return the total if every head keeps its dims, where heads alone may have brought layers to their maximum."""
    dims = sum(name.startswith("dims.") for name in count.dimensions) if core.prunes_heads(cell.config) else 0
    return frozenset({min(max(count.allowed) + dims * (cell.model.head_dim - 1), count.dense)})


def _dims_of_any(cell: Cell, count: Count) -> Counts:
    """Return what may be left of any block's head dims, if this one's may go."""
    if count.allowed == {count.dense}:
        return frozenset()
    return frozenset().union(*(own.allowed for own in core.promised(cell).counts if own.dimension == "dims"))


def _frozen_stay(cell: Cell, count: Count) -> Counts:
    """Return the dense count of the first block's heads and dims, and totals to which they come on top."""
    frozen = {"heads.0": cell.model.heads_of(0), "dims.0": cell.model.head_dim}
    more = sum(frozen.get(name, 0) for name in count.dimensions)
    if not more or count.allowed == {count.dense}:
        return frozenset()
    return frozenset({min(max(count.allowed) + more, count.dense)}) if count.scope else _dense(cell, count)


def _nothing_or_all(cell: Cell, count: Count) -> Counts:
    """Return that none are left, one is, or all: only where a share of all is to go."""
    if count.dimension == "heads":
        return frozenset({0, 1, count.dense}) if 0 in count.allowed else frozenset()
    if core.channel_scope(cell.config, count.dimensions[0])[1] < 1 or len(count.allowed) == count.dense:
        return frozenset()
    return core.rounded(frozenset({0, 1, count.dense}), count.dense, cell.config.round_to)


def _left_before_all(cell: Cell, count: Count) -> Counts:
    """Return what the step before the last one may leave, where a share of all is to go in steps."""
    if core.channel_scope(cell.config, count.dimensions[0])[1] < 1 or count.allowed == {count.dense}:
        return frozenset()
    return core.rounded(_left_by_step(cell, count.dense, Fraction(1))[-2], count.dense, cell.config.round_to)


def _some_head_dims(cell: Cell, count: Count) -> Counts:
    """Return any count up to the target."""
    ranked = core.is_ranked_together(cell.config, count.dimensions[0])
    if ranked or not cell.config.prune_head_dims or count.allowed == {count.dense}:
        return frozenset()
    return frozenset(range(min(count.allowed), count.dense + 1))


def _rounded_by_step(cell: Cell, count: Count) -> Counts:
    """Return dims next to each step's target, if with the heads that are left in the end there may be no such ones."""
    ratio = min(core.channel_scope(cell.config, count.dimensions[0])[1], cell.config.max_pruning_ratio)
    ranked = core.is_ranked_together(cell.config, count.dimensions[0])
    if ranked or ratio == 0 or not core.is_prunable(cell, count.block):
        return frozenset()
    heads = _left_by_step(cell, cell.model.heads_of(count.block), core.head_ratio(cell, count.block))
    near = partial(core.multiples_near, size=count.dense, multiple=cell.config.round_to or 1)
    steps = [
        [frozenset().union(*(near(target, heads=number) for target in targets)) for number in numbers - {0}]
        for numbers, targets in zip(heads, _left_by_step(cell, count.dense, ratio), strict=True)
    ]
    return frozenset() if all(steps[-1]) else frozenset().union(*(found for step in steps for found in step))


def _left_by_step(cell: Cell, count: int, ratio: Fraction) -> list[Counts]:
    """Return what each step of each pruner may leave: "the pruning ratio of each step will be [0.1, 0.2, …]"."""
    steps = 1 if cell.config.one_shot else cell.config.iterative_steps
    return [
        frozenset().union(*(core.kept(start, ratio * step / steps) for start in kept_from(count, ratio, rounds=before)))
        for before in range(pruners(cell.config))
        for step in range(1, steps + 1)
    ]


def _named_with_attention(cell: Cell, count: Count) -> Counts:
    """Return what is left of the width by the ratio of a block's attention, if it is not ranked with others."""
    if core.keeps_width(cell.config):
        return frozenset()
    ratios = [ratio for scope, ratio in cell.config.pruning_ratio_dict if _names_attention(scope)]
    found = (kept_from(count.dense, min(r, cell.config.max_pruning_ratio), rounds=pruners(cell.config)) for r in ratios)
    return core.rounded(frozenset().union(*found), count.dense, cell.config.round_to)


def _ranked_with_output(cell: Cell, count: Count) -> Counts:
    """Return any count, of the block whose attention is named: its dims may be ranked with its output, the width."""
    named = any(f"attention.{count.block}" in scope for scope, _ in cell.config.pruning_ratio_dict)
    ranked = named and cell.config.global_pruning and not core.keeps_width(cell.config)
    return span({1, count.dense}) if ranked and count.allowed != {count.dense} else frozenset()


def _with_or_without_width(cell: Cell, count: Count) -> Counts:
    """Return the totals if the width goes by the ratio of attention, in the total or by itself."""
    width = sum(core.rankable(cell)[d] for d in count.dimensions if d.startswith("width"))
    around = span({max(min(count.allowed) - width, 1), min(max(count.allowed) + width, count.dense)})
    return around if width and count.scope == "all" else frozenset()


def _names_attention(scope: Scope) -> bool:
    return any(name.startswith("attention.") for name in scope)


def _members_alone(cell: Cell, count: Count) -> Counts:
    """Return the totals of a tuple's members if each is pruned by itself."""
    return frozenset() if count.scope == "all" else _layer_by_layer(cell, count)


def _unlisted_stays(cell: Cell, count: Count) -> Counts:
    """Return the dense count, of heads or head dims that lose something."""
    loses_dims = cell.config.prune_head_dims and core.is_prunable(cell, count.block)
    loses = core.head_ratio(cell, count.block) > 0 if count.dimension == "heads" else loses_dims
    return _dense(cell, count) if loses else frozenset()


def _unlisted_total(cell: Cell, count: Count) -> Counts:
    """Return the total to which the head dims that stay come on top, or with a maximum what they should have lost."""
    _, ratio = core.channel_scope(cell.config, count.dimensions[0])
    most = max(kept_from(count.dense, ratio, len(count.dimensions), pruners(cell.config)))
    idle, size = sum(dimension.startswith("dims.") for dimension in count.dimensions), cell.model.head_dim
    bounded = max(count.allowed) + idle * floor(size * min(ratio, cell.config.max_pruning_ratio))
    return frozenset({min(count.dense, max(most + idle * size, bounded))})


def _bystanders(cell: Cell) -> int:
    """Return the entries of the ranking that never go."""
    return sum(size for dimension, size in core.rankable(cell).items() if core.is_bystander(cell, dimension))


def _among_bystanders(cell: Cell, count: Count) -> Counts:
    left = core.total_left(cell, count.dimensions, cell.config.pruning_ratio, among=_bystanders(cell))
    return left if count.scope == "all" else frozenset()


def _layer_by_layer(cell: Cell, count: Count) -> Counts:
    """Return the least and the most that the layers come to if each is ranked, bounded and rounded by itself."""
    _, ratio = core.channel_scope(cell.config, count.dimensions[0])
    each = [_left_by_itself(cell, core.rankable(cell)[d], ratio) for d in count.dimensions]
    return frozenset({sum(map(min, each)), sum(map(max, each))})


def _left_by_itself(cell: Cell, size: int, ratio: Fraction) -> Counts:
    """Return what each pruner in turn may leave of a layer: what the one before it has left is already rounded."""
    left = frozenset({size})
    for _ in range(pruners(cell.config)):
        kept = ((core.kept(start, min(ratio, cell.config.max_pruning_ratio)), start) for start in left)
        left = frozenset().union(*(core.rounded(counts, start, cell.config.round_to) for counts, start in kept))
    return left


def _attention_by_layer(cell: Cell, count: Count) -> Counts:
    """Return what the layers of attention come to if each is ranked by itself."""
    return _layer_by_layer(cell, count) if count.scope == "all" and count.dimension == "dims" else frozenset()


def _last_width_stays_in_all(cell: Cell, count: Count) -> Counts:
    """Return totals with the last stage's width whole, and its channels in the ranking or not."""
    last, idle = [*cell.model.widths.items()][-1]
    if count.scope != "all" or last not in count.dimensions:
        return frozenset()
    others = [dimension for dimension in count.dimensions if dimension != last]
    among = idle if cell.config.isomorphic else idle + _bystanders(cell)
    return frozenset(idle + left for left in core.total_left(cell, others, cell.config.pruning_ratio, among=among))


def _whole(cell: Cell, count: Count, dimension: str) -> Counts:
    """Return the dense count of one dimension, and no more of others."""
    return _dense(cell, count) if count.dimensions == (dimension,) else frozenset()


#: In the order in which they are granted: a later one widens what the earlier ones have left.
ALLOWANCES: tuple[Allowance, ...] = (
    Allowance(
        "nonsense-ignored",
        is_nonsense,
        "A ratio below 0 or above 1 is nonsense. No sentence says whether it is refused, clipped or ignored.",
        may_leave=True,
    ),
    Allowance(
        "all-heads",
        lambda cell: max(cell.config.head_ratios) >= 1,
        'A ratio of 1 takes all heads. check_pruning_group should "avoid over-pruning, i.e., channels=0": none may '
        "go, or one may stay.",
        {"heads": _nothing_or_all, "all heads": _dense},
    ),
    Allowance(
        "all-heads-refused",
        lambda cell: cell.config.prune_num_heads and cell.config.head_pruning_ratio >= 1,
        "No sentence says whether a ratio of 1 is a call that may be refused.",
        may_refuse=True,
    ),
    Allowance(
        "all-channels",
        lambda cell: cell.config.pruning_ratio >= 1,
        "The same holds for a ratio of 1 of channels.",
        {**dict.fromkeys(("width", "mlp", "dims"), _nothing_or_all), "all channels": _dense},
    ),
    Allowance(
        "all-channels-in-steps",
        lambda cell: cell.config.pruning_ratio >= 1 and cell.config.iterative_steps > 1 and not cell.config.one_shot,
        "In steps it is the last one that would take all: none may go in it, and what those before left may stay.",
        dict.fromkeys(("width", "mlp", "dims"), _left_before_all),
    ),
    Allowance(
        "no-batch-norm",
        lambda cell: cell.config.importance is Criterion.BN_SCALE,
        "A ViT has no batch norm to take a scale from. No sentence says what happens then: it may stay as it is.",
        may_leave=True,
    ),
    Allowance(
        "nothing-to-rank-by",
        lambda cell: cell.config.importance is Criterion.OBDC and cell.config.frozen,
        "OBDC scores by gradients, and what is frozen has none. No sentence says what happens then: it may stay.",
        dict.fromkeys(("heads", "dims", "all heads", "all channels"), _frozen_stay),
    ),
    Allowance(
        "whole-groups",
        lambda cell: cell.model.traits.queries_per_kv > 1,
        "Heads of queries that read one head of keys and values are repeats of it, and as many of each must go. So the "
        "ratio may be rounded in each such group, or whole groups may go with what they read.",
        {"heads": _whole_groups, "all heads": _off_by_groups},
    ),
    Allowance(
        "maximum-bounds-heads",
        lambda cell: cell.config.max_pruning_ratio < max(cell.config.head_ratios),
        '"max_pruning_ratio (float): the maximum pruning ratio." Whether it bounds heads, too, is open.',
        {"heads": _capped_heads, "all heads": _capped_total},
    ),
    Allowance(
        "dims-by-layer",
        lambda cell: cell.config.max_pruning_ratio < 1 and not core.prunes_in_groups(cell),
        "A maximum may count the channels of a head, or of its layer.",
        {"dims": _some_head_dims},
    ),
    Allowance(
        "heads-by-layer",
        lambda cell: (
            cell.config.max_pruning_ratio < 1
            and cell.config.prune_head_dims
            and cell.config.iterative_steps * pruners(cell.config) > 1
        ),
        "A maximum may count all channels of a layer: where earlier steps took as many, no more heads may go.",
        {"heads": _heads_in_layer, "all heads": _heads_in_layer, "all channels": _dims_in_layer},
    ),
    Allowance(
        "rounded-by-step",
        lambda cell: (
            cell.config.round_to is not None
            and cell.config.prune_head_dims
            and core.prunes_heads(cell.config)
            and cell.config.iterative_steps * pruners(cell.config) > 1
        ),
        "No sentence says whether dims are rounded again when heads go later: where no multiple fits the heads that "
        "are left, an earlier step may have rounded to one with the heads that it left.",
        {"dims": _rounded_by_step},
    ),
    Allowance(
        "attention-with-output",
        lambda cell: any(_names_attention(scope) for scope, _ in cell.config.pruning_ratio_dict),
        "A module with a ratio of its own may hold the output projection, which writes the width. No sentence says "
        "whose ratio the width follows then, nor whether global pruning ranks both together.",
        {"width": _named_with_attention, "dims": _ranked_with_output, "all channels": _with_or_without_width},
    ),
    Allowance(
        "tuple-alone",
        lambda cell: not cell.config.global_pruning and any(len(s) > 1 for s, _ in cell.config.pruning_ratio_dict),
        '"The pruning ratio will be shared by all modules in the tuple": in local pruning each may be rounded alone.',
        {"all channels": _members_alone},
    ),
    Allowance(
        "unlisted-projections",
        lambda cell: cell.config.num_heads != "qkv",
        "Upstream's examples list queries, keys and values. No sentence says whether fewer will do: heads may stay.",
        {"heads": _unlisted_stays, "dims": _unlisted_stays, "all heads": _dense, "all channels": _unlisted_total},
    ),
    Allowance(
        "uncalled-layer",
        lambda cell: cell.model.traits.qkv_uncalled,
        "A graph is traced from what layers return. No sentence says that a layer of num_heads that is never called is "
        "found: it may be refused.",
        may_refuse=True,
    ),
    Allowance(
        "per-head-tables",
        lambda cell: cell.model.traits.relative_position_bias,
        "A table with numbers for each head is no layer. No sentence says that it goes with one: heads may stay.",
        {"heads": _dense, "all heads": _dense},
    ),
    Allowance(
        "multihead-layer",
        lambda cell: cell.model.traits.uses_multihead_attention,
        "Upstream's torchvision example prunes nn.MultiheadAttention by channels, never by heads: they may stay. Its "
        "channels are the width, which all blocks share: one with a ratio of its own may decide for all.",
        {"heads": _dense, "all heads": _dense, "dims": _dims_of_any},
    ),
    Allowance(
        "groups-keep-dims",
        lambda cell: core.prunes_in_groups(cell) and not cell.config.prune_head_dims,
        "Whether prune_head_dims=False holds for a layer with groups of channels, no sentence says.",
        {"dims": _dense},
    ),
    Allowance(
        "bystanders",
        lambda cell: cell.config.global_pruning and not cell.config.isomorphic and _bystanders(cell) > 0,
        '"pruning_ratio (float): global channel sparsity" does not say whether channels that never go count among all.',
        {"all channels": _among_bystanders},
    ),
    Allowance(
        "isomorphic-local",
        lambda cell: cell.config.isomorphic and not cell.config.global_pruning,
        "That isomorphic pruning needs global_pruning=True is said in one place and not in another: both rankings do.",
        {"all channels": _layer_by_layer},
    ),
    Allowance(
        "shifted-windows",
        lambda cell: cell.config.isomorphic and cell.config.global_pruning and cell.model.family.startswith("swin"),
        "Isomorphic pruning ranks what has one structure. Attention in shifted windows adds a mask: no sentence says "
        "whether it is ranked with attention in windows that are not shifted.",
        {"all channels": _attention_by_layer},
    ),
    Allowance(
        "root-types",
        lambda cell: cell.config.documented and not cell.model.traits.uses_multihead_attention,
        '"root_module_types (list): types of prunable modules": the convolution that begins the width is of none.',
        {"width": lambda cell, count: _whole(cell, count, "width")},
    ),
    Allowance(
        "bare-output",
        lambda cell: not cell.model.labels,
        "A bare backbone's output is its width. Whether a model's own outputs may go, no sentence says.",
        {
            "width": lambda cell, count: _whole(cell, count, [*cell.model.widths][-1]),
            "all channels": _last_width_stays_in_all,
        },
        between=False,
    ),
)
