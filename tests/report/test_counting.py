"""What should be left beside what is left: the same names on both sides, the same judgement as the verdict's."""

from dataclasses import replace

from headcount.matrix import Cell
from headcount.matrix.cells import ISSUE_410, known_cells
from headcount.observation import Ending, Observation
from headcount.oracle import expect
from headcount.report import counting

TOGETHER = next(
    cell for cell in known_cells().values() if {count.scope for count in expect(cell).counts} >= {"heads", "all"}
)


def whole(cell: Cell) -> Observation:
    """A model that nothing was pruned from."""
    model = cell.model
    sizes = {count.dimensions[0]: count.dense for count in expect(cell).counts if not count.scope}
    every = {dimension: tuple(range(sizes[dimension])) for dimension in expect(cell).channels}
    each = {"q": 1, "k": model.traits.queries_per_kv, "v": model.traits.queries_per_kv, "o": 1}
    for block, heads in enumerate(model.block_heads):
        channels = {name: heads // queries * model.head_dim for name, queries in each.items()}
        every |= {f"{name}.{block}": tuple(range(count)) for name, count in channels.items()}
    reported = tuple((heads, heads // each["k"], heads // each["v"]) for heads in model.block_heads)
    return Observation(
        Ending.FINISHED, kept=every, sizes={name: len(kept) for name, kept in every.items()}, reported=reported
    )


def test_totals_and_leave_are_counted() -> None:
    """What is ranked together has one line, on both sides; a model that may stay as it was fits."""
    expectation = expect(TOGETHER)
    names = {left.name: left for left in counting.observed(expectation, whole(TOGETHER))}
    in_all = names["heads.0 to heads.1 in all"]
    assert (in_all.seen, in_all.fits) == (str(TOGETHER.model.heads * TOGETHER.model.layers), False)
    assert set(counting.expected(expectation)) <= set(names)
    free = replace(expectation, may_leave=True)
    assert all(left.fits for left in counting.observed(free, whole(TOGETHER)))
    assert counting.expected(free)["or else"] == "the whole model, as it was"


def test_each_count_has_a_name_of_its_own() -> None:
    for cell in known_cells().values():
        expectation = expect(cell)
        seen = {left.name for left in counting.observed(expectation, whole(cell))}
        assert len(seen & set(counting.expected(expectation))) == len(expectation.counts), cell.id


def test_heads_that_others_read_are_fewer() -> None:
    """Of grouped queries keys and values have fewer heads: that is no fault."""
    cell = next(c for c in known_cells().values() if c.model.family == "grouped" and not c.config.prune_num_heads)
    heads = next(left for left in counting.observed(expect(cell), whole(cell)) if left.name == "heads, block 0")
    assert (heads.seen, heads.fits) == ("q 6, k 2, v 2, o 6", True)


def test_projections_that_keep_other_heads_do_not_fit() -> None:
    cell = next(c for c in known_cells().values() if c.model.id == "vit" and not c.config.prune_num_heads)
    dense = whole(cell)
    torn = replace(dense, kept={**dense.kept, "k.0": dense.kept["k.0"][8:]})
    found = {left.name: left for left in counting.observed(expect(cell), torn)}
    assert (found["heads, block 0"].seen, found["heads, block 0"].fits) == ("q 6, k 5, v 6, o 6", False)
    assert found["heads, block 1"].fits
    assert not found["heads that the pruner reports, block 0"].fits


def test_names_stay_short_on_a_full_size_model() -> None:
    assert max(map(len, counting.expected(expect(ISSUE_410)))) < 80


def test_heads_and_their_dims_are_judged_apart() -> None:
    cell = next(c for c in known_cells().values() if c.model.id == "vit" and not c.config.prune_num_heads)
    dense = whole(cell)
    shorter = replace(dense, kept={**dense.kept, **{f"{name}.0": dense.kept[f"{name}.0"][1:] for name in "qkvo"}})
    found = {left.name: left for left in counting.observed(expect(cell), shorter)}
    assert (found["head dim, block 0"].seen, found["head dim, block 0"].fits) == ("7 to 8", False)
    assert (found["heads, block 0"].seen, found["heads, block 0"].fits) == ("6", True)


def test_a_forged_count_of_projections_does_not_fit() -> None:
    cell = next(c for c in known_cells().values() if c.model.id == "vit" and not c.config.prune_num_heads)
    forged = replace(whole(cell), reported=((6, 6), ()))
    found = [left for left in counting.observed(expect(cell), forged) if left.name.startswith("heads that")]
    assert [(left.seen, left.fits) for left in found] == [("6", False), ("", False)]
