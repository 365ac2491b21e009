"""The promises: a function for each, with the sentence of upstream's documentation that it checks.

Each gives the ways in which an observation breaks it. Promise 1, no exception, is in `headcount.oracle.judge`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

from headcount.observation import Observation, Problem
from headcount.oracle.expectation import Count, Expectation
from headcount.oracle.verdict import Finding, Kind, Rule

#: The output may differ by rounding where a matrix product has another shape; relative to the largest logit.
OUTPUT_TOLERANCE = 1e-4

#: Channels whose synthetic importance is closer than this factor may be taken for each other: there are
#: thousands in a row of a full-size model, and a criterion's sums are as exact as floats are.
CHANNEL_MARGIN = 1.05

#: Bits of a float32's mantissa.
MANTISSA = 23


@dataclass(frozen=True)
class Promise:
    """One promise.

    Attributes:
        number: as README numbers them, and the project's design.
        sentence: of upstream's documentation.
        check: gives the ways in which an observation breaks it.
    """

    number: int
    rule: Rule
    sentence: str
    check: Callable[[Expectation, Observation], Iterable[Finding]]


# --- what is in the weights --------------------------------------------------------------------


def heads_left(observation: Observation, projection: str, head_dim: int) -> Mapping[int, tuple[int, ...]]:
    """Return the heads that a projection has left -> the channels of each, both as the dense model counts them."""
    return _heads(observation.kept.get(projection, ()), head_dim)


@lru_cache(256)  # every promise needs the same few
def _heads(kept: tuple[int, ...], head_dim: int) -> Mapping[int, tuple[int, ...]]:
    channels: dict[int, list[int]] = {}
    for index in kept:
        channels.setdefault(index // head_dim, []).append(index % head_dim)
    return {head: tuple(found) for head, found in channels.items()}


def counts_left(expectation: Expectation, observation: Observation) -> dict[str, int]:
    """Return dimension -> how many are left; heads and channels per head of each block as its queries have them."""
    left = {dimension: len(observation.kept.get(dimension, ())) for dimension in expectation.channels}
    for block in range(expectation.blocks):
        heads = heads_left(observation, f"q.{block}", expectation.head_dim)
        left |= {f"heads.{block}": len(heads), f"dims.{block}": min(map(len, heads.values()), default=0)}
    return left


def is_untouched(expectation: Expectation, observation: Observation) -> bool:
    """Return whether every dimension is there, and as it was: a refusal without an exception."""
    return set(expectation.channels) <= observation.sizes.keys() and all(
        len(observation.kept.get(dimension, ())) == size for dimension, size in observation.sizes.items()
    )


# --- 2, 6: what the pruner reports, and which weights survive ----------------------------------


def reported_heads(expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    """The pruner's own head count is the weights', for each projection that was listed."""
    rule, kind = Rule.REPORTED_HEADS, Kind.DESYNC
    if len(observation.reported) != expectation.blocks:
        yield Finding(rule, kind, Problem.BLOCKS, found=(len(observation.reported),), allowed=(expectation.blocks,))
        return
    for block, row in enumerate(observation.reported):
        said = dict(zip("qkv", row, strict=False))
        for name in expectation.listed:
            reported, actual = said.get(name), len(heads_left(observation, f"{name}.{block}", expectation.head_dim))
            channels = len(observation.kept.get(f"{name}.{block}", ()))
            if reported is None:
                yield Finding(rule, kind, Problem.FORGOTTEN, block, name)
            elif reported != actual:
                yield Finding(rule, kind, Problem.REPORTED, block, name, "", (reported,), (actual,), channels)


def dense_weights(_expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    """Every survivor is the dense weight, in its place; what shares a dimension keeps the same indices of it."""
    for index, weight in enumerate(observation.unexpected_weights):
        name, _, block = weight.dimension.partition(".")
        yield Finding(
            Rule.DENSE_WEIGHTS,
            Kind.WRONG_SHAPE,
            weight.problem,
            int(block) if block else None,
            name,
            weight.parameter,
            weight.found,
            weight.expected,
            more=len(observation.unexpected_weights) - 1 - index,
        )
    for dimension, kept in observation.kept.items():
        if any(one >= next_ for one, next_ in pairwise(kept)):
            yield Finding(Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, Problem.ORDER, dimension=dimension)


# --- 4: whole heads ----------------------------------------------------------------------------


def whole_heads(expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    """Heads go whole: queries, keys, values and the output projection keep the same ones."""
    rule, kind = Rule.WHOLE_HEADS, Kind.WRONG_HEADS
    for block in range(expectation.blocks):
        heads = {name: heads_left(observation, f"{name}.{block}", expectation.head_dim) for name in "qkvo"}
        for name, found in heads.items():
            dims = sorted({len(channels) for channels in found.values()})
            if len(dims) > 1:
                yield Finding(rule, kind, Problem.UNEVEN_HEADS, block, name, found=tuple(dims))
        for reading, read, both in (("q", "k", "qk"), ("o", "v", "vo")):
            if not _reads(heads[reading], heads[read], expectation.queries_per_kv):
                yield Finding(rule, kind, Problem.UNLIKE_CHANNELS, block, both)
        if heads["q"].keys() != heads["o"].keys():
            yield Finding(rule, kind, Problem.UNLIKE_HEADS, block, "qv")


def _reads(queries: Mapping[int, tuple[int, ...]], read: Mapping[int, tuple[int, ...]], each: int) -> bool:
    """Return whether every head that is read has equally many readers, with its own channels."""
    readers = Counter(head // each for head in queries)
    return (
        readers.keys() == read.keys()
        and len(set(readers.values())) <= 1
        and all(read[head // each] == channels for head, channels in queries.items())
    )


# --- 3, 4, 5, 9, 10: counts --------------------------------------------------------------------


def miscounts(rule: Rule, expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    """Those counts that come from one promise are among what is allowed: heads first, then channels, totals last."""
    left = counts_left(expectation, observation)
    for count in expectation.counts:
        if count.rule is rule:
            yield from _miscount(expectation, count, left)


def _miscount(expectation: Expectation, count: Count, left: Mapping[str, int]) -> Iterator[Finding]:
    found = sum(left[dimension] for dimension in count.dimensions)
    kind = Kind.WRONG_HEADS if count.dimension == "heads" else Kind.WRONG_SHAPE
    block = count.block if "." in count.dimensions[0] and not count.scope else None
    name = "+".join(count.dimensions) if block is None else count.dimension
    if found not in count.allowed:
        problem, allowed = Problem.TOTAL if count.scope else Problem.COUNT, tuple(sorted(count.allowed))
        yield Finding(count.rule, kind, problem, block, name, "", (found,), allowed, count.dense)
    heads, multiple = left.get(f"heads.{block}", 0), expectation.round_to
    if multiple and name == "dims" and found != count.dense and not _is_rounded(expectation, count, heads, found):
        yield Finding(Rule.RATIOS, kind, Problem.MULTIPLE, block, name, "", (heads, found), (multiple,))


def _is_rounded(expectation: Expectation, count: Count, heads: int, dims: int) -> bool:
    """Return whether a layer's channels are a multiple, with the heads that are left or those of an earlier step.

    No sentence says whether dims are rounded again when heads go later. Where no multiple fits, any number will do.
    """
    multiple = expectation.round_to or 1
    fits = heads > 0 and math.lcm(heads, multiple) // heads <= count.dense
    first = next(c.dense for c in expectation.counts if c.dimensions == (f"heads.{count.block}",))
    counts = range(heads, first + 1) if expectation.steps > 1 else (heads,)
    return not fits or any(number * dims % multiple == 0 for number in counts)


# --- 7: the least important go -----------------------------------------------------------------


def least_important(expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    """What went is what is least important; a block may keep its last head, however unimportant."""
    yield from _least_important_heads(expectation, observation)
    if expectation.groups:
        yield from _least_important_groups(expectation, observation)
    yield from _least_important_channels(expectation, observation)


def _least_important_heads(expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    importance = expectation.head_importance or ()
    survivors = [heads_left(observation, f"q.{b}", expectation.head_dim).keys() for b in range(len(importance))]
    every = [(value, block, head) for block, row in enumerate(importance) for head, value in enumerate(row)]
    gone = [item for item in every if item[2] not in survivors[item[1]]]
    stays = [
        item
        for item in every
        if item[2] in survivors[item[1]] and (len(survivors[item[1]]) > 1 or not expectation.across)
    ]
    totals = (count.blocks for count in expectation.counts if count.scope == "heads" and expectation.across)
    across = {*next(totals, ())}
    each = expectation.queries_per_kv

    def rank_alone(item: tuple[float, int, int]) -> tuple[int, int]:
        """Return what a head competes in, if not with other blocks: its block, or the heads that read what it reads."""
        return item[1], item[2] // each if each > 1 else 0

    for unit in dict.fromkeys(map(rank_alone, gone)):
        worst = max(item for item in gone if rank_alone(item) == unit)
        best = min((item for item in stays if rank_alone(item) == unit or {unit[0], item[1]} <= across), default=worst)
        if best[0] < worst[0]:
            yield Finding(
                Rule.LEAST_IMPORTANT,
                Kind.WRONG_SELECTION,
                Problem.HEAD_RANKING,
                unit[0],
                "heads",
                found=(worst[2], best[2], best[1]),
            )


def _least_important_groups(expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    """Yield groups that went though another one is less by its mean and by its best head."""
    each = expectation.queries_per_kv
    for block, row in enumerate(expectation.head_importance or ()):
        read = heads_left(observation, f"k.{block}", expectation.head_dim)
        groups = [row[start : start + each] for start in range(0, len(row), each)]
        for gone, more in enumerate(groups):
            less = [g for g in read if sum(groups[g]) < sum(more) and max(groups[g]) < max(more)]
            if gone not in read and less:
                yield Finding(
                    Rule.LEAST_IMPORTANT,
                    Kind.WRONG_SELECTION,
                    Problem.GROUP_RANKING,
                    block,
                    "k",
                    found=(gone, min(less)),
                )


def _least_important_channels(expectation: Expectation, observation: Observation) -> Iterator[Finding]:
    margin = CHANNEL_MARGIN * _inexact(expectation)
    for dimension, importance in expectation.channel_importance.items():
        name, _, block = dimension.partition(".")
        kept = set(observation.kept.get(dimension, ())) & set(range(len(importance)))
        if name == "dims":
            kept = set().union(*heads_left(observation, f"q.{block}", expectation.head_dim).values())
        gone = [value for channel, value in enumerate(importance) if channel not in kept]
        if gone and kept and min(importance[channel] for channel in kept) * margin < max(gone):
            yield Finding(Rule.LEAST_IMPORTANT, Kind.WRONG_SELECTION, Problem.CHANNEL_RANKING, dimension=dimension)


def _inexact(expectation: Expectation) -> float:
    """Return the factor by which low bits, where a weight says where it comes from, may shift a channel's score.

    They do not shift the sums of the dense weights. A later step scores by the few that are left.
    """
    width, mlp = (
        max(count.dense for count in expectation.counts if count.dimension == kind and not count.scope)
        for kind in ("width", "mlp")
    )
    bits = (width * mlp - 1).bit_length()
    return 1.0 if expectation.steps == 1 else (1 + 2.0 ** (bits - MANTISSA)) ** 2


# --- 8, 11: what comes out, and what must not change -------------------------------------------


def masked_output(_: Expectation, observation: Observation) -> Iterator[Finding]:
    """The output is the dense model's with the removed parts masked."""
    gap = observation.output_gap
    if gap is not None and not gap <= OUTPUT_TOLERANCE:
        # In millionths.
        yield Finding(Rule.MASKED_OUTPUT, Kind.WRONG_OUTPUT, Problem.OUTPUT, found=(round(min(gap, 1e6) * 1e6),))


