"""The choices that the documentation leaves. Each widens the strict core, and a verdict names those that it needed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial

from headcount.matrix import Cell, Config, Criterion
from headcount.oracle import expectation as core
from headcount.oracle.expectation import Count, Counts, Expectation, kept_from, rounds, span


@dataclass(frozen=True)
class Allowance:
    """One choice.

    Attributes:
        applies: whether a call leaves it open.
        widen: the expectation with it.
        sentence: what the documentation says, and does not say.
    """

    name: str
    applies: Callable[[Cell], bool]
    widen: Callable[[Cell, Expectation], Expectation]
    sentence: str


@cache  # every build has the same expectation
def expect(cell: Cell, without: Collection[str] = ()) -> Expectation:
    """Return what may be left of a cell's model.

    Args:
        without: names of allowances that are not granted; a frozenset.
    """
    # A nonsensical ratio is refused, or brought into range as a release does with min(ratio, 1).
    in_range = min(max(cell.config.head_pruning_ratio, Fraction(0)), Fraction(1))
    sensible = replace(cell, config=replace(cell.config, head_pruning_ratio=in_range))
    expectation = core.promised(sensible)
    if is_nonsense(cell):
        expectation = replace(expectation, may_refuse=True)
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
    counts = (
        replace(c, allowed=c.allowed | widths) if c.dimensions == ("width",) else c for c in expectation.counts
    )
    return replace(expectation, counts=tuple(counts))


# --- how an expectation is widened -------------------------------------------------------------

Also = Callable[[Cell, Count], Counts]


def _also(kinds: Collection[str], also: Also, cell: Cell, expectation: Expectation) -> Expectation:
    """Return it with more counts for each single dimension of these kinds."""

    def widened(count: Count) -> Count:
        applies = not count.scope and count.kind in kinds
        return replace(count, allowed=count.allowed | also(cell, count)) if applies else count

    return replace(expectation, counts=tuple(map(widened, expectation.counts)))


def _also_in_all(scope: str, also: Also, cell: Cell, expectation: Expectation) -> Expectation:
    """Return it with more counts for the totals of a scope: `heads`; `channels` for all others."""

    def widened(count: Count) -> Count:
        applies = count.scope and (count.scope == "heads") == (scope == "heads") and count.dimensions
        return replace(count, allowed=span(count.allowed | also(cell, count))) if applies else count

    return replace(expectation, counts=tuple(map(widened, expectation.counts)))


def _in_turn(*widenings: Callable[[Cell, Expectation], Expectation]) -> Callable[[Cell, Expectation], Expectation]:
    def widened(cell: Cell, expectation: Expectation) -> Expectation:
        for widen in widenings:
            expectation = widen(cell, expectation)
        return expectation

    return widened


def _dense(_: Cell, count: Count) -> Counts:
    return frozenset({count.dense})


def _heads_stay(cell: Cell, expectation: Expectation) -> Expectation:
    also = _in_turn(partial(_also, ("heads",), _dense), partial(_also_in_all, "heads", _dense))
    return also(cell, expectation)


# --- the choices, in the order in which they are granted ---------------------------------------


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
    return frozenset(read * left for left in kept_from(each, ratio, rounds=rounds(cell.config)))


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
    return span(count.allowed | kept_from(count.dense, most, rounds=rounds(cell.config)))


def _capped_total(cell: Cell, count: Count) -> Counts:
    ratio = min(cell.config.head_pruning_ratio, cell.config.max_pruning_ratio)
    return kept_from(count.dense, ratio, len(count.dimensions), rounds(cell.config))


def _nothing_or_all(_: Cell, count: Count) -> Counts:
    """Return that none are left, one is, or all: only where a share of all is to go."""
    return frozenset({0, 1, count.dense}) if 0 in count.allowed else frozenset()


def _some_head_dims(cell: Cell, count: Count) -> Counts:
    """Return any count up to the target."""
    if not cell.config.prune_head_dims or count.allowed == {count.dense}:
        return frozenset()
    least = 1 if cell.config.round_to else min(count.allowed)
    return frozenset(range(least, count.dense + 1))


def _unlisted_stays(cell: Cell, count: Count) -> Counts:
    """Return the dense count, of heads or head dims that lose something."""
    if count.kind == "heads":
        return _dense(cell, count) if core.loses_heads(cell, count.block) else frozenset()
    keeps = not cell.config.prune_head_dims or f"qkv.{count.block}" in cell.config.ignored_layers
    return frozenset() if keeps or core.keeps_attention(cell) else _dense(cell, count)


def _unlisted_total(cell: Cell, count: Count) -> Counts:
    """Return the total to which the head dims that stay come on top."""
    ratio = core.channel_ratio(cell.config, count.dimensions[0])
    most = max(kept_from(count.dense, ratio, len(count.dimensions), rounds(cell.config)))
    idle = sum(dimension.startswith("dims.") for dimension in count.dimensions) * cell.model.head_dim
    return frozenset({max(max(count.allowed), min(count.dense, most + idle))})


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
    each = [kept_from(size, ratio, rounds=rounds(cell.config)) for size in _sizes(cell, count).values()]
    return frozenset({sum(map(min, each)), sum(map(max, each))})


def _last_width(cell: Cell) -> str:
    return cell.model.width_of(cell.model.layers - 1)


def _output_stays(cell: Cell, expectation: Expectation) -> Expectation:
    """Return it with the last stage's width whole, by itself and in totals."""
    last = _last_width(cell)

    def widened(count: Count) -> Count:
        if count.dimensions == (last,):
            return replace(count, allowed=count.allowed | {count.dense})
        if count.scope != "all" or last not in count.dimensions:
            return count
        others = _sizes(cell, count)
        idle, ratio = others.pop(last), cell.config.pruning_ratio
        if not others:
            return replace(count, allowed=count.allowed | {count.dense})
        alone = (core.total_left(cell, others, ratio, among=n) for n in (0, idle + _bystanders(cell)))
        return replace(count, allowed=count.allowed | {idle + left for left in span(frozenset().union(*alone))})

    return replace(expectation, counts=tuple(map(widened, expectation.counts)))


