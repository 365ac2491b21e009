"""Random calls: the same for a seed on every machine, valid, and weighted to what interacts."""

from itertools import islice

from headcount.explore import draws
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
    "vit15h4b11d63m-local-prunenum-keepdims-heads1of4-chan0-steps2-named_k-second_other",
    "vit2h6d36m-local-prunenum-keepdims-heads1of3-chan4of5-steps1",
    "vit9h1b12d69m-local-prunenum-prunedims-heads1of20-chan3of8-steps2-training",
]


def test_draws_are_valid_unlike_and_named_by_their_ids() -> None:
    cells = list(islice(draws(7, tuple(FAMILIES)), 500))
    assert len(set(cells)) == len(cells)
    assert not [why for cell in cells if (why := why_invalid(cell))]
    assert [Cell.parse(cell.id) for cell in cells] == cells
    assert {cell.model.family for cell in cells} == set(FAMILIES)


def test_most_draws_go_beyond_the_products_axes() -> None:
    cells = list(islice(draws(3), 1000))
    assert sum(bool(cell.config.extras()) for cell in cells) >= 620
    assert sum(not cell.config.needs() for cell in cells) >= 800  # each release can be run on these
    assert any(cell.model.full_size for cell in cells)
    assert 15 <= sum(cell.config.precision is not Precision.FLOAT32 for cell in cells) <= 80
    assert 5 <= sum(cell.config.then is not Then.NOTHING for cell in cells) <= 50
