"""The strict core: what the documentation promises for a cell, with exact fractions.

An `Expectation` is computed from the model's numbers and the call's parameters. Nothing here has ever
seen a pruner. Where the documentation leaves a choice, `headcount.oracle.allowances` widens what stands here.
Upstream's sentences are quoted where they decide something.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from headcount.matrix import REDUCED, Cell, Config, Criterion, Precision, Scope, Second
from headcount.matrix.config import LAYER_TYPES, OUTPUTS
from headcount.models import Model, synthetic_channels, synthetic_heads
from headcount.oracle.verdict import Rule

Counts = frozenset[int]


@dataclass(frozen=True)
class Count:
    """How many may be left of one dimension, or in all of several that are ranked together.

    Attributes:
        dimensions: `heads.0`, `dims.0` (channels per head), `width`, `mlp.0`, `labels`; several for a total.
        allowed: the counts that may be left.
        rule: the promise that says so.
        dense: how many there are before.
        scope: of a total: `heads`, `all`, or the members of a tuple in `pruning_ratio_dict`.
    """

    dimensions: tuple[str, ...]
    allowed: Counts
    rule: Rule
    dense: int
    scope: str = ""

    @property
    def dimension(self) -> str:
        """The dimension without its block: `heads`, `dims`, `width`, `mlp`, `labels`."""
        return self.dimensions[0].partition(".")[0]

    @property
    def block(self) -> int:
        """The block, or the stage, that a single dimension is of."""
        return self.blocks[0]

    @property
    def blocks(self) -> tuple[int, ...]:
        """The block, or the stage, that each dimension is of."""
        return tuple(int(dimension.partition(".")[2] or 0) for dimension in self.dimensions)


@dataclass(frozen=True)
class Expectation:
    """What may be left of a model.

    Attributes:
        queries_per_kv: heads of queries that read each head of keys and values, in the dense model.
        head_dim: channels per head of the dense model: which head a channel belongs to.
        listed: the projections in `num_heads`, whose count the pruner reports.
        may_refuse: a deliberate exception is a proper answer to this call.
        may_leave: leaving the whole model as it was is one, too.
        counts: what may be left, heads before channels.
        head_importance: per block and head; None where the criterion ranks by something else.
        across: heads of different blocks compete by their importance.
        groups: groups of heads that read the same keys and values compete by their importance.
        channel_importance: dimension -> importance of each channel, where it decides.
        round_to: kept channels are a multiple of it; head dims per head or per layer.
        steps: how often something is pruned.
    """

    queries_per_kv: int
    head_dim: int
    listed: str
    may_refuse: bool
    may_leave: bool
    counts: tuple[Count, ...]
    head_importance: tuple[tuple[float, ...], ...] | None
    across: bool
    groups: bool
    channel_importance: Mapping[str, tuple[float, ...]]
    round_to: int | None
    steps: int

    @property
    def blocks(self) -> int:
        """How many transformer blocks there are."""
        return sum(count.dimension == "dims" and not count.scope for count in self.counts)

    @property
    def channels(self) -> tuple[str, ...]:
        """The dimensions that are found in the weights by their own name."""
        return tuple(c.dimensions[0] for c in self.counts if not c.scope and c.dimension not in ("heads", "dims"))


#: Criteria under which a larger factor on the weights is a larger score. FPGM looks for the median,
#: OBDC and activation at what the data do, BN scale at layers that a ViT has none of.
RANKED = {
    *(Criterion.MAGNITUDE, Criterion.GROUP_NORM, Criterion.L1, Criterion.LAMP, Criterion.TAYLOR, Criterion.HESSIAN),
    # Whichever layer of a group is looked at: all of them have the same factors.
    *REDUCED,
}

#: Those whose scores of different layers compare by these factors: plain norms over the layer's mean.
#: LAMP is "layer-adaptive", and a power of the norm shifts the layers' means.
RANKED_ACROSS = {Criterion.MAGNITUDE, Criterion.GROUP_NORM}


def promised(cell: Cell) -> Expectation:
    """Return what the documentation says in so many words; the caller has clipped the head ratio to 0 to 1."""
    model, config = cell.model, cell.config
    # Half precision is too coarse to rank by: scores that differ may be rounded to one.
    ranked = config.importance in RANKED and config.precision is Precision.FLOAT32
    family = model.traits
    steps = config.iterative_steps * pruners(config)
    one_step = steps == 1
    return Expectation(
        queries_per_kv=family.queries_per_kv,
        head_dim=model.head_dim,
        listed="" if prunes_in_groups(cell) else config.num_heads,
        may_refuse=False,
        may_leave=False,
        counts=(*_head_total(cell), *_heads(cell), *_head_dims(cell), *_channels(cell), *_channel_totals(cell)),
        # One nn.MultiheadAttention loses a head in all blocks or in none: no sentence says by which block's order.
        head_importance=synthetic_heads(model) if ranked and not family.uses_multihead_attention else None,
        # A second step ranks by the means of what the first one left.
        across=config.importance in RANKED_ACROSS and config.global_pruning and one_step and family.queries_per_kv == 1,
        groups=ranked and one_step and family.queries_per_kv > 1,
        channel_importance=_channel_importance(model) if ranked else {},
        round_to=config.round_to,
        steps=steps,
    )


def prunes_heads(config: Config) -> bool:
    """Return whether some block is to lose heads."""
    return config.prune_num_heads and max(config.head_ratios) > 0


def prunes_in_groups(cell: Cell) -> bool:
    """Return whether attention is named as a layer with groups of channels: nothing is said of heads then."""
    return cell.model.traits.uses_multihead_attention and cell.config.documented


def keeps_width(config: Config) -> bool:
    """Return whether the layers that write the residual stream are ignored: they keep their outputs.

    "ignored_layers (List[nn.Module | typing.Type]): ignored modules": a class stands for every layer of it.
    """
    return bool({*OUTPUTS, *LAYER_TYPES} & config.ignored)


def is_prunable(cell: Cell, block: int) -> bool:
    """Return whether a block may lose heads, or channels of each: it is not ignored, not skipped, and not in groups."""
    # One nn.MultiheadAttention is ignored with the width.
    ignored = cell.model.traits.uses_multihead_attention and keeps_width(cell.config)
    skipped = cell.config.skips_attention
    return not (ignored or skipped or prunes_in_groups(cell) or ignores_attention(cell.config, block))


def ignores_attention(config: Config, block: int) -> bool:
    """Return whether a block's queries are ignored: they keep their outputs, and so does what is multiplied by them."""
    return bool({f"qkv.{block}", f"query.{block}"} & config.ignored)


