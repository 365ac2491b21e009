"""Judge what a build did to a user's network, by the promises that need no adapter. Nothing here asks the pruner."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from headcount.check.facts import Attention, Call, Dimension, Leave, Listed, Pruned, Sight
from headcount.observation import Ending, Problem
from headcount.oracle import Finding, Kind, Rule, Verdict
from headcount.oracle.expectation import Counts, kept_from, rounded, span
from headcount.oracle.judge import unfinished
from headcount.oracle.promises import CHANNEL_MARGIN, OUTPUT_TOLERANCE

#: A ratio that a user typed as a float was meant as a fraction of this size.
_FINEST = 10_000


@dataclass(frozen=True)
class Judgement:
    """What is to be said of a user's network on one build.

    Attributes:
        verdicts: the ways in which it fails, the first promise that is broken first; () if none is.
        undecided: what of the promises 1, 2, 4, 6 and 11 could not be judged, and why.
        open: what else was not judged.
    """

    verdicts: tuple[Verdict, ...] = ()
    undecided: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether all that was judged is fine, and the promises that must be judged were."""
        return self.verdict.kind is Kind.OK and not self.undecided

    @property
    def verdict(self) -> Verdict:
        """The first way in which it fails; fine if there is none."""
        return next(iter(self.verdicts), Verdict(Kind.OK))


def judge(sight: Sight) -> Judgement:
    """Return what is to be said."""
    observation = sight.observation
    if observation.ending is not Ending.FINISHED:
        found = unfinished(observation, may_refuse=any(_is_nonsense(pruned.call) for pruned in sight.pruned))
        return Judgement((found,) if found.kind is not Kind.OK else ())
    findings = [*_in_order(sight)]
    verdicts = [Verdict(finding.kind, finding) for finding in findings]
    unclear = tuple(why for pruned in sight.pruned for why in pruned.unclear)
    failure = observation.output_failure
    if failure is not None:
        if any(finding.rule in _STRUCTURE for finding in findings) or unclear or failure.frame:
            at = sum(finding.rule not in _LATER for finding in findings)
            verdicts.insert(at, Verdict(Kind.BROKEN_FORWARD, failure=failure))
        else:
            # All that is left fits together: a network of these weights runs, if its own code lets it.
            unclear = (f"{_OWN_CODE}: {failure.exception}: {failure.first_line}", *unclear)
    return Judgement(tuple(verdicts), unclear, tuple(_open(sight)))


_OWN_CODE = (
    "what is left fits together, but the network's own code does not run with these sizes; an update(net, pruner) in "
    "the file may set them"
)

#: Promises about what fits together, and those that are looked at once the network runs.
_STRUCTURE = (Rule.DENSE_WEIGHTS, Rule.REPORTED_HEADS, Rule.WHOLE_HEADS)
_LATER = (Rule.LEAST_IMPORTANT, Rule.MASKED_OUTPUT, Rule.SIDE_EFFECTS)


def _is_nonsense(call: Call) -> bool:
    return not 0 <= call.head_pruning_ratio < 1


def _in_order(sight: Sight) -> Iterator[Finding]:
    """Yield what is broken, in the order of cause and effect."""
    for stage in (_weights, _reported, _whole, _heads, _channels):
        for pruned in sight.pruned:
            # A criterion that has nothing to rank by may leave all as it is: no sentence says what happens then.
            if stage not in (_heads, _channels) or not (pruned.call.blind and _is_untouched(pruned)):
                yield from stage(pruned)
    if sight.observation.output_failure is None:
        for pruned in sight.pruned:
            yield from _ranking(pruned)
        gap = sight.observation.output_gap
        if gap is not None and not gap <= OUTPUT_TOLERANCE:
            yield Finding(Rule.MASKED_OUTPUT, Kind.WRONG_OUTPUT, Problem.OUTPUT, found=(round(min(gap, 1e6) * 1e6),))
    seen = Counter(effect.problem for effect in sight.observation.effects)
    for effect in sight.observation.effects:
        if more := seen.pop(effect.problem, 0):
            change = f"{effect.before}>{effect.after}"
            yield Finding(
                Rule.SIDE_EFFECTS, Kind.SIDE_EFFECT, effect.problem, None, change, effect.where, more=more - 1
            )


