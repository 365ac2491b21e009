"""The matrix: complete where it is a product, covering where it is not, and with ids that select."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise, product

import pytest
from hypothesis import given

import strategies
from headcount.explore import draws
from headcount.matrix import Cell, Config, Pruner, Second, Then
from headcount.matrix import cells as matrix
from headcount.matrix.examples import EXAMPLES, LEFT_OUT
from headcount.matrix.validity import why_invalid
from headcount.models import NAMED, Model, synthetic_channels, synthetic_heads


def test_ids_are_unique() -> None:
    assert len(matrix.by_id(matrix.default_cells())) == len(matrix.default_cells())


def test_the_core_is_the_full_product() -> None:
    seen = {tuple(getattr(cell.config, axis) for axis in matrix.CORE) for cell in matrix.core()}
    assert seen == set(product(*matrix.CORE.values()))


def test_every_extra_meets_every_core_value() -> None:
    """Law of the covering array: each extra is seen with each value of each core axis."""
    rows = matrix.covering()
    for extra in matrix.EXTRAS:
        heads = extra.get("heads", Model.heads)
        own = {key: value for key, value in extra.items() if key != "heads"}
        mine = [c for c in rows if c.model.heads == heads and matches(c.config, own)]
        for axis, values in matrix._AGAINST.items():  # noqa: SLF001 - the array's own axes
            assert {getattr(c.config, axis) for c in mine} >= set(values), (extra, axis)


def matches(config: Config, wanted: dict[str, object]) -> bool:
    plain = Config()
    beyond = [name for name in plain.to_json() if name not in matrix.CORE]
    return all(getattr(config, name) == wanted.get(name, getattr(plain, name)) for name in beyond)


def test_ids_read_like_the_call() -> None:
    cell = Cell(
        Model(heads=12),
        Config(
            prune_num_heads=True,
            prune_head_dims=False,
            head_pruning_ratio=Fraction(1, 3),
            round_to=4,
            head_pruning_ratio_dict=((("attention.0",), Fraction(2, 3)),),
        ),
    )
    assert cell.id == "vit12h-local-prunenum-keepdims-heads1of3-chan1of2-steps1-headdict_attention0_2of3-round4"
    assert matrix.ISSUE_410.id == "vit_base-local-prunenum-keepdims-heads1of3-chan1of2-steps1"


@given(strategies.cells())
def test_every_id_parses_back(cell: Cell) -> None:
    """Law: an id is complete, so that it is a call's only name."""
    assert Cell.parse(cell.id) == cell


def test_the_matrix_and_models_of_everyday_size_parse_back() -> None:
    assert all(Cell.parse(id_) == cell for id_, cell in matrix.known_cells().items())
    assert all(Model.parse(name) == model and model.id == name for name, model in NAMED.items())


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "vit",
        "no_family-local-prunenum-keepdims-heads1of2-chan1of2-steps1",
        "vit-local-prunenum-keepdims-heads2of4-chan1of2-steps1",
        "vit-local-prunenum-keepdims-heads1of0-chan1of2-steps1",
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-round",
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-by_none",
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-frozenly",
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-chandict_mlp_1of2",
        "vit6h-local-prunenum-keepdims-heads1of2-chan1of2-steps1",
    ],
)
def test_what_is_no_id_is_refused(id_: str) -> None:
    with pytest.raises((ValueError, ZeroDivisionError)):
        Cell.parse(id_)


