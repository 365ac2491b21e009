"""Laws of the oracle, over every family."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from headcount.matrix import Cell, cells
from headcount.oracle import expect
from headcount.oracle.allowances import applicable
from headcount.oracle.expectation import kept, kept_from
from strategies import RATIOS
from strategies import cells as drawn

COUNTS = st.integers(1, 200)
SHARES = RATIOS.filter(lambda ratio: ratio < 1)


@given(COUNTS, SHARES)
def test_kept_is_the_exact_share_or_its_neighbour(count: int, ratio: Fraction) -> None:
    """Law: what is kept differs from the exact share by less than one, unless that would be less than one."""
    for left in kept(count, ratio):
        assert 1 <= left <= count
        assert abs(left - (count - count * ratio)) < 1 or left == 1


@given(COUNTS)
def test_a_ratio_of_one_keeps_none(count: int) -> None:
    """Law: the strict core takes 1 at its word."""
    assert kept(count, Fraction(1)) == {0}


@given(COUNTS, SHARES, SHARES)
def test_a_larger_ratio_keeps_no_more(count: int, one: Fraction, other: Fraction) -> None:
    """Law: monotone in the ratio."""
    low, high = sorted((one, other))
    assert max(kept(count, high)) <= max(kept(count, low))
    assert min(kept(count, high)) <= min(kept(count, low))


@given(COUNTS, st.data())
def test_whole_shares_leave_no_choice(count: int, data: st.DataObject) -> None:
    """Law: 0 keeps all, and a share that is a whole number goes exactly."""
    gone = data.draw(st.integers(0, count - 1))
    assert kept(count, Fraction(0)) == {count}
    assert kept(count, Fraction(gone, count)) == {count - gone}


@given(COUNTS, RATIOS)
def test_two_rounds_are_one_after_the_other(count: int, ratio: Fraction) -> None:
    """Law: a second pruner finds what the first one left."""
    twice = {left for once in kept_from(count, ratio) for left in kept_from(once, ratio)}
    assert kept_from(count, ratio, rounds=2) == twice


@given(drawn())
def test_an_expectation_can_be_met(cell: Cell) -> None:
    """Law: no set of allowed counts is empty, and each total can be reached within its dimensions' own bounds."""
    expectation = expect(cell)
    own = {count.dimensions[0]: count.allowed for count in expectation.counts if not count.scope}
    for count in expectation.counts:
        assert count.allowed, count.dimensions
        if count.scope:
            parts = [own[dimension] for dimension in count.dimensions]
            assert sum(map(max, parts)) >= min(count.allowed)
        if count.scope == "heads":
            assert sum(map(min, parts)) <= max(count.allowed)


@given(drawn())
def test_allowances_only_widen(cell: Cell) -> None:
    """Law: with one allowance less, no count is allowed that was not."""
    whole = expect(cell)
    for allowance in applicable(cell):
        less = expect(cell, frozenset({allowance.name}))
        assert less.may_refuse <= whole.may_refuse
        assert less.may_leave <= whole.may_leave
        for narrow, wide in zip(less.counts, whole.counts, strict=True):
            assert narrow.allowed <= wide.allowed, (allowance.name, narrow.dimensions)


@given(st.one_of(st.sampled_from(cells.default_cells()), drawn()))
def test_steps_do_not_change_the_target(cell: Cell) -> None:
    """Law (promise 9): n steps end where one does; which layers or groups compete is known for one step alone.

    Two choices are of several steps: what an earlier one took may bound a later one, and what it rounded may stay.
    """
    assume(cell.config.iterative_steps > 1)
    several, one = (
        replace(expect(replace(cell, config=config), frozenset({"heads-by-layer", "rounded-by-step"})), steps=1)
        for config in (cell.config, replace(cell.config, iterative_steps=1))
    )
    assert [(c.dimensions, c.allowed) for c in several.counts] == [(c.dimensions, c.allowed) for c in one.counts]
    assert replace(several, counts=(), across=False, groups=False) == replace(
        one, counts=(), across=False, groups=False
    )