def side_effects(_: Expectation, observation: Observation) -> Iterator[Finding]:
    """Nothing else changed: the model's mode, what is frozen, other pruners."""
    for effect in observation.effects:
        counted = effect.problem is Problem.CHANNEL_GROUPS
        change, found = ("", (int(effect.after),)) if counted else (f"{effect.before}>{effect.after}", ())
        yield Finding(Rule.SIDE_EFFECTS, Kind.SIDE_EFFECT, effect.problem, None, change, effect.where, found)


def use(_: Expectation, observation: Observation) -> Iterator[Finding]:
    """What a user does next gives the output of before, or changes every parameter, or finds all that is left."""
    done = observation.use
    if done is None or done.cannot:
        return
    if done.names:
        yield Finding(Rule.USE, Kind.BROKEN_USE, done.problem, where=done.names[0], more=len(done.names) - 1)
    if not done.gap <= OUTPUT_TOLERANCE:
        # In millionths.
        yield Finding(Rule.USE, Kind.BROKEN_USE, Problem.OTHER_OUTPUT, found=(round(min(done.gap, 1e6) * 1e6),))


_DEPGRAPH = "automatically identify dependencies and collect groups for pruning"

#: In the order of cause and effect: a wrong head count makes a wrong output, and is named first. Of several
#: broken promises in one stage, the one whose count comes first in the expectation is named.
STAGES: tuple[tuple[Promise, ...], ...] = (
    (Promise(6, Rule.DENSE_WEIGHTS, f"Torch-Pruning introduces DepGraph to {_DEPGRAPH}.", dense_weights),),
    (
        Promise(
            2,
            Rule.REPORTED_HEADS,
            "m.num_attention_heads = pruner.num_heads[m.query]  (prune_hf_vit.py)",
            reported_heads,
        ),
    ),
    (
        Promise(
            4, Rule.WHOLE_HEADS, "prune_num_heads (bool): remove entire heads in multi-head attention.", whole_heads
        ),
    ),
    (
        Promise(
            3, Rule.HEAD_COUNTS, "head_pruning_ratio (float): head pruning ratio.", partial(miscounts, Rule.HEAD_COUNTS)
        ),
        Promise(
            4,
            Rule.WHOLE_HEADS,
            "prune_head_dims (bool): remove head dimensions in multi-head attention.",
            partial(miscounts, Rule.WHOLE_HEADS),
        ),
        Promise(
            5,
            Rule.CHANNEL_COUNTS,
            "pruning_ratio (float): global channel sparisty.",
            partial(miscounts, Rule.CHANNEL_COUNTS),
        ),
        Promise(
            9,
            Rule.STEPS,
            "The pruner will prune the model iteratively for several steps to achieve the target pruning ratio.",
            partial(miscounts, Rule.STEPS),
        ),
        Promise(
            10,
            Rule.RATIOS,
            "pruning_ratio_dict (Dict[nn.Module, float]): layer-specific pruning ratio. Will cover pruning_ratio if "
            "specified; max_pruning_ratio, round_to and head_pruning_ratio_dict in the same docstring.",
            partial(miscounts, Rule.RATIOS),
        ),
    ),
)

