"""Judge an observation by its expectation: one verdict, why, and a signature to tell failures apart."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle.expectation import Counts, Expectation, Total


class Kind(StrEnum):
    """What happened."""

    OK = "ok"
    CRASH = "crash"
    BROKEN_FORWARD = "broken-forward"
    WRONG_HEADS = "wrong-heads"
    DESYNC = "desync"
    WRONG_SHAPE = "wrong-shape"
    WRONG_SELECTION = "wrong-selection"
    WRONG_OUTPUT = "wrong-output"
    SIDE_EFFECT = "side-effect"
    TIMEOUT = "timeout"
    KILLED = "killed"
    UNTESTABLE = "untestable"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True)
class Signature:
    """What two occurrences of one failure have in common.

    Attributes:
        message: of the exception or the reason, with every number replaced by N.
        frame: inside torch_pruning, for exceptions.
    """

    kind: Kind
    exception: str = ""
    message: str = ""
    frame: str = ""

    @property
    def unplaced(self) -> "Signature":
        """But for the module: functions move between files."""
        return replace(self, frame=self.frame.rpartition(".")[2])

    def __str__(self) -> str:
        return ": ".join(part for part in (self.kind.value, self.exception, self.message, self.frame) if part)


@dataclass(frozen=True)
class Verdict:
    """The judgement on one cell: its kind, a reason in one line ("" for ok), and the signature."""

    kind: Kind
    reason: str = ""
    signature: Signature = Signature(Kind.OK)


#: The output may differ by rounding where a matrix product has another shape; relative to the largest logit.
OUTPUT_TOLERANCE = 1e-4

#: Channels whose planted importance is closer than this factor may be taken for each other: there are
#: thousands in a row of a full-size model, and a criterion's sums are as exact as floats are.
CHANNEL_MARGIN = 1.05

#: Exceptions that tell of a mistake in the code, whatever it was called with.
_SLIPS = ("AttributeError", "NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError")

_OK = Verdict(Kind.OK)


def judge(expectation: Expectation, observation: Observation) -> Verdict:
    """The verdict on what was observed.

    Rules are asked in the order of cause and effect: a wrong head count makes a wrong output, and
    is named first. The first that is broken decides.
    """
    if observation.ending is not Ending.FINISHED:
        return _unfinished(expectation, observation)
    return (
        _first_broken(_rules(expectation, observation), expectation, observation)
        or _broken_forward(observation)
        or _first_broken(_LATER_RULES, expectation, observation)
        or _cannot_run(observation)
        or _OK
    )


def broken(expectation: Expectation, observation: Observation) -> frozenset[Kind]:
    """Every way in which it fails, as far as it went: the first broken rule alone hides the others."""
    if observation.ending is not Ending.FINISHED:
        return frozenset({judge(expectation, observation).kind} - {Kind.OK})
    rules = (*_rules(expectation, observation), *_LATER_RULES)
    found = {finding[0] for rule in rules if (finding := rule(expectation, observation)) is not None}
    return frozenset(found | ({Kind.BROKEN_FORWARD} if _broken_forward(observation) is not None else set()))


def _rules(expectation: Expectation, observation: Observation) -> tuple["Rule", ...]:
    """Those on what is in the weights; of a model that may stay as it was, and has, fewer."""
    untouched = expectation.may_leave and is_untouched(expectation, observation)
    return (_dense_weights, _count_in_step) if untouched else _RULES


def _first_broken(rules: Iterable["Rule"], expectation: Expectation, observation: Observation) -> Verdict | None:
    findings = (rule(expectation, observation) for rule in rules)
    return next((_found(*finding) for finding in findings if finding is not None), None)


def _broken_forward(observation: Observation) -> Verdict | None:
    """Rule 1, its other half: a forward pass with the head counts updated, where the model's own code allows one."""
    failure = observation.output_failure
    if failure is None or observation.cannot_run:
        return None
    return _raised(Kind.BROKEN_FORWARD, failure, Phase.FORWARD)


def _cannot_run(observation: Observation) -> Verdict | None:
    """All that can be asked of the weights is fine, and no pruner could do more."""
    if not observation.cannot_run:
        return None
    return _found(Kind.NOT_APPLICABLE, "whoever prunes it, this model cannot run so: its own code has sizes fixed")


def _found(kind: Kind, reason: str) -> Verdict:
    return Verdict(kind, reason, Signature(kind, message=normalised(reason)))


def normalised(message: str) -> str:
    """A message without what differs from run to run: numbers, addresses, where in the model; its first line."""
    first = message.strip().splitlines()[0] if message.strip() else ""
    inner = re.sub(r"(?:[A-Za-z_]\w*\.(?:\d+\.)*)+(\w+\.\w+)", r"\1", re.sub(r"0x[0-9a-f]+", "0xN", first))
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "N", inner)[:200]