def _is_untouched(pruned: Pruned) -> bool:
    return all(dimension.left == dimension.size for dimension in pruned.dimensions)


def _open(sight: Sight) -> Iterator[str]:
    for pruned in sight.pruned:
        yield from pruned.unjudged
        yield from _left_open(pruned)
        if not pruned.call.plain:
            yield "importance: which heads and channels are the least important was not judged, by this criterion"
        elif pruned.call.steps > 1:
            yield "importance: which are the least important was not judged, in several steps"
        if pruned.output and sight.observation.output_failure is None:
            yield f"output: it was not compared with the dense network's: {pruned.output}"
    if sight.ended:
        yield f"the script itself ended with {sight.ended}"


def _left_open(pruned: Pruned) -> Iterator[str]:
    """Yield the choices that the documentation leaves, and that were taken."""
    for attention in pruned.attentions:
        if attention.may_stay and attention.read is not None and len(attention.read) == attention.heads:
            yield f"{attention.listed[0].layer}: its heads may stay: {attention.may_stay}"
    for dimension in pruned.dimensions:
        if dimension.is_output and not dimension.ignored:
            yield f"{dimension.layer}: it is what the network gives, and may go or stay"
        elif dimension.multihead and not dimension.attention:
            yield f"{dimension.layer}: it goes with the heads' channels of nn.MultiheadAttention"


# --- 6, 2, 4 -------------------------------------------------------------------------------------


def _weights(pruned: Pruned) -> Iterator[Finding]:
    """Every survivor is the dense weight, in its place; what belongs together keeps the same channels."""
    for weight in pruned.weights:
        yield Finding(
            Rule.DENSE_WEIGHTS,
            Kind.WRONG_SHAPE,
            weight.problem,
            where=weight.parameter,
            found=weight.found,
            allowed=weight.expected,
        )
    for dimension in pruned.dimensions:
        for side in dimension.torn[:1]:
            where = _plain(side)
            more = len(dimension.torn) - 1
            yield Finding(
                Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, Problem.OTHER_INDICES, None, dimension.layer, where, more=more
            )
        for side in dimension.unordered[:1]:
            yield Finding(Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, Problem.ORDER, None, _plain(side), _plain(side))


def _plain(side: str) -> str:
    return side.rpartition(":")[0]


def _layers(pruned: Pruned) -> Iterator[tuple[Attention, Listed]]:
    for attention in pruned.attentions:
        for listed in attention.listed:
            if not listed.unclear:
                yield attention, listed


def _reported(pruned: Pruned) -> Iterator[Finding]:
    """The pruner's own head count is the weights', for each layer that was listed."""
    for _, listed in _layers(pruned):
        actual = len(listed.left[0])
        if listed.reported is None:
            yield Finding(Rule.REPORTED_HEADS, Kind.DESYNC, Problem.FORGOTTEN, None, listed.layer)
        elif listed.reported != actual:
            channels = sum(listed.sizes[-1:]) * actual
            yield Finding(
                Rule.REPORTED_HEADS,
                Kind.DESYNC,
                Problem.REPORTED,
                None,
                listed.layer,
                "",
                (listed.reported,),
                (actual,),
                channels,
            )


def _whole(pruned: Pruned) -> Iterator[Finding]:
    """Heads go whole: queries, keys, values and what reads them keep the same ones."""
    rule, kind = Rule.WHOLE_HEADS, Kind.WRONG_HEADS
    for attention, listed in _layers(pruned):
        if len(listed.sizes) > 1:
            yield Finding(rule, kind, Problem.UNEVEN_HEADS, None, listed.layer, found=listed.sizes)
        elif not pruned.call.prune_head_dims and listed.sizes not in ((), (listed.size,)):
            yield _count(rule, "dims", listed.layer, listed.sizes[0], frozenset({listed.size}), listed.size)
        queries = attention.listed[0]
        left = queries.left[0] if queries.left else ()
        belonging = tuple(head for head, own in enumerate(listed.out) if set(own) & set(left))
        if any(part != belonging for part in listed.left) or attention.read not in (None, left):
            yield Finding(rule, kind, Problem.UNLIKE_HEADS, None, f"{queries.layer} and what belongs to it")
            return


