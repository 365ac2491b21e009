"""The choices that the documentation leaves. Each widens the strict core, and a verdict names those that it needed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from headcount.matrix import Cell, Config, Criterion
from headcount.oracle import expectation as core
from headcount.oracle.expectation import Count, Counts, Expectation, kept_from, pruners, span

Holds = Callable[[Cell], bool]
Also = Callable[[Cell, Count], Counts]


@dataclass(frozen=True)
class Allowance:
    """One choice.

    Attributes:
        applies: whether a call leaves it open.
        sentence: what the documentation says, and does not say.
        dimensions: the dimensions that it is about.
        also: more counts for each of them.
        heads_total, channels_total: more counts for totals.
        between: what lies between a total's counts is allowed, too.
        may_leave, may_refuse: further answers to the call.
    """

    name: str
    applies: Holds
    sentence: str
    dimensions: tuple[str, ...] = ()
    also: Also | None = None
    heads_total: Also | None = None
    channels_total: Also | None = None
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
        in_all = self.heads_total if count.scope == "heads" else self.channels_total
        if count.scope and in_all is not None:
            allowed = count.allowed | in_all(cell, count)
            return replace(count, allowed=span(allowed) if self.between else allowed)
        if not count.scope and count.dimension in self.dimensions and self.also is not None:
            return replace(count, allowed=count.allowed | self.also(cell, count))
        return count


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
    allowed = {count.dimensions[0]: count.allowed for count in expectation.counts if not count.scope}
    blocks = range(cell.model.layers)
    widths = frozenset(h * d for b in blocks for h in allowed[f"heads.{b}"] for d in allowed[f"dims.{b}"])
    counts = (replace(c, allowed=c.allowed | widths) if c.dimensions == ("width",) else c for c in expectation.counts)
    return replace(expectation, counts=tuple(counts))


# --- what a choice adds ------------------------------------------------------------------------


def _dense(_: Cell, count: Count) -> Counts:
    return frozenset({count.dense})


def _head_ratio(cell: Cell, count: Count) -> Fraction | None:
    """Return the ratio that a block's heads follow by themselves; None where they are ranked with others, or stay."""
    own = core.own_head_ratio(cell.config, count.block)
    if not core.loses_heads(cell, count.block) or (cell.config.global_pruning and own is None):
        return None
    return cell.config.head_pruning_ratio if own is None else own


def _whole_groups(cell: Cell, count: Count) -> Counts:
    """Return counts with as many heads of queries for each of keys and values."""
    ratio, each = _head_ratio(cell, count), cell.model.traits.queries_per_kv
    if ratio is None:
        return frozenset()
    read = count.dense // each
    return frozenset(read * left for left in kept_from(each, ratio, rounds=pruners(cell.config)))


