"""The oracle can be satisfied by a correct build, and is not satisfied by any of the wrong ones."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from headcount import wording
from headcount.builds import Overlay
from headcount.examine import examine
from headcount.isolation import Engine
from headcount.matrix import Cell, Config, Criterion, Precision, Second, Then, cells
from headcount.models import Model, small, synthetic_heads
from headcount.observation import Ending, Observation
from headcount.oracle import Kind, broken, expect, judge
from headcount.oracle.expectation import Counts, kept
from headcount.oracle.promises import least_important

Miniature = Callable[[str], Overlay]

HEADS = Cell(
    Model(),
    Config(
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=Fraction(1, 3),
        ignored_layers=("residual_outputs",),
    ),
)


def allowed(cell: Cell, *dimensions: str) -> Counts:
    return next(count.allowed for count in expect(cell).counts if count.dimensions == dimensions)


def test_a_correct_build_is_fine_in_every_cell(engine: Engine, miniature: Miniature) -> None:
    wrong = {}
    for cell in cells.every_cell():
        verdict = examine(engine, miniature("correct"), cell).verdict
        traits = cell.model.traits
        cannot = verdict.kind is Kind.NOT_APPLICABLE and (traits.heads_fixed or traits.dims_fixed)
        if verdict.kind is not Kind.OK and not cannot:
            wrong[cell.id] = wording.reason(verdict)
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "changes", "kind", "reason"),
    [
        ("wrong-heads", {}, Kind.WRONG_HEADS, "block 0: 3 heads are left, 4 should be: too few"),
        ("wrong-heads", {"global_pruning": True}, Kind.WRONG_HEADS, "7 heads are left in all, 8 should be: too few"),
        ("wrong-selection", {}, Kind.WRONG_SELECTION, "less important head"),
        ("wrong-selection", {"global_pruning": True}, Kind.WRONG_SELECTION, "less important head"),
        ("desync", {}, Kind.DESYNC, "the pruner reports 6 heads of q, its 32 channels are of 4"),
        ("partial-heads", {}, Kind.WRONG_HEADS, "heads of q keep [1, 8] channels each"),
        ("wrong-output", {}, Kind.WRONG_OUTPUT, "differs from the masked dense model's"),
        ("altered-weight", {}, Kind.WRONG_SHAPE, "that are not the dense model's"),
        ("desync", {"second": Second.LOADED}, Kind.DESYNC, "the pruner reports 6 heads of q, its 32 channels are of 4"),
        ("counts-first", {"skips_attention": True}, Kind.DESYNC, "reports 4 heads of q, its 48 channels are of 6"),
        (
            "drops-classes",
            {"ignored_layers": ("LayerNorm",)},
            Kind.WRONG_SHAPE,
            "width: 24 channels are left, 48 should",
        ),
        ("drops-classes", {"ignored_layers": ("Conv2d",)}, Kind.WRONG_SHAPE, "width: 24 channels are left, 48 should"),
        ("forgets-history", {"second": Second.LOADED}, Kind.CRASH, "Error(s) in loading state_dict"),
        ("thaws", {"frozen": True}, Kind.SIDE_EFFECT, "requires_grad: False became True"),
        ("keeps-a-hook", {"then": Then.SAVE}, Kind.BROKEN_USE, "at use"),
        ("keeps-a-hook", {"then": Then.TP_STATE_DICT}, Kind.BROKEN_USE, "at use"),
        ("one-image", {"then": Then.BATCH}, Kind.BROKEN_USE, "the output is another after what the user did"),
        ("no-gradient", {"then": Then.TRAIN}, Kind.BROKEN_USE, "dense.weight without a gradient"),
        (
            "drops-gradients",
            {"then": Then.GRADIENTS, "importance": Criterion.TAYLOR, "iterative_steps": 2},
            Kind.BROKEN_USE,
            "had a gradient",
        ),
        ("altered-weight", {"precision": Precision.BFLOAT16}, Kind.WRONG_SHAPE, "weight has values that are not"),
        ("altered-weight", {"precision": Precision.FLOAT16}, Kind.WRONG_SHAPE, "weight has values that are not"),
        ("partial-heads", {"precision": Precision.FLOAT16}, Kind.WRONG_HEADS, "heads of q keep [1, 8] channels each"),
        ("desync", {"precision": Precision.BFLOAT16}, Kind.DESYNC, "reports 6 heads of q, its 32 channels are of 4"),
        ("other-by-graph", {"then": Then.GRAPH}, Kind.BROKEN_USE, "the output is another after what the user did"),
        ("other-by-hand", {"then": Then.BY_HAND}, Kind.BROKEN_USE, "interactive pruning, group by group"),
    ],
)
def test_a_wrong_build_is_caught(
    engine: Engine, miniature: Miniature, name: str, changes: dict[str, object], kind: Kind, reason: str
) -> None:
    cell = replace(HEADS, config=replace(HEADS.config, **changes))  # type: ignore[arg-type]
    verdict = examine(engine, miniature(name), cell).verdict
    assert verdict.kind is kind
    assert reason in wording.reason(verdict)


@pytest.mark.parametrize("name", ["wrong-selection", "wrong-output"])
def test_no_ranking_and_no_output_is_judged_in_half_precision(engine: Engine, miniature: Miniature, name: str) -> None:
    half = replace(HEADS, config=replace(HEADS.config, precision=Precision.BFLOAT16))
    found = {c: {v.kind for v in broken(c, engine.run(miniature(name), c))} for c in (HEADS, half)}
    assert found[HEADS] - found[half] == {Kind(name)}


def test_the_masked_reference_sees_a_missing_head(engine: Engine, miniature: Miniature) -> None:
    """The tolerance is far below what a head contributes, and above what rounding does."""
    right = engine.run(miniature("correct"), HEADS).output_gap
    wrong = engine.run(miniature("wrong-output"), HEADS).output_gap
    assert right is not None
    assert wrong is not None
    assert right < 1e-5
    assert wrong > 1e-3


@pytest.mark.parametrize(
    ("count", "ratio", "expected"),
    [
        (12, Fraction(1, 3), {8}),
        (6, Fraction(2, 5), {3, 4}),
        (25, Fraction(7, 25), {18}),
        (10, Fraction(9, 10), {1}),
        (6, Fraction(9, 10), {1}),
        (6, Fraction(0), {6}),
        (6, Fraction(1), {0}),
    ],
)
def test_kept(count: int, ratio: Fraction, expected: set[int]) -> None:
    assert kept(count, ratio) == expected


def test_all_heads_may_stay() -> None:
    cell = replace(HEADS, config=replace(HEADS.config, head_pruning_ratio=Fraction(1)))
    assert allowed(cell, "heads.0") == {0, 1, 6}


def test_global_heads_share_one_total() -> None:
    cell = replace(HEADS, config=replace(HEADS.config, global_pruning=True, head_pruning_ratio=Fraction(9, 10)))
    assert allowed(cell, "heads.0", "heads.1") == {2}, "one head a block wins over the ratio"
    assert allowed(cell, "heads.0") == allowed(cell, "heads.1") == set(range(1, 7))


def test_keeping_heads_keeps_them() -> None:
    cell = Cell(Model(), Config(head_pruning_ratio=Fraction(1, 2)))
    assert [allowed(cell, f"heads.{block}") for block in (0, 1)] == [{6}, {6}]
    assert [allowed(cell, f"dims.{block}") for block in (0, 1)] == [{4}, {4}]


def test_a_second_pruner_starts_from_what_is_left() -> None:
    cell = replace(HEADS, config=replace(HEADS.config, second=Second.SAME))
    assert [allowed(cell, f"heads.{block}") for block in (0, 1)] == [{2, 3}, {2, 3}]


def test_a_second_pruner_starts_from_what_the_first_one_rounded() -> None:
    """38 or 39 of 128 are rounded to 32 or 40, and 9 to 12 of those to 8 or 16."""
    config = Config(pruning_ratio=Fraction(7, 10), round_to=8, second=Second.SAME)
    assert allowed(Cell(Model(mlp=128), config), "mlp.0") == {8, 16}


def test_the_last_step_alone_is_to_take_all() -> None:
    """48 channels in ten steps: 4 or 5 are left before the last one, which takes all, all but one, or none."""
    config = Config(pruning_ratio=Fraction(1), iterative_steps=10)
    assert allowed(Cell(Model(), config), "width") == {0, 1, 4, 5, 48}
    assert allowed(Cell(Model(), replace(config, round_to=8)), "width") == {8, 48}
    assert allowed(Cell(Model(), replace(config, one_shot=True)), "width") == {0, 1, 48}
    assert allowed(Cell(Model(), replace(config, iterative_steps=1)), "width") == {0, 1, 48}


@pytest.mark.parametrize("ignored", ["residual_outputs", "attention_outputs", "mlp_outputs"])
def test_the_width_stays_where_a_layer_that_writes_it_is_ignored(ignored: str) -> None:
    cell = Cell(Model(), Config(ignored_layers=(ignored,)))
    assert [allowed(cell, name) for name in ("width", "dims.0", "mlp.0")] == [{48}, {4}, {36}]


def test_dims_may_stay_as_an_earlier_step_rounded_them() -> None:
    """3 heads have no multiple of 4 channels; in the second step of three, 4 heads of 1 dim have."""
    config = replace(HEADS.config, prune_head_dims=True, head_pruning_ratio=Fraction(1, 2), round_to=4)
    several = Cell(Model(head_dim=2), replace(config, iterative_steps=3))
    assert allowed(several, "dims.0") == {1, 2}
    assert allowed(replace(several, config=config), "dims.0") == {2}
    assert allowed(replace(several, config=replace(several.config, one_shot=True)), "dims.0") == {2}


def test_dims_are_rounded_again_where_a_multiple_fits_the_heads_that_are_left() -> None:
    """4 heads of 4 have a multiple of 8 channels: that 7 heads of 8 were near one, after a first step, is no excuse."""
    config = replace(HEADS.config, prune_head_dims=True, head_pruning_ratio=Fraction(1, 2), round_to=8)
    several = Cell(Model(heads=8, head_dim=8), replace(config, iterative_steps=4))
    assert allowed(several, "dims.0") == {4}


def test_a_maximum_may_hold_heads_back_where_dims_have_gone() -> None:
    """Of 48 channels 36 must stay: 6 heads of 6, but with all dims 5 heads will do."""
    config = replace(HEADS.config, prune_head_dims=True, max_pruning_ratio=Fraction(1, 4), iterative_steps=2)
    assert max(allowed(Cell(Model(), config), "heads.0")) == 6
    assert max(allowed(Cell(Model(), replace(config, pruning_ratio=Fraction(0))), "heads.0")) == 5


def test_what_has_one_channel_may_be_left_out_of_a_total() -> None:
    """Ten neurons and one: 1/2 of ten must go, or of eleven."""
    config = Config(global_pruning=True, ignored_layers=("residual_outputs",), prune_head_dims=True)
    totals = [
        count for count in expect(Cell(Model(heads=3, head_dim=1, mlp=10), config)).counts if count.scope == "all"
    ]
    assert [count.dimensions for count in totals] == [("mlp.0", "mlp.1")]


def test_members_of_a_tuple_may_be_rounded_alone() -> None:
    """A tenth of 24 neurons leaves 21 or 22, next to which are 20 and 22; the same of both."""
    both = ((("mlp.0", "mlp.1"), Fraction(1, 10)),)
    cell = Cell(Model(mlp=24), Config(pruning_ratio_dict=both, round_to=2))
    assert {40, 44} <= allowed(cell, "mlp.0", "mlp.1")
    assert 40 not in allowed(replace(cell, config=replace(cell.config, global_pruning=True)), "mlp.0", "mlp.1")


def test_dims_of_unlisted_projections_may_stay_whole_where_others_are_at_their_maximum() -> None:
    """No more than half may go: 24 of the width, 36 of each MLP, and 4 of each block's 8 dims, or all 8."""
    config = Config(global_pruning=True, pruning_ratio=Fraction(13, 20), max_pruning_ratio=Fraction(1, 2))
    every = ("width", "mlp.0", "dims.0", "mlp.1", "dims.1")
    most = [max(allowed(Cell(Model(), each), *every)) for each in (config, replace(config, num_heads="qk"))]
    assert most == [24 + 36 * 2 + 4 * 2, 24 + 36 * 2 + 8 * 2]