def _first_width(_: Cell, count: Count) -> Counts:
    return frozenset({count.dense}) if count.dimensions == ("width",) else frozenset()


def _may_leave(_: Cell, expectation: Expectation) -> Expectation:
    return replace(expectation, may_leave=True)


def _may_refuse(_: Cell, expectation: Expectation) -> Expectation:
    return replace(expectation, may_refuse=True)


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
        _may_leave,
        "A ratio below 0 or above 1 is nonsense. No sentence says whether it is refused, brought into range, or ignored.",
    ),
    Allowance(
        "all-heads",
        lambda cell: _takes_all_heads(cell.config),
        _in_turn(_may_refuse, partial(_also, ("heads",), _nothing_or_all), partial(_also_in_all, "heads", _dense)),
        'A ratio of 1 takes all heads. check_pruning_group is there to "avoid over-pruning, i.e., channels=0": none may '
        "go, one may stay, or the call may be refused.",
    ),
    Allowance(
        "all-channels",
        lambda cell: cell.config.pruning_ratio >= 1,
        partial(_also, _CHANNELS, _nothing_or_all),
        "The same holds for a ratio of 1 of channels.",
    ),
    Allowance(
        "no-batch-norm",
        lambda cell: cell.config.importance is Criterion.BN_SCALE,
        _may_leave,
        "A ViT has no batch norm to take a scale from. No sentence says what happens then: the model may stay as it is.",
    ),
    Allowance(
        "whole-groups",
        lambda cell: cell.model.traits.queries_per_kv > 1,
        _in_turn(partial(_also, ("heads",), _whole_groups), partial(_also_in_all, "heads", _off_by_groups)),
        "Heads of queries that read one head of keys and values are repeats of it, and as many of each must go. So the "
        "ratio may be rounded in each such group, or whole groups may go with what they read.",
    ),
    Allowance(
        "maximum-bounds-heads",
        lambda cell: cell.config.max_pruning_ratio < max(cell.config.head_pruning_ratio, Fraction(0)),
        _in_turn(partial(_also, ("heads",), _capped_heads), partial(_also_in_all, "heads", _capped_total)),
        '"max_pruning_ratio (float): the maximum pruning ratio." Whether it bounds heads, too, is open.',
    ),
    Allowance(
        "dims-by-layer",
        lambda cell: bool(cell.config.round_to or cell.config.max_pruning_ratio < 1) and not core.prunes_in_groups(cell),
        partial(_also, ("dims",), _some_head_dims),
        "A maximum or a multiple may count the channels of a head, or of its layer.",
    ),
    Allowance(
        "unlisted-projections",
        lambda cell: cell.config.num_heads != "qkv",
        _in_turn(
            partial(_also, ("heads", "dims"), _unlisted_stays),
            partial(_also_in_all, "heads", _dense),
            partial(_also_in_all, "channels", _unlisted_total),
        ),
        "Upstream's examples list queries, keys and values. Whether attention with fewer listed is pruned, no sentence says.",
    ),
    Allowance(
        "per-head-tables",
        lambda cell: cell.model.traits.relative_position_bias,
        _heads_stay,
        "A table with numbers for each head is no layer, and no sentence says that it goes with one: the heads may stay.",
    ),
    Allowance(
        "multihead-layer",
        lambda cell: cell.model.traits.uses_multihead_attention,
        _heads_stay,
        "Upstream's torchvision example prunes nn.MultiheadAttention as a group of channels, never by heads: they may stay.",
    ),
    Allowance(
        "groups-keep-dims",
        lambda cell: core.prunes_in_groups(cell) and not cell.config.prune_head_dims,
        partial(_also, ("dims",), _dense),
        "Whether prune_head_dims=False holds for a layer with groups of channels, no sentence says.",
    ),
    Allowance(
        "bystanders",
        _is_ranked_among,
        partial(_also_in_all, "channels", _among_bystanders),
        '"pruning_ratio (float): global channel sparsity" does not say whether channels that never go count among all.',
    ),
    Allowance(
        "isomorphic-local",
        lambda cell: cell.config.isomorphic and not cell.config.global_pruning,
        partial(_also_in_all, "channels", _layer_by_layer),
        "That isomorphic pruning needs global_pruning=True is said in one place and not in another: both rankings do.",
    ),
    Allowance(
        "root-types",
        lambda cell: cell.config.documented and not cell.model.traits.uses_multihead_attention,
        partial(_also, ("width",), _first_width),
        '"root_module_types (list): types of prunable modules": the convolution that begins the width is of none.',
    ),
    Allowance(
        "bare-output",
        lambda cell: not cell.model.labels,
        _output_stays,
        "A bare backbone's output is its width. Whether a model's own outputs may go, no sentence says.",
    ),
)