def _off_by_groups(cell: Cell, count: Count) -> Counts:
    """Return totals that are off by less than one head for each head of keys and values."""
    each = cell.model.traits.queries_per_kv
    slack = sum(cell.model.heads_of(int(d.partition(".")[2])) // each - 1 for d in count.dimensions)
    return span({max(min(count.allowed) - slack, 0), min(max(count.allowed) + slack, count.dense)})


def _capped_heads(cell: Cell, count: Count) -> Counts:
    """Return the counts by the maximum ratio, and all between."""
    ratio, most = _head_ratio(cell, count), cell.config.max_pruning_ratio
    if ratio is None or ratio <= most:
        return frozenset()
    return span(count.allowed | kept_from(count.dense, most, rounds=pruners(cell.config)))


def _capped_total(cell: Cell, count: Count) -> Counts:
    ratio = min(cell.config.head_pruning_ratio, cell.config.max_pruning_ratio)
    return kept_from(count.dense, ratio, len(count.dimensions), pruners(cell.config))


def _nothing_or_all(cell: Cell, count: Count) -> Counts:
    """Return that none are left, one is, or all: only where a share of all is to go."""
    if count.dimension == "heads":
        return frozenset({0, 1, count.dense}) if 0 in count.allowed else frozenset()
    if core.channel_ratio(cell.config, count.dimensions[0]) < 1 or len(count.allowed) == count.dense:
        return frozenset()
    return core.rounded(frozenset({0, 1, count.dense}), count.dense, cell.config.round_to)


def _some_head_dims(cell: Cell, count: Count) -> Counts:
    """Return any count up to the target."""
    ranked = core.is_ranked_together(cell.config, f"dims.{count.block}")
    if ranked or not cell.config.prune_head_dims or count.allowed == {count.dense}:
        return frozenset()
    least = 1 if cell.config.round_to else min(count.allowed)
    return frozenset(range(least, count.dense + 1))


def _unlisted_stays(cell: Cell, count: Count) -> Counts:
    """Return the dense count, of heads or head dims that lose something."""
    if count.dimension == "heads":
        return _dense(cell, count) if core.loses_heads(cell, count.block) else frozenset()
    keeps = not cell.config.prune_head_dims or f"qkv.{count.block}" in cell.config.ignored_layers
    keeps = keeps or core.keeps_attention(cell) or core.prunes_in_groups(cell)
    return frozenset() if keeps else _dense(cell, count)


def _unlisted_total(cell: Cell, count: Count) -> Counts:
    """Return the total to which the head dims that stay come on top."""
    ratio = core.channel_ratio(cell.config, count.dimensions[0])
    most = max(kept_from(count.dense, ratio, len(count.dimensions), pruners(cell.config)))
    idle = sum(dimension.startswith("dims.") for dimension in count.dimensions) * cell.model.head_dim
    return frozenset({max(*count.allowed, min(count.dense, most + idle))})


def _bystanders(cell: Cell) -> int:
    """Return the entries of the ranking that never go."""
    free = (d for d in core.rankable(cell) if core.channel_scope(cell.config, d) is None)
    return sum(core.rankable(cell)[d] for d in free if core.is_bystander(cell, d))


def _sizes(cell: Cell, count: Count) -> dict[str, int]:
    return {dimension: core.rankable(cell)[dimension] for dimension in count.dimensions}


def _among_bystanders(cell: Cell, count: Count) -> Counts:
    if count.scope != "all":
        return frozenset()
    return core.total_left(cell, _sizes(cell, count), cell.config.pruning_ratio, among=_bystanders(cell))


def _layer_by_layer(cell: Cell, count: Count) -> Counts:
    """Return the least and the most that the layers come to if each is ranked by itself."""
    ratio = core.channel_ratio(cell.config, count.dimensions[0])
    each = [kept_from(size, ratio, rounds=pruners(cell.config)) for size in _sizes(cell, count).values()]
    return frozenset({sum(map(min, each)), sum(map(max, each))})


def _last_width_stays(cell: Cell, count: Count) -> Counts:
    """Return the last stage's width whole."""
    return frozenset({count.dense} if count.dimensions == (_last_width(cell),) else ())


def _last_width_stays_in_all(cell: Cell, count: Count) -> Counts:
    """Return totals with the last stage's width whole, and its channels in the ranking or not."""
    last, others = _last_width(cell), _sizes(cell, count)
    if count.scope != "all" or last not in others:
        return frozenset()
    idle, ratio = others.pop(last), cell.config.pruning_ratio
    if not others:
        return _dense(cell, count)
    in_ranking = idle if cell.config.isomorphic else idle + _bystanders(cell)
    counts = (core.total_left(cell, others, ratio, among=among) for among in (0, in_ranking))
    return frozenset(idle + left for left in span(frozenset().union(*counts)))


def _last_width(cell: Cell) -> str:
    return cell.model.width_of(cell.model.layers - 1)


def _first_width(_: Cell, count: Count) -> Counts:
    return frozenset({count.dense}) if count.dimensions == ("width",) else frozenset()


def _takes_all_heads(config: Config) -> bool:
    return max([config.head_pruning_ratio, *(ratio for _, ratio in config.head_pruning_ratio_dict)]) >= 1


def _is_ranked_among(cell: Cell) -> bool:
    return cell.config.global_pruning and not cell.config.isomorphic and _bystanders(cell) > 0


_CHANNELS = ("width", "mlp", "dims")

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
        lambda cell: _takes_all_heads(cell.config),
        'A ratio of 1 takes all heads. check_pruning_group should "avoid over-pruning, i.e., channels=0": none may '
        "go, or one may stay.",
        ("heads",),
        _nothing_or_all,
        heads_total=_dense,
    ),
    Allowance(
        "all-heads-refused",
        lambda cell: cell.config.head_pruning_ratio >= 1,
        "No sentence says whether a ratio of 1 is a call that may be refused.",
        may_refuse=True,
    ),
    Allowance(
        "all-channels",
        lambda cell: cell.config.pruning_ratio >= 1,
        "The same holds for a ratio of 1 of channels.",
        _CHANNELS,
        _nothing_or_all,
        channels_total=_dense,
    ),
    Allowance(
        "no-batch-norm",
        lambda cell: cell.config.importance is Criterion.BN_SCALE,
        "A ViT has no batch norm to take a scale from. No sentence says what happens then: it may stay as it is.",
        may_leave=True,
    ),
    Allowance(
        "whole-groups",
        lambda cell: cell.model.traits.queries_per_kv > 1,
        "Heads of queries that read one head of keys and values are repeats of it, and as many of each must go. So the "
        "ratio may be rounded in each such group, or whole groups may go with what they read.",
        ("heads",),
        _whole_groups,
        heads_total=_off_by_groups,
    ),
    Allowance(
        "maximum-bounds-heads",
        lambda cell: cell.config.max_pruning_ratio < cell.config.head_pruning_ratio,
        '"max_pruning_ratio (float): the maximum pruning ratio." Whether it bounds heads, too, is open.',
        ("heads",),
        _capped_heads,
        heads_total=_capped_total,
    ),
    Allowance(
        "dims-by-layer",
        lambda cell: (
            bool(cell.config.round_to or cell.config.max_pruning_ratio < 1) and not core.prunes_in_groups(cell)
        ),
        "A maximum or a multiple may count the channels of a head, or of its layer.",
        ("dims",),
        _some_head_dims,
    ),
    Allowance(
        "unlisted-projections",
        lambda cell: cell.config.num_heads != "qkv",
        "Upstream's examples list queries, keys and values. No sentence says whether fewer will do: heads may stay.",
        ("heads", "dims"),
        _unlisted_stays,
        heads_total=_dense,
        channels_total=_unlisted_total,
    ),
    Allowance(
        "per-head-tables",
        lambda cell: cell.model.traits.relative_position_bias,
        "A table with numbers for each head is no layer. No sentence says that it goes with one: heads may stay.",
        ("heads",),
        _dense,
        heads_total=_dense,
    ),
    Allowance(
        "multihead-layer",
        lambda cell: cell.model.traits.uses_multihead_attention,
        "Upstream's torchvision example prunes nn.MultiheadAttention by channels, never by heads: they may stay.",
        ("heads",),
        _dense,
        heads_total=_dense,
    ),
    Allowance(
        "groups-keep-dims",
        lambda cell: core.prunes_in_groups(cell) and not cell.config.prune_head_dims,
        "Whether prune_head_dims=False holds for a layer with groups of channels, no sentence says.",
        ("dims",),
        _dense,
    ),
    Allowance(
        "bystanders",
        _is_ranked_among,
        '"pruning_ratio (float): global channel sparsity" does not say whether channels that never go count among all.',
        channels_total=_among_bystanders,
    ),
    Allowance(
        "isomorphic-local",
        lambda cell: cell.config.isomorphic and not cell.config.global_pruning,
        "That isomorphic pruning needs global_pruning=True is said in one place and not in another: both rankings do.",
        channels_total=_layer_by_layer,
    ),
    Allowance(
        "root-types",
        lambda cell: cell.config.documented and not cell.model.traits.uses_multihead_attention,
        '"root_module_types (list): types of prunable modules": the convolution that begins the width is of none.',
        ("width",),
        _first_width,
    ),
    Allowance(
        "bare-output",
        lambda cell: not cell.model.labels,
        "A bare backbone's output is its width. Whether a model's own outputs may go, no sentence says.",
        ("width",),
        _last_width_stays,
        channels_total=_last_width_stays_in_all,
        between=False,
    ),
)