def test_attention_in_shifted_windows_may_be_ranked_alone() -> None:
    """Of 13 dims and 13, a third is 8 or 9 together, and 5 each by itself."""
    config = replace(HEADS.config, prune_head_dims=True, pruning_ratio=Fraction(1, 3), global_pruning=True)
    cell = Cell(small("swinv2", 8, 13), replace(config, isomorphic=True))
    assert allowed(cell, "dims.0", "dims.1") == {16, 17, 18}
    assert allowed(replace(cell, model=small("vit", 8, 13)), "dims.0", "dims.1") == {17, 18}


@pytest.mark.parametrize(("steps", "is_judged"), [(1, True), (2, False)])
def test_a_later_step_ranks_large_layers_less_exactly(steps: int, *, is_judged: bool) -> None:
    """Of 768 neurons one went that ranks 30 above one that stays: 7 %, and low bits are up to 6 % of a weight."""
    cell = Cell(Model(heads=6, head_dim=64, mlp=768), Config(iterative_steps=steps, pruning_ratio=Fraction(9, 10)))
    importance = expect(cell).channel_importance["mlp.0"]
    order = sorted(range(768), key=importance.__getitem__)
    kept = {"mlp.0": (order[700], *order[731:])}
    found = least_important(expect(cell), Observation(Ending.FINISHED, kept=kept))
    assert [finding.dimension for finding in found if finding.dimension == "mlp.0"] == ["mlp.0"] * is_judged