# --- counts ------------------------------------------------------------------------------------


#: A share below 1 with which one channel is left of any dimension.
ALMOST_ALL = Fraction(999_999, 1_000_000)


def kept(count: int, ratio: Fraction, at_least: int = 1) -> Counts:
    """Return how many of `count` may be left when a share `ratio` of them goes.

    Between floor(count * ratio) and its ceiling may go: upstream's releases use either, and no sentence
    says which. At least `at_least` are left, whatever the ratio; none where it is 1.
    """
    if ratio >= 1:
        return frozenset({0})
    floor = min(at_least, count)
    return frozenset(max(count - gone, floor) for gone in (math.floor(count * ratio), math.ceil(count * ratio)))


def kept_from(count: int, ratio: Fraction, at_least: int = 1, rounds: int = 1) -> Counts:
    """Return `kept` applied `rounds` times, each time to every count that may be there already."""
    current = frozenset({count})
    for _ in range(rounds):
        current = frozenset(left for before in current for left in kept(before, ratio, at_least))
    return current


def span(counts: Collection[int]) -> Counts:
    """Return every count between the smallest and the largest."""
    return frozenset(range(min(counts), max(counts) + 1))


def pruners(config: Config) -> int:
    """Return how many pruners work on the model, one after the other."""
    return 2 if config.second is Second.SAME else 1


def _rule(config: Config, plain: Rule, *, own: bool) -> Rule:
    """Return the promise that a count comes from: a ratio of its own, several steps, or the plain one."""
    shared = Rule.STEPS if config.iterative_steps > 1 else plain
    return Rule.RATIOS if own else shared


# --- heads -------------------------------------------------------------------------------------