def _count(  # noqa: PLR0913, PLR0917 - what a count is about
    rule: Rule, what: str, layer: str, found: int, allowed: Counts, dense: int
) -> Finding:
    """Return a wrong count of `heads`, `dims` or `channels`: of a layer, or in all if none is named."""
    kind = Kind.WRONG_SHAPE if what == "channels" else Kind.WRONG_HEADS
    problem = Problem.COUNT if layer else Problem.TOTAL
    return Finding(rule, kind, problem, None, what, layer, (found,), tuple(sorted(allowed)), dense)


# --- 3, 5: counts --------------------------------------------------------------------------------


def _fraction(ratio: float) -> Fraction:
    return Fraction(min(max(ratio, 0.0), 1.0)).limit_denominator(_FINEST)


def _heads(pruned: Pruned) -> Iterator[Finding]:
    """Each attention loses its share of heads; in global pruning all together do."""
    call, ranked = pruned.call, list[tuple[int, int]]()
    for attention in pruned.attentions:
        if any(listed.unclear for listed in attention.listed):
            continue
        dense, left = attention.heads, len(attention.listed[0].left[0])
        allowed = _heads_allowed(call, attention)
        together = call.global_pruning and not attention.own
        if together and allowed != {dense}:
            ranked.append((dense, left))
        if left not in allowed:
            yield _count(_rule(call, Rule.HEAD_COUNTS), "heads", attention.listed[0].layer, left, allowed, dense)
    if ranked and not any(attention.may_stay for attention in pruned.attentions):
        dense = sum(before for before, _ in ranked)
        allowed = kept_from(dense, _fraction(call.head_pruning_ratio), len(ranked))
        slack = max((_grouped(attention) for attention in pruned.attentions), default=1) - 1
        allowed = span({max(min(allowed) - slack * len(ranked), 0), min(max(allowed) + slack * len(ranked), dense)})
        if (left := sum(now for _, now in ranked)) not in allowed:
            yield _count(_rule(call, Rule.HEAD_COUNTS), "heads", "", left, allowed, dense)