def test_a_ratio_of_its_own_leaves_the_total() -> None:
    own = ((("attention.0",), Fraction(2, 3)),)
    cell = replace(HEADS, config=replace(HEADS.config, global_pruning=True, head_pruning_ratio_dict=own))
    assert allowed(cell, "heads.0") == {2}
    totals = [count.dimensions for count in expect(cell).counts if count.scope == "heads"]
    assert totals == [("heads.1",)]


@pytest.mark.parametrize("group", [0, 1])
def test_of_whole_groups_the_least_important_goes(engine: Engine, miniature: Miniature, group: int) -> None:
    """Where all heads that read one of keys may go, it is by their mean: one group of the two is right, not either."""
    model = small("grouped")
    cell = Cell(model, replace(HEADS.config, head_pruning_ratio=Fraction(1, 2)))
    found = engine.run(miniature("correct"), cell)
    each = model.traits.queries_per_kv
    left = {"q": each, "k": 1, "v": 1, "o": each}
    survivors = {
        f"{name}.{block}": tuple(range(group * heads * model.head_dim, (group + 1) * heads * model.head_dim))
        for name, heads in left.items()
        for block in range(model.layers)
    }
    whole = replace(found, kept={**found.kept, **survivors}, reported=((each, 1, 1),) * model.layers)
    means = [[sum(row[:each]), sum(row[each:])] for row in synthetic_heads(model)]
    right = all(row[group] > row[1 - group] for row in means)
    verdict = judge(cell, whole)
    assert (verdict.kind is Kind.WRONG_SELECTION) == (not right)
    assert right or "the less important of" in wording.reason(verdict)