def _heads(cell: Cell) -> Iterator[Count]:
    """Yield each block's heads: "head_pruning_ratio (float): head pruning ratio"."""
    config = cell.config
    for block, heads in enumerate(cell.model.block_heads):
        ratio, own = head_ratio(cell, block), head_scope(config, block)[0]
        rule = _rule(config, Rule.HEAD_COUNTS, own=bool(own)) if ratio else Rule.WHOLE_HEADS
        allowed = kept_from(heads, ratio, rounds=pruners(config))
        if ratio and config.global_pruning and not own:
            allowed = frozenset(range(1 if ratio < 1 else 0, heads + 1))
        yield Count((f"heads.{block}",), allowed, rule, heads)


def head_ratio(cell: Cell, block: int) -> Fraction:
    """Return the share of heads that a block is to lose: "prune_num_heads (bool): remove entire heads". 0 for none."""
    _, ratio = head_scope(cell.config, block)
    return ratio if cell.config.prune_num_heads and is_prunable(cell, block) else Fraction(0)


def head_scope(config: Config, block: int) -> tuple[Scope, Fraction]:
    """Return a block's ratio, after the modules that share it; () where it is the one for all.

    "head_pruning_ratio_dict (Dict[nn.Module, float]): layer-specific head pruning ratio"
    """
    given = config.head_pruning_ratio_dict
    own = (item for item in given if any(module.endswith(f".{block}") for module in item[0]))
    return next(own, ((), config.head_pruning_ratio))


def _head_total(cell: Cell) -> Iterator[Count]:
    """Yield the total of the blocks without a ratio of their own, in global pruning. One head a block wins over it."""
    config, heads = cell.config, enumerate(cell.model.block_heads)
    ranked = {f"heads.{b}": count for b, count in heads if head_ratio(cell, b) and not head_scope(config, b)[0]}
    if config.global_pruning and ranked:
        allowed = kept_from(sum(ranked.values()), config.head_pruning_ratio, len(ranked), pruners(config))
        yield Count(tuple(ranked), allowed, _rule(config, Rule.HEAD_COUNTS, own=False), sum(ranked.values()), "heads")


# --- channels ----------------------------------------------------------------------------------


def _head_dims(cell: Cell) -> Iterator[Count]:
    """Yield each block's channels per head: "prune_head_dims (bool): remove head dimensions"."""
    size, config = cell.model.head_dim, cell.config
    # Of a layer with groups of channels, each group loses as large a share as the width.
    grouped = prunes_in_groups(cell) and not keeps_width(config)
    for block in range(cell.model.layers):
        if grouped or (config.prune_head_dims and is_prunable(cell, block)):
            count = _channels_of(config, f"dims.{block}", size)
            alone = bool(config.round_to) and not grouped and not is_ranked_together(config, f"dims.{block}")
            yield replace(count, allowed=_rounded_dims(cell, block)) if alone else count
        else:
            yield Count((f"dims.{block}",), frozenset({size}), Rule.WHOLE_HEADS, size)


def _channels(cell: Cell) -> Iterator[Count]:
    """Yield labels, width and MLPs: ignored layers keep their outputs, all others follow the ratio."""
    model, config = cell.model, cell.config
    mlps = {f"mlp.{block}": model.mlp_of(block) for block in range(model.layers)}
    ignored = {"labels": model.labels} if model.labels else {}
    ignored |= {d: size for d, size in mlps.items() if d in config.ignored}
    ignored |= model.widths if keeps_width(config) else {}
    for dimension, size in ignored.items():
        yield Count((dimension,), frozenset({size}), Rule.CHANNEL_COUNTS, size)
    for dimension, size in ({} if keeps_width(config) else model.widths).items():
        # Of one nn.MultiheadAttention, what is left of its heads decides.
        undecided = Count((dimension,), frozenset(), Rule.CHANNEL_COUNTS, size)
        yield undecided if model.traits.uses_multihead_attention else _channels_of(config, dimension, size)
    for dimension, size in model.reduced.items():
        # The model's own code takes this layer to be as wide as what it reads: any count with which it runs.
        yield Count((dimension,), span({1, size}), Rule.CHANNEL_COUNTS, size)
    others = {**mlps, **model.pooled}
    yield from (_channels_of(config, d, size) for d, size in others.items() if d not in ignored)


