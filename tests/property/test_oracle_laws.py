"""Laws of the oracle's arithmetic."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headcount.matrix import cells as matrix
from headcount.matrix.config import Config, Criterion, Second
from headcount.models import Model
from headcount.oracle.expectation import expect, kept, kept_from

RATIOS = st.fractions(min_value=0, max_value=1, max_denominator=50)
COUNTS = st.integers(1, 200)

MODELS = st.builds(Model, layers=st.integers(1, 4), heads=st.integers(1, 26), head_dim=st.integers(1, 16))
CONFIGS = st.builds(
    Config,
    global_pruning=st.booleans(),
    prune_num_heads=st.booleans(),
    prune_head_dims=st.booleans(),
    head_pruning_ratio=RATIOS,
    pruning_ratio=RATIOS.filter(lambda ratio: ratio < 1),
    max_pruning_ratio=st.sampled_from([Fraction(1), Fraction(1, 4)]),
    round_to=st.sampled_from([None, 2, 4]),
    isomorphic=st.booleans(),
    ignored_layers=st.sampled_from([(), ("residual_outputs",), ("qkv.0",)]),
    importance=st.sampled_from(Criterion),
    second=st.sampled_from(Second),
)


@given(COUNTS, RATIOS)
def test_kept_is_the_exact_share_or_its_neighbour(count: int, ratio: Fraction) -> None:
    """Law: what is kept differs from the exact share by less than one, unless that would be less than one."""
    for left in kept(count, ratio):
        if ratio < 1:
            assert left >= 1
            assert abs(left - (count - count * ratio)) < 1 or left == 1
            assert left <= count


@given(COUNTS, RATIOS, RATIOS)
def test_a_larger_ratio_keeps_no_more(count: int, one: Fraction, other: Fraction) -> None:
    """Law: monotone in the ratio, short of 1, where "none at all" is allowed too."""
    low, high = sorted((one, other))
    if high < 1:
        assert max(kept(count, high)) <= max(kept(count, low))
        assert min(kept(count, high)) <= min(kept(count, low))


@given(COUNTS, RATIOS)
def test_nothing_goes_at_ratio_zero(count: int, ratio: Fraction) -> None:
    """Law: 0 keeps all, and whole shares leave no choice."""
    assert kept(count, Fraction(0)) == {count}
    if ratio < 1 and (count * ratio).denominator == 1:
        assert kept(count, ratio) == {max(count - count * ratio, 1)}


@given(COUNTS, RATIOS)
def test_two_rounds_are_one_after_the_other(count: int, ratio: Fraction) -> None:
    """Law: a second pruner finds what the first one left."""
    once = kept_from({count}, ratio)
    assert kept_from({count}, ratio, rounds=2) == kept_from(once, ratio)


@given(MODELS, CONFIGS)
def test_an_expectation_can_be_met(model: Model, config: Config) -> None:
    """Law: no set of allowed counts is empty, and the totals can be reached within each role's own bounds."""
    expectation = expect(model, config)
    for allowed in (*expectation.heads, *expectation.head_dims, *expectation.channels.values()):
        assert allowed
    if expectation.head_total is not None:
        own = [expectation.heads[int(role.partition(".")[2])] for role in expectation.head_total.roles]
        assert sum(map(min, own)) <= max(expectation.head_total.kept)
        assert sum(map(max, own)) >= min(expectation.head_total.kept)
    for total in expectation.channel_totals:
        own = [
            expectation.head_dims[int(role.partition(".")[2])]
            if role.startswith("dims.")
            else expectation.channels[role]
            for role in total.roles
        ]
        assert total.kept
        assert sum(map(max, own)) >= min(total.kept)


@given(st.sampled_from(matrix.default_cells()))
def test_steps_do_not_change_the_target(cell: matrix.Cell) -> None:
    """Law (rule 9): n steps end where one does; only which layers or groups compete is known for one step alone."""
    several, one = (
        replace(expect(cell.model, config), across=False, groups=False)
        for config in (cell.config, replace(cell.config, iterative_steps=1))
    )
    assert several == one