@pytest.mark.parametrize(
    ("id_", "why"),
    [
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_mlp2", "the model has 2 blocks"),
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_head0", "it may name"),
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-interactive-skips_attention", "are implied"),
        ("multihead-local-prunenum-keepdims-heads1of2-chan1of2-steps1-skips_attention", "attention is skipped"),
        ("swin_stages-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_Conv2d", "the first one's width only"),
        ("mix_ffn-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_Conv2d", "the channels of an MLP"),
        ("bert-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_Conv2d", "no convolution"),
        ("llama-local-prunenum-keepdims-heads1of2-chan1of2-steps1-ignore_LayerNorm", "no LayerNorm"),
        ("grouped4h-local-prunenum-keepdims-heads1of2-chan1of2-steps1", "no multiple"),
        ("swin_stages3b-local-prunenum-keepdims-heads1of2-chan1of2-steps1", "stages"),
        ("dinov350h3d-local-prunenum-keepdims-heads1of2-chan1of2-steps1", "multiple of 4"),
        ("vit10px-local-prunenum-keepdims-heads1of2-chan1of2-steps1", "whole number of patches"),
        ("vit99h-local-prunenum-keepdims-heads1of2-chan1of2-steps1", "may be 1 to 64"),
        ("vit-local-prunenum-keepdims-heads1of2-chan3of2-steps1", "from 0 to 1"),
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps0", "at least one step"),
        ("vit_bare-local-prunenum-keepdims-heads1of2-chan1of2-steps1-by_obdc", "classifier"),
        ("grouped-local-prunenum-keepdims-heads1of2-chan1of2-steps1-then_attention", "no model of transformers"),
        ("grouped-local-prunenum-keepdims-heads1of2-chan1of2-steps1-named_qk", "num_heads lists all three"),
        ("vit_mae2h1d-local-prunenum-keepdims-heads1of2-chan1of2-steps1", "multiple of 4"),
        ("clip-local-prunenum-keepdims-heads1of2-chan1of2-steps1-second_same", "it cannot be run again"),
        ("clip-local-prunenum-keepdims-heads1of2-chan1of2-steps2-by_activation", "it cannot be run again"),
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-second_same-then_by_hand", "one pruner alone"),
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-by_taylor-then_gradients", "in several steps"),
        ("vit-local-prunenum-keepdims-heads1of2-chan1of2-steps1-then_save-in_float16", "in float32 alone"),
        ("vit_base-local-prunenum-keepdims-heads1of2-chan1of2-steps1-in_bfloat16", "999 channels or tokens"),
        ("vit512px-local-prunenum-keepdims-heads1of2-chan1of2-steps1-in_bfloat16", "999 channels or tokens"),
    ],
)
def test_a_call_that_nobody_could_make_is_told_why(id_: str, why: str) -> None:
    assert why in why_invalid(Cell.parse(id_))


def test_what_not_every_release_has_is_needed() -> None:
    assert Config(pruner=Pruner.BASE).needs() == {"BasePruner": "1.5.2"}
    assert Config(pruner=Pruner.MAGNITUDE, output_transform=True, second=Second.LOADED).needs() == {}


def test_every_cell_of_the_matrix_is_valid() -> None:
    assert {id_: why for id_, cell in matrix.known_cells().items() if (why := why_invalid(cell))} == {}


def test_all_that_a_user_may_do_next_is_done_in_the_matrix() -> None:
    done = Counter(cell.config.then for cell in matrix.default_cells())
    assert {then: done[then] for then in Then if then is not Then.NOTHING} == dict.fromkeys([*Then][1:], 3)


def test_upstreams_examples_are_cells_under_both_names_of_their_pruner() -> None:
    """BasePruner is its name from 1.5.2 on. The calls as they are now are among the default cells."""
    assert {example.cell for example in EXAMPLES} <= {*matrix.default_cells()}
    assert {example.older for example in EXAMPLES} <= {*matrix.every_cell()}
    first = EXAMPLES[0]
    assert [first.on(release).config.pruner for release in ("1.5.1", "1.5.2", "1.6.1")] == [
        Pruner.META,
        Pruner.BASE,
        Pruner.BASE,
    ]
    assert first.on("1.5.1") == replace(first.cell, config=replace(first.config, pruner=Pruner.META))


def test_no_example_is_told_twice() -> None:
    commands = [example.command for example in EXAMPLES]
    assert len({*commands, *LEFT_OUT}) == len(commands) + len(LEFT_OUT)


def test_no_two_channels_that_compete_tie() -> None:
    """Criteria divide by a dimension's mean: what is compared must not tie then, as squares or as plain weights."""
    for model in {cell.model for cell in islice(draws(5), 60)}:
        for power in (1, 0.5):
            scores = []
            for levels in synthetic_channels(model).values():
                raised = [level**power for level in levels]
                if len(raised) > 1:  # the only channel of a dimension is as its mean, and never goes
                    scores += [value * len(raised) / sum(raised) for value in raised]
            if len(scores) < 500:
                assert min((b / a for a, b in pairwise(sorted(scores))), default=2) > 1 + 2e-7, model.id


def test_synthetic_ranking_survives_the_layers_means() -> None:
    """Criteria divide by a layer's mean; the order over all layers must be the same before and after."""
    for model in {cell.model for cell in matrix.default_cells()}:
        importance = synthetic_heads(model)
        keys = [(layer, head) for layer in range(model.layers) for head in range(model.heads)]
        mean = [sum(row) / len(row) for row in importance]
        assert all(abs(value - 1) < 1e-9 for value in mean)
        raw = sorted(keys, key=lambda key: importance[key[0]][key[1]])
        if not model.full_size and model.heads > 1:  # a single head never goes
            scaled = [importance[layer][head] for layer, head in raw]
            assert min(b / a for a, b in pairwise(scaled)) > 1.004, "too close for floats and noise"
            lowest = [layer for layer, _ in raw[: len(raw) // 3]]
            assert model.heads == 3 or lowest.count(0) > len(lowest) / 2, (
                "a global ranking must not look like a local one"
            )
