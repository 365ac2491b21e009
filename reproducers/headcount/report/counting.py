"""What should be left beside what is left: the oracle's counts, and the counts in the weights, by one name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headcount import oracle, wording
from headcount.observation import Observation


@dataclass(frozen=True)
class Left:
    """One count: what was seen, in words, and whether it is among what may be left."""

    name: str
    seen: str
    fits: bool


def expected(expectation: oracle.Expectation) -> dict[str, str]:
    """Return name -> what may be left, in words."""
    words = {wording.count_name(count): wording.counts(count.allowed) for count in expectation.counts}
    if expectation.may_leave:
        words["or else"] = "the whole model, as it was"
    if expectation.may_refuse:
        words["or"] = "nothing: the call may be refused with an exception"
    return words


def observed(expectation: oracle.Expectation, observation: Observation) -> tuple[Left, ...]:
    """Return the counts of a pruned model, by the names of what was expected; () if there is no such model."""
    if not observation.kept:
        return ()
    whole = expectation.may_leave and oracle.is_untouched(expectation, observation)
    found = (*_counts(expectation, observation), *_reported(expectation, observation))
    return tuple(Left(left.name, left.seen, whole or left.fits) for left in found)


def _counts(expectation: oracle.Expectation, observation: Observation) -> Iterator[Left]:
    """Yield each count; of heads and their dims that of each projection, which must fit together."""
    left = oracle.counts_left(expectation, observation)
    for count in expectation.counts:
        found = sum(left[dimension] for dimension in count.dimensions)
        fits, seen = found in count.allowed, str(found)
        if not count.scope and count.dimension in ("heads", "dims"):
            heads = {
                name: oracle.heads_left(observation, f"{name}.{count.block}", expectation.head_dim) for name in "qkvo"
            }
            if count.dimension == "heads":
                read = {head // expectation.queries_per_kv for head in heads["q"]}  # of keys and values
                alike = heads["q"].keys() == heads["o"].keys() and heads["k"].keys() == heads["v"].keys() == read
                fits, seen = fits and alike, _each({name: str(len(each)) for name, each in heads.items()})
            else:
                dims = {name: {len(channels) for channels in each.values()} or {0} for name, each in heads.items()}
                fits = all(len(each) == 1 and each <= count.allowed for each in dims.values())
                seen = _each({name: wording.counts(each) for name, each in dims.items()})
        yield Left(wording.count_name(count), seen, fits)


def _reported(expectation: oracle.Expectation, observation: Observation) -> Iterator[Left]:
    """Yield what the pruner says of each block's heads. A forged observation may have any number of projections."""
    for block, row in enumerate(observation.reported):
        said = dict(zip("qkv", row, strict=False))
        fits = all(
            said.get(name) == len(oracle.heads_left(observation, f"{name}.{block}", expectation.head_dim))
            for name in expectation.listed
        )
        words = _each({name: "none" if count is None else str(count) for name, count in said.items()})
        yield Left(f"heads that the pruner reports, block {block}", words, fits)


def _each(words: Mapping[str, str]) -> str:
    """Say what each projection has; once, if all have the same."""
    distinct = set(words.values())
    return distinct.pop() if len(distinct) == 1 else ", ".join(f"{name} {word}" for name, word in words.items())