#: What is looked at once a forward pass has worked.
LATER: tuple[Promise, ...] = (
    Promise(7, Rule.LEAST_IMPORTANT, "importance (Callable): importance estimator.", least_important),
    Promise(8, Rule.MASKED_OUTPUT, f"DepGraph: {_DEPGRAPH}: what is left computes as before.", masked_output),
    Promise(
        11, Rule.SIDE_EFFECTS, "You can fine-tune the remaining weights using your own training code.", side_effects
    ),
    # In the order of sentences: TRAIN and GRADIENTS, SAVE, TP_STATE_DICT, BY_HAND, GRAPH. The rest is torch's promise
    # for any module, or transformers' for its own. Without masks what is left is one, and the dense one does it.
    Promise(
        12,
        Rule.USE,
        "You can fine-tune the remaining weights using your own training code.  The following script saves the whole "
        "model object (structure+weights) as a 'model.pth'. You can load it using the standard PyTorch API.  "
        "tp.load_state_dict: Load a model given a state_dict.  All high-level pruners offer support for interactive "
        "pruning.  The target layer model.conv1 is coupled with multiple layers, necessitating their simultaneous "
        "removal in structural pruning.  Different from torch.nn.utils.prune that zeroizes parameters via masking, "
        "Torch-Pruning deploys an algorithm to group and remove coupled parameters.",
        use,
    ),
)

#: Every promise that is checked on a pruned model.
PROMISES: tuple[Promise, ...] = (*(promise for stage in STAGES for promise in stage), *LATER)