def _unfinished(expectation: Expectation, observation: Observation) -> Verdict:
    """Rule 1: no exception, unless the call may be refused."""
    match observation.ending:
        case Ending.RAISED if observation.failure is not None:
            if expectation.may_refuse and _refused(observation.phase, observation.failure):
                return _OK
            return _raised(Kind.CRASH, observation.failure, observation.phase)
        case Ending.UNIMPORTABLE if observation.failure is not None:
            return _raised(Kind.UNTESTABLE, observation.failure, Phase.IMPORT)
        case Ending.NOT_APPLICABLE:
            kind = Kind.NOT_APPLICABLE
        case _ if observation.phase is Phase.IMPORT:
            kind = Kind.UNTESTABLE
        case Ending.TIMEOUT:
            kind = Kind.TIMEOUT
        case Ending.KILLED | Ending.GARBAGE:
            kind = Kind.KILLED
        case _:
            kind = Kind.UNTESTABLE
    said_twice = observation.ending.value == kind.value
    return _found(kind, observation.detail if said_twice else f"{observation.ending}: {observation.detail}")


def _refused(phase: Phase, failure: Failure) -> bool:
    """Whether an exception may be an answer to the call; a slip of the program's own never is."""
    return phase in (Phase.CONSTRUCT, Phase.STEP) and failure.type not in _SLIPS


def _raised(kind: Kind, failure: Failure, phase: Phase) -> Verdict:
    where = f" in {failure.frame}" if failure.frame else ""
    first = failure.message.strip().splitlines()[0] if failure.message.strip() else ""
    reason = f"{failure.type} at {phase}{where}: {first}"
    return Verdict(kind, reason, Signature(kind, failure.type, normalised(failure.message), failure.frame))


def is_untouched(expectation: Expectation, observation: Observation) -> bool:
    """Every role there, and as it was: a refusal without an exception."""
    return expectation.channels.keys() <= observation.sizes.keys() and all(
        len(observation.kept.get(role, ())) == size for role, size in observation.sizes.items()
    )


# --- what is in the weights --------------------------------------------------------------------


@dataclass(frozen=True)
class _Heads:
    """One block's heads as its weights have them: surviving head -> its surviving channels in q, k, v or o."""

    channels: Mapping[int, tuple[int, ...]]

    @property
    def dims(self) -> set[int]:
        return {len(channels) for channels in self.channels.values()}


def heads_left(observation: Observation, role: str, head_dim: int) -> Mapping[int, tuple[int, ...]]:
    """The heads that a projection has left -> the channels that each has left, both as the dense model counts them."""
    return _block_heads(observation, role, head_dim).channels


def counts_left(expectation: Expectation, observation: Observation) -> dict[str, int]:
    """Role -> how many are left: channels, and of each block `heads.N` and `dims.N`, as q has them."""
    left = {role: len(observation.kept.get(role, ())) for role in expectation.channels}
    for block in range(len(expectation.heads)):
        heads = _block_heads(observation, f"q.{block}", expectation.head_dim)
        left |= {f"heads.{block}": len(heads.channels), f"dims.{block}": min(heads.dims, default=0)}
    return left


def ranked_left(total: Total, left: Mapping[str, int]) -> int:
    """How many are left in all of what is ranked together; `left` is as `counts_left` has it."""
    return sum(left[role] for role in total.roles)


def _block_heads(observation: Observation, role: str, head_dim: int) -> _Heads:
    return _heads(observation.kept.get(role, ()), head_dim)