def _channels_of(config: Config, dimension: str, size: int) -> Count:
    """Return the allowed counts of one dimension alone; what is ranked together has a total as well."""
    scope, _ = channel_scope(config, dimension)
    rule = _rule(config, Rule.CHANNEL_COUNTS, own=bool(scope or config.max_pruning_ratio < 1 or config.round_to))
    if is_ranked_together(config, dimension):
        bounded = kept_from(size, min(config.max_pruning_ratio, ALMOST_ALL), rounds=pruners(config))
        return Count((dimension,), span(rounded(bounded, size, config.round_to) | bounded | {size}), rule, size)
    # A second pruner starts from what the first one rounded.
    first = _left_alone(config, dimension, size) if pruners(config) > 1 else frozenset({size})
    starts = rounded(first, size, config.round_to)
    allowed = (rounded(_left_alone(config, dimension, start), start, config.round_to) for start in starts)
    return Count((dimension,), frozenset().union(*allowed), rule, size)


def _left_alone(config: Config, dimension: str, size: int) -> Counts:
    """Return what one pruner leaves of a dimension that is not ranked with others. A maximum bounds it."""
    _, ratio = channel_scope(config, dimension)
    return kept(size, min(ratio, config.max_pruning_ratio))


def rounded(allowed: Counts, size: int, multiple: int | None) -> Counts:
    """Return multiples next to the counts, up or down: "round channels to the nearest multiple of round_to".

    A layer that loses nothing may stay as it is, and so may one that no multiple fits into.
    """
    if multiple is None:
        return allowed
    near = {n for n in range(multiple, size + 1, multiple) for target in allowed if abs(n - target) < multiple}
    return frozenset(near | ({size} if size in allowed or not near else set()))


def _rounded_dims(cell: Cell, block: int) -> Counts:
    """Return channels per head: the layer's are rounded, to a multiple that all its heads share alike.

    "round channels to the nearest multiple of round_to": a layer's channels are its heads' together, with the heads
    that are left or with all.
    """
    config, size, heads = cell.config, cell.model.head_dim, cell.model.heads_of(block)
    left = kept_from(heads, head_ratio(cell, block), rounds=pruners(config)) - {0}
    targets = {
        target
        for first in (_left_alone(config, f"dims.{block}", size) if pruners(config) > 1 else {size})
        for target in _left_alone(config, f"dims.{block}", first)
    }
    found = (_near(target, size, count, config.round_to or 1) for count in {heads, *left} for target in targets)
    return frozenset().union(*found)


def _near(target: int, size: int, heads: int, multiple: int) -> Counts:
    """Return dims next to a target, up or down, with which all heads together have a multiple of channels.

    Where none is that near, it may be the nearest, or all; and all may stay where nothing is to go.
    """
    fitting = _fitting(size, heads, multiple)
    near = multiples_near(target, size, heads, multiple)
    least = min((abs(dims - target) for dims in fitting), default=0)
    nearest = {dims for dims in fitting if abs(dims - target) == least}
    return near if near and target != size else near | nearest | {size}


def multiples_near(target: int, size: int, heads: int, multiple: int) -> Counts:
    """Return dims with which all heads have a multiple of channels, less than a multiple from those of a target."""
    return frozenset(d for d in _fitting(size, heads, multiple) if heads * abs(d - target) < multiple)


def _fitting(size: int, heads: int, multiple: int) -> Counts:
    return frozenset(dims for dims in range(1, size + 1) if heads * dims % multiple == 0)


def channel_scope(config: Config, dimension: str) -> tuple[Scope, Fraction]:
    """Return a dimension's ratio, after the layers that share it; () where it is the one for all.

    "pruning_ratio_dict: layer-specific pruning ratio. Will cover pruning_ratio if specified"
    """
    kind, _, block = dimension.partition(".")
    # "layers or blocks": whoever names queries, or the module that holds them, means the channels of a head.
    names = {f"attention.{block}", f"query.{block}"} if kind == "dims" else {dimension}
    return next((item for item in config.pruning_ratio_dict if names & {*item[0]}), ((), config.pruning_ratio))


def is_ranked_together(config: Config, dimension: str) -> bool:
    """Return whether a dimension competes with others for one total."""
    scope, _ = channel_scope(config, dimension)
    # "isomorphic (bool): enable isomorphic pruning": layers of the same structure share a scope.
    return len(scope) > 1 if scope else config.global_pruning or config.isomorphic


