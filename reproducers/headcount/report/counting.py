"""What should be left beside what was: the oracle's sets of counts, and the counts in the weights, by one name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headcount.observation import Observation
from headcount.oracle.expectation import Expectation, Total
from headcount.oracle.verdict import counts_left, heads_left, is_untouched, ranked_left, said


@dataclass(frozen=True)
class Left:
    """One count: what was seen, in words, and whether it is among what may be."""

    name: str
    seen: str
    fits: bool


def expected(expectation: Expectation) -> dict[str, str]:
    """Name -> what may be left, in words."""
    words = {f"heads, block {i}": said(counts) for i, counts in enumerate(expectation.heads)}
    if expectation.head_total:
        words[_together(expectation.head_total, expectation)] = said(expectation.head_total.kept)
    words |= {f"head dim, block {i}": said(counts) for i, counts in enumerate(expectation.head_dims)}
    words |= {role: said(counts) for role, counts in expectation.channels.items()}
    words |= {_together(total, expectation): said(total.kept) for total in expectation.channel_totals}
    if expectation.may_leave:
        words["or else"] = "the whole model, as it was"
    if expectation.may_refuse:
        words["or"] = "nothing: the call may be refused with an exception"
    return words


def observed(expectation: Expectation, observation: Observation) -> tuple[Left, ...]:
    """The counts of a model that was pruned, by the names of what was expected; nothing if it came to none."""
    if not observation.kept:
        return ()
    found = [*_heads(expectation, observation), *_channels(expectation, observation)]
    if expectation.may_leave and is_untouched(expectation, observation):
        return tuple(Left(left.name, left.seen, fits=True) for left in found)
    return tuple(found)


def _heads(expectation: Expectation, observation: Observation) -> Iterable[Left]:
    """Per block: heads and their dims in each projection, and what the pruner says of them."""
    for block, (counts, dims) in enumerate(zip(expectation.heads, expectation.head_dims, strict=True)):
        each = {name: heads_left(observation, f"{name}.{block}", expectation.head_dim) for name in "qkvo"}
        number = {name: len(heads) for name, heads in each.items()}
        alike = len({tuple(heads) for heads in each.values()}) == 1
        yield Left(f"heads, block {block}", _each(number), fits=alike and number["q"] in counts)
        sizes = {name: {len(channels) for channels in heads.values()} or {0} for name, heads in each.items()}
        whole = all(len(found) == 1 and found <= dims for found in sizes.values())
        yield Left(f"head dim, block {block}", _each({n: said(frozenset(s)) for n, s in sizes.items()}), fits=whole)
        if block < len(observation.reported):
            yield _reported(block, observation.reported[block], number, expectation.listed)
    if expectation.head_total:
        yield _total(expectation.head_total, expectation, counts_left(expectation, observation))


def _reported(block: int, row: tuple[int | None, ...], number: Mapping[str, int], listed: str) -> Left:
    says = dict(zip("qkv", row, strict=False))
    words = {name: "none" if count is None else count for name, count in says.items()}
    in_step = all(says.get(name) == number[name] for name in listed)
    return Left(f"heads that the pruner reports, block {block}", _each(words), fits=in_step)


def _channels(expectation: Expectation, observation: Observation) -> Iterable[Left]:
    left = counts_left(expectation, observation)
    for role, counts in expectation.channels.items():
        yield Left(role, str(left[role]), fits=left[role] in counts)
    for total in expectation.channel_totals:
        yield _total(total, expectation, left)


def _total(total: Total, expectation: Expectation, left: Mapping[str, int]) -> Left:
    ranked = ranked_left(total, left)
    return Left(_together(total, expectation), str(ranked), fits=ranked in total.kept)


def _together(total: Total, expectation: Expectation) -> str:
    """A name for roles that are ranked together, which no other total of the cell has."""
    kinds = list(dict.fromkeys(role.partition(".")[0] for role in total.roles))
    every = {"heads": len(expectation.heads), "dims": len(expectation.heads), "width": 1}
    every["mlp"] = sum(role.startswith("mlp.") for role in expectation.channels)
    named = [
        kind
        if len(roles := [r for r in total.roles if r.partition(".")[0] == kind]) == every[kind]
        else ", ".join(roles)
        for kind in kinds
    ]
    return f"{' + '.join(named)} in all"


def _each(counts: Mapping[str, int | str]) -> str:
    if len(set(counts.values())) == 1:
        return str(next(iter(counts.values())))
    return ", ".join(f"{name} {count}" for name, count in counts.items())