@lru_cache(256)  # every rule asks for the same few
def _heads(kept: tuple[int, ...], head_dim: int) -> _Heads:
    channels: dict[int, list[int]] = {}
    for index in kept:
        channels.setdefault(index // head_dim, []).append(index % head_dim)
    return _Heads({head: tuple(found) for head, found in channels.items()})


Finding = tuple[Kind, str] | None
Rule = Callable[[Expectation, Observation], Finding]


def _dense_weights(_: Expectation, observation: Observation) -> Finding:
    """Rule 6, and the half of rule 5 that says consistently: every survivor is the dense weight, in its place."""
    if observation.strays:
        more = f" and {len(observation.strays) - 1} more" if len(observation.strays) > 1 else ""
        return Kind.WRONG_SHAPE, f"weights do not fit together: {observation.strays[0]}{more}"
    for role, kept in observation.kept.items():
        if any(one >= next_ for one, next_ in pairwise(kept)):
            return Kind.WRONG_SHAPE, f"weights do not fit together: {role} is out of order"
    return None


def _count_in_step(expectation: Expectation, observation: Observation) -> Finding:
    """Rule 2: the pruner's own head count is the weights', for each projection that was listed."""
    if len(observation.reported) != len(expectation.heads):
        return Kind.DESYNC, f"head counts of {len(observation.reported)} blocks, not {len(expectation.heads)}"
    for block, row in enumerate(observation.reported):
        for name, reported in zip("qkv", row, strict=True):
            if name not in expectation.listed:
                continue
            role = f"{name}.{block}"
            left = len(observation.kept.get(role, ()))
            actual = len(_block_heads(observation, role, expectation.head_dim).channels)
            if reported is None:
                return Kind.DESYNC, f"block {block}: the pruner no longer knows {name}"
            if reported != actual:
                return (
                    Kind.DESYNC,
                    f"block {block}: the pruner says {name} has {reported} heads, its {left} channels are of {actual}",
                )
    return None


def _whole_heads(expectation: Expectation, observation: Observation) -> Finding:
    """Rule 4: heads go whole, the same ones in q, k, v and the output projection."""
    head_dim = expectation.head_dim
    for block in range(len(expectation.heads)):
        heads = {name: _block_heads(observation, f"{name}.{block}", head_dim) for name in "qkvo"}
        for name, found in heads.items():
            if len(found.dims) > 1:
                return Kind.WRONG_HEADS, f"block {block}: heads of {name} keep {sorted(found.dims)} channels each"
        for reading, read, both in (("q", "k", "q and k"), ("o", "v", "v and o")):
            if not _reads(heads[reading], heads[read], expectation.queries):
                return Kind.WRONG_HEADS, f"block {block}: {both} keep different channels"
        if heads["q"].channels.keys() != heads["o"].channels.keys():
            return Kind.WRONG_HEADS, f"block {block}: q and v keep different heads"
    return None


def _reads(queries: _Heads, read: _Heads, each: int) -> bool:
    """Whether all heads read one with the same channels, and every head is read by equally many: at first by `each`."""
    readers = Counter(head // each for head in queries.channels)
    return (
        readers.keys() == read.channels.keys()
        and len(set(readers.values())) <= 1
        and all(read.channels[head // each] == channels for head, channels in queries.channels.items())
    )


def _head_counts(expectation: Expectation, observation: Observation) -> Finding:
    """Rules 3, 4, 9 and 10: as many heads as the ratios say, in each block or in all."""
    left = counts_left(expectation, observation)
    total = expectation.head_total
    if total is not None:
        ranked = ranked_left(total, left)
        if ranked not in total.kept:
            return Kind.WRONG_HEADS, f"{ranked} heads are left in all, {should(ranked, total.kept)}"
    for block, allowed in enumerate(expectation.heads):
        count = left[f"heads.{block}"]
        if count not in allowed:
            return Kind.WRONG_HEADS, f"block {block}: {count} heads are left, {should(count, allowed)}"
    return None


def _channel_counts(expectation: Expectation, observation: Observation) -> Finding:
    """Rules 4, 5, 9 and 10: head dims, width, MLP and labels."""
    head_dim = expectation.head_dim
    left = counts_left(expectation, observation)
    for block, allowed in enumerate(expectation.head_dims):
        heads, dims = left[f"heads.{block}"], left[f"dims.{block}"]
        if dims not in allowed:
            return Kind.WRONG_SHAPE, f"block {block}: heads have {dims} dims, {should(dims, allowed)}"
        multiple = expectation.round_to
        if multiple and dims != head_dim and dims % multiple and dims * heads % multiple:
            return (
                Kind.WRONG_SHAPE,
                f"block {block}: {heads} heads of {dims} dims, no multiple of {multiple}",
            )
    for role, allowed in expectation.channels.items():
        if left[role] not in allowed:
            return Kind.WRONG_SHAPE, f"{role}: {left[role]} channels are left, {should(left[role], allowed)}"
    return _totals(expectation.channel_totals, left)


def _totals(totals: tuple[Total, ...], left: Mapping[str, int]) -> Finding:
    for total in totals:
        ranked = ranked_left(total, left)
        if ranked not in total.kept:
            return Kind.WRONG_SHAPE, f"{total.name}: {ranked} are left, {should(ranked, total.kept)}"
    return None


def _least_important(expectation: Expectation, observation: Observation) -> Finding:
    """Rule 7: what went is what was planted as least important; a block's last head is not asked for."""
    return (
        _least_important_heads(expectation, observation)
        or _least_important_groups(expectation, observation)
        or _least_important_channels(expectation, observation)
    )


def _least_important_heads(expectation: Expectation, observation: Observation) -> Finding:
    importance = expectation.head_importance
    if importance is None:
        return None
    survivors = [
        set(_block_heads(observation, f"q.{block}", expectation.head_dim).channels) for block in range(len(importance))
    ]
    planted = [(value, block, head) for block, row in enumerate(importance) for head, value in enumerate(row)]
    gone = [(value, block, head) for value, block, head in planted if head not in survivors[block]]
    stays = [
        (value, block, head)
        for value, block, head in planted
        if head in survivors[block] and (len(survivors[block]) > 1 or not expectation.across)
    ]

    def rank_alone(block: int, head: int) -> tuple[int, int]:
        """What a head is ranked in, if not with those of other blocks: with those that read what it reads."""
        return block, head // expectation.queries if expectation.queries > 1 else 0

    for unit in {rank_alone(block, head) for _, block, head in gone}:
        block = unit[0]
        rivals = [
            item
            for item in stays
            if (expectation.across and not _own_counts(expectation, block, item[1])) or rank_alone(*item[1:]) == unit
        ]
        worst = max(item for item in gone if rank_alone(*item[1:]) == unit)
        best = min(rivals, default=worst)
        if best[0] < worst[0]:
            return (
                Kind.WRONG_SELECTION,
                f"block {block}: head {worst[2]} went, the less important head {best[2]} of block {best[1]} stays",
            )
    return None


def _least_important_groups(expectation: Expectation, observation: Observation) -> Finding:
    """Heads that read the same keys and values may go with these, all of them.

    What a group counts for, no sentence says: only where another is less by its mean and by its best head is it wrong.
    """
    if expectation.head_importance is None or not expectation.groups:
        return None
    each = expectation.queries
    for block, importance in enumerate(expectation.head_importance):
        read = _block_heads(observation, f"k.{block}", expectation.head_dim).channels
        groups = [importance[start : start + each] for start in range(0, len(importance), each)]
        stays = [(group, values) for group, values in enumerate(groups) if group in read]
        for gone, more in enumerate(groups):
            less = [group for group, values in stays if sum(values) < sum(more) and max(values) < max(more)]
            if gone not in read and less:
                what = f"all that read head {gone} of keys went, the less important that read {less[0]} stay"
                return Kind.WRONG_SELECTION, f"block {block}: {what}"
    return None


def _own_counts(expectation: Expectation, *blocks: int) -> bool:
    """Whether one of the blocks is ranked by itself."""
    total = expectation.head_total
    return total is None or any(f"heads.{block}" not in total.roles for block in blocks)


def _least_important_channels(expectation: Expectation, observation: Observation) -> Finding:
    for role, importance in expectation.channel_importance.items():
        kind, _, block = role.partition(".")
        if kind == "dims":
            heads = _block_heads(observation, f"q.{block}", expectation.head_dim).channels.values()
            kept = {channel for channels in heads for channel in channels}
        else:
            kept = set(observation.kept.get(role, ()))
        gone = [value for channel, value in enumerate(importance) if channel not in kept]
        if gone and kept and min(importance[channel] for channel in kept) * CHANNEL_MARGIN < max(gone):
            return Kind.WRONG_SELECTION, f"{role}: a channel went that is more important than one that stays"
    return None


def _masked_output(_: Expectation, observation: Observation) -> Finding:
    """Rule 8: the output is the dense model's with the removed parts masked."""
    gap = observation.output_gap
    if gap is not None and not gap <= OUTPUT_TOLERANCE:
        return Kind.WRONG_OUTPUT, f"the output differs from the masked dense model's by {gap:.1e} of its size"
    return None


def _no_effects(_: Expectation, observation: Observation) -> Finding:
    """Rule 11: nothing else changed."""
    if observation.effects:
        return Kind.SIDE_EFFECT, observation.effects[0]
    return None


_RULES: tuple[Rule, ...] = (_dense_weights, _count_in_step, _whole_heads, _head_counts, _channel_counts)
_LATER_RULES: tuple[Rule, ...] = (_least_important, _masked_output, _no_effects)


def should(count: int, counts: Counts) -> str:
    """What a count should be, and on which side it misses: two failures that miss on either side are not the same."""
    return f"{said(counts)} should be: too {'few' if count < min(counts) else 'many'}"


def said(counts: Counts) -> str:
    """Allowed counts in words: `4`, `3 to 5`, `0 or 6`."""
    low, high = min(counts), max(counts)
    if low == high:
        return str(low)
    return f"{low} to {high}" if len(counts) == high - low + 1 else " or ".join(map(str, sorted(counts)))