def _channel_totals(cell: Cell) -> Iterator[Count]:
    """Yield one total for each tuple in `pruning_ratio_dict`, and one for all else that is ranked together."""
    model, config, sizes = cell.model, cell.config, rankable(cell)
    scopes = [
        (tuple(d for d in sizes if channel_scope(config, d)[0] == scope), " and ".join(scope))
        for scope, _ in config.pruning_ratio_dict
        if len(scope) > 1
    ]
    free = [d for d in sizes if is_ranked_together(config, d) and not channel_scope(config, d)[0]]
    # Whether what is of no root type counts among all channels, no sentence says.
    if not model.reduced and (not config.documented or model.traits.uses_multihead_attention):
        # Same structure, same scope: the width by itself, all MLPs, all attentions.
        apart = config.isomorphic and not model.traits.uses_multihead_attention
        kinds = sorted({dimension.partition(".")[0] for dimension in free}) if apart else [""]
        scopes += [(tuple(d for d in free if kind in ("", d.partition(".")[0])), "all") for kind in kinds]
    for scope, name in scopes:
        prunable = [dimension for dimension in scope if not is_bystander(cell, dimension)]
        if prunable:
            allowed = total_left(cell, prunable, channel_scope(config, prunable[0])[1], among=0)
            rule = _rule(config, Rule.CHANNEL_COUNTS, own=name != "all")
            yield Count(tuple(prunable), allowed, rule, sum(sizes[d] for d in prunable), name)


def rankable(cell: Cell) -> dict[str, int]:
    """Return what can lose channels: dimension -> entries in a ranking; a head dim goes in all heads at once."""
    model = cell.model
    sizes = {} if keeps_width(cell.config) else dict(model.widths)
    for block in range(model.layers):
        if f"mlp.{block}" not in cell.config.ignored:
            sizes[f"mlp.{block}"] = model.mlp_of(block)
        if not ignores_attention(cell.config, block):
            sizes[f"dims.{block}"] = model.head_dim
    return {**sizes, **model.pooled}


def is_bystander(cell: Cell, dimension: str) -> bool:
    """Return whether a dimension is of a kind that never goes, or has one channel, though it may be in the ranking."""
    kind = dimension.partition(".")[0]
    if rankable(cell)[dimension] == 1:
        return True
    if cell.model.traits.uses_multihead_attention and not channel_scope(cell.config, dimension)[0]:
        return kind != "mlp"
    return kind == "dims" and (cell.config.skips_attention or not cell.config.prune_head_dims)


def total_left(cell: Cell, dimensions: Iterable[str], ratio: Fraction, *, among: int) -> Counts:
    """Return what may be left in all of these dimensions: every count between the least and the most.

    Args:
        among: entries of the ranking that belong to bystanders: of those that go, up to so many may fall on them.
    """
    config, dimensions = cell.config, tuple(dimensions)
    sizes = [rankable(cell)[dimension] for dimension in dimensions]
    both = kept_from(sum(sizes) + among, ratio, len(sizes), pruners(config))
    fewer = (config.round_to - 1) * len(sizes) if config.round_to else 0  # each dimension moves by less than a multiple
    slack = sum(_rounds_up(cell, dimension) for dimension in dimensions)
    low, high = max(min(both) - among - fewer, len(sizes)), max(both) + slack
    if config.max_pruning_ratio < 1:
        # Each dimension is bounded by itself: their sum may fall short of the ratio, down to the maximum.
        high = max(high, sum(size - math.floor(size * min(ratio, config.max_pruning_ratio)) for size in sizes) + slack)
    return span({low, max(low, min(high, sum(sizes)))})


def _rounds_up(cell: Cell, dimension: str) -> int:
    """Return how many more channels rounding may leave: less than a multiple, or all of a head where none fits."""
    kind, _, block = dimension.partition(".")
    multiple = cell.config.round_to or 1
    if kind != "dims":
        return multiple - 1
    heads = cell.model.heads_of(int(block))
    counts = range(1, heads + 1) if head_ratio(cell, int(block)) else (heads,)
    return 0 if all(count % multiple == 0 for count in counts) else cell.model.head_dim - 1


# --- importance --------------------------------------------------------------------------------


def _channel_importance(model: Model) -> dict[str, tuple[float, ...]]:
    # The width of one nn.MultiheadAttention goes as head dims, or with heads.
    skipped = {*model.reduced, *(model.widths if model.traits.uses_multihead_attention else ())}
    return {dimension: levels for dimension, levels in synthetic_channels(model).items() if dimension not in skipped}
