"""Random calls: the same for a seed on every machine, valid, and weighted to what interacts."""

from itertools import islice

from headcount.explore import draws
from headcount.explore.draw import draw, varied
from headcount.matrix import Cell, Precision, Then
from headcount.matrix.validity import why_invalid
from headcount.models import FAMILIES


def test_a_seed_draws_the_same_calls() -> None:
    first = [cell.id for cell in islice(draws(1), 3)]
    assert first == [cell.id for cell in islice(draws(1), 3)]
    assert first != [cell.id for cell in islice(draws(2), 3)]
    # As drawn when this was written: another Python must draw no others.
    assert first == FIRST


FIRST = [
    "vit_bare5h4b7d81m-global-keepnum-prunedims-heads3of20-chan3of20-steps5",
    "vit_bare5h4b7d81m-local-prunenum-keepdims-heads0-chan1of5-steps2-interactive-frozen",
    "vit_bare5h4b7d81m-global-prunenum-keepdims-heads3of8-chan13of20-steps2-headdict_attention2_3of5_attention3_1of2",
]


def test_draws_in_a_row_share_a_model_and_large_ones_are_rare() -> None:
    calls = [draw(3, number, tuple(FAMILIES)) for number in range(800)]
    runs = [calls[start : start + 8] for start in range(0, len(calls), 8)]
    assert all(len({cell.model for cell in run[1:]}) == 1 for run in runs)
    assert len({run[1].model for run in runs}) >= 95
    assert 4 <= sum(run[0].model != run[1].model for run in runs) <= 32  # 2 % of the calls
    assert [run[1].model.family for run in runs[: len(FAMILIES)]] != [*FAMILIES]
    assert {run[1].model.family for run in runs[: len(FAMILIES)]} == {*FAMILIES}


def test_draws_are_valid_unlike_and_named_by_their_ids() -> None:
    cells = list(islice(draws(7, tuple(FAMILIES)), 500))
    assert len(set(cells)) == len(cells)
    assert not [why for cell in cells if (why := why_invalid(cell))]
    assert [Cell.parse(cell.id) for cell in cells] == cells
    assert {cell.model.family for cell in cells} == set(FAMILIES)


def test_draws_like_a_call_keep_its_further_parameters_and_its_precision() -> None:
    like = Cell.parse("swin-local-prunenum-keepdims-heads1of3-chan1of2-steps1-round4-in_bfloat16")
    cells = list(islice(varied(5, [like]), 40))
    assert {(c.model.family, c.config.round_to, c.config.precision) for c in cells} == {("swin", 4, Precision.BFLOAT16)}
    assert len(set(cells)) > 20
    assert not [why for cell in cells if (why := why_invalid(cell))]


def test_most_draws_go_beyond_the_products_axes() -> None:
    cells = list(islice(draws(3), 1000))
    assert sum(bool(cell.config.extras()) for cell in cells) >= 620
    assert sum(not cell.config.needs() for cell in cells) >= 800  # each release can be run on these
    assert any(cell.model.full_size for cell in cells)
    assert 15 <= sum(cell.config.precision is not Precision.FLOAT32 for cell in cells) <= 80
    assert 5 <= sum(cell.config.then is not Then.NOTHING for cell in cells) <= 50