def _heads_allowed(call: Call, attention: Attention) -> Counts:
    """Return how many heads may be left of one attention."""
    dense, ratio = attention.heads, _fraction(attention.ratio)
    if not call.prune_num_heads or attention.ignored or ratio == 0:
        return frozenset({dense})
    if call.global_pruning and not attention.own:
        return span({1 if ratio < 1 else 0, dense})
    allowed = kept_from(dense, ratio) | ({dense} if attention.may_stay else set())
    if ratio >= 1:
        allowed |= {0, 1, dense}
    if (each := _grouped(attention)) > 1:
        allowed |= {dense // each * left for left in kept_from(each, ratio)}
    if call.max_pruning_ratio < attention.ratio:
        allowed = span(allowed | kept_from(dense, _fraction(call.max_pruning_ratio)))
    return allowed


def _grouped(attention: Attention) -> int:
    """Return how many heads of queries read one of keys."""
    return max((len(own) for listed in attention.listed for own in listed.out), default=1)


def _rule(call: Call, plain: Rule) -> Rule:
    return Rule.STEPS if call.steps > 1 else plain


def _channels(pruned: Pruned) -> Iterator[Finding]:
    """Ignored layers keep their outputs; all others lose their share."""
    call = pruned.call
    for dimension in pruned.dimensions:
        if not dimension.attention and not dimension.torn:
            allowed = _channels_allowed(pruned, dimension)
            if allowed and dimension.left not in allowed:
                rule = Rule.RATIOS if dimension.own or call.round_to else _rule(call, Rule.CHANNEL_COUNTS)
                yield _count(rule, "channels", dimension.layer, dimension.left, allowed, dimension.size)
    for attention, listed in _layers(pruned):
        allowed = _dims_allowed(pruned, attention, listed)
        if len(listed.sizes) == 1 and allowed and listed.sizes[0] not in allowed:
            yield _count(_rule(call, Rule.CHANNEL_COUNTS), "dims", listed.layer, listed.sizes[0], allowed, listed.size)
    yield from _total(pruned)


def _channels_allowed(pruned: Pruned, dimension: Dimension) -> Counts:
    """Return how many channels may be left; none if that was not asked, or is not known."""
    call = pruned.call
    if dimension.ignored:
        return frozenset({dimension.size})
    if not dimension.makers or dimension.is_output or call.more or dimension.multihead:
        return frozenset()
    ratio = _fraction(min(dimension.ratio, call.max_pruning_ratio))
    if ratio >= 1:
        return frozenset()
    if dimension.shared or ((call.global_pruning or call.isomorphic) and not dimension.own):
        least = kept_from(dimension.size, min(_fraction(call.max_pruning_ratio), Fraction(_FINEST - 1, _FINEST)))
        return span({*rounded(least, dimension.size, call.round_to or None), *least, dimension.size})
    return rounded(kept_from(dimension.size, ratio), dimension.size, call.round_to or None)


def _dims_allowed(pruned: Pruned, attention: Attention, listed: Listed) -> Counts:
    """Return how many channels of a head may be left, if the call prunes them and that is known."""
    call = pruned.call
    layers = tuple(f"{each.layer}." for each in attention.listed)
    own = [d for d in pruned.dimensions if d.attention and any(side.startswith(layers) for side in d.sides)]
    known = not (call.more or call.round_to or attention.may_stay in (Leave.MULTIHEAD, Leave.UNLISTED))
    if not call.prune_head_dims or not known or not own:
        return frozenset()
    if any(d.ignored for d in own):
        return frozenset({listed.size})
    # Queries' ratio holds for keys and values, too: their channels are a head's.
    chosen = next((d for d in own if d.own), own[0])
    if chosen.shared or ((call.global_pruning or call.isomorphic) and not chosen.own) or call.max_pruning_ratio < 1:
        return span({1, listed.size})
    ratio = _fraction(chosen.ratio)
    return frozenset() if ratio >= 1 else kept_from(listed.size, ratio)


def _total(pruned: Pruned) -> Iterator[Finding]:
    """In global pruning all channels together lose their share; whether those that never go count, no sentence says."""
    call, ranked = pruned.call, [d for d in pruned.dimensions if d.makers and not d.attention and not d.own]
    free = [d for d in ranked if not d.ignored and not d.is_output]
    known = not (call.more or call.round_to or call.max_pruning_ratio < 1 or call.pruning_ratio >= 1)
    unclear = pruned.unclear or pruned.unjudged or any(d.multihead for d in pruned.dimensions)
    if (
        not (call.global_pruning or call.isomorphic)
        or not free
        or not known
        or unclear
        or any(d.torn or d.is_output for d in free)
    ):
        return
    dims = sum(attention.listed[0].size for attention in pruned.attentions)
    dense, left = sum(d.size for d in free), sum(d.left for d in free)
    bystanders = dims + sum(d.size for d in ranked if d.is_output and not d.ignored)
    both = kept_from(dense + bystanders, _fraction(call.pruning_ratio), len(free))
    plain = kept_from(dense, _fraction(call.pruning_ratio), len(free))
    apart = len(free) if call.isomorphic else 0  # each kind of layers by itself, each rounded
    allowed = span({max(min(both) - bystanders - apart, len(free)), min(max(*plain, *both) + apart, dense)})
    if left not in allowed:
        yield _count(_rule(call, Rule.CHANNEL_COUNTS), "channels", "", left, allowed, dense)


# --- 7 -------------------------------------------------------------------------------------------


def _ranking(pruned: Pruned) -> Iterator[Finding]:
    """What went is what is least important, by a criterion that looks at the size of weights alone."""
    if not pruned.call.plain or pruned.call.steps > 1:
        return
    rule, kind = Rule.LEAST_IMPORTANT, Kind.WRONG_SELECTION
    for number, attention in enumerate(pruned.attentions):
        ranked = _grouped(attention) == 1 and attention.may_stay is not Leave.MULTIHEAD
        if attention.misranked and ranked:
            where = attention.listed[0].layer
            found = (*attention.misranked, number)
            yield Finding(rule, kind, Problem.HEAD_RANKING, None, "heads", where, found)
    for dimension in pruned.dimensions:
        plain = not dimension.attention and not dimension.multihead
        if dimension.ranks and plain and dimension.ranks[1] * CHANNEL_MARGIN < dimension.ranks[0]:
            yield Finding(rule, kind, Problem.CHANNEL_RANKING, None, dimension.layer)
