"""The matrix: complete where it is a product, covering where it is not, and with ids that select."""

from fractions import Fraction
from itertools import pairwise, product

from headcount.matrix import Cell, Config
from headcount.matrix import cells as matrix
from headcount.models import Model, synthetic_heads


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


def test_synthetic_ranking_survives_the_layers_means() -> None:
    """Criteria divide by a layer's mean; the order over all layers must be the same before and after."""
    for model in {cell.model for cell in matrix.default_cells()}:
        importance = synthetic_heads(model)
        keys = [(layer, head) for layer in range(model.layers) for head in range(model.heads)]
        mean = [sum(row) / len(row) for row in importance]
        assert all(abs(value - 1) < 1e-9 for value in mean)
        raw = sorted(keys, key=lambda key: importance[key[0]][key[1]])
        if not model.full_size:
            scaled = [importance[layer][head] for layer, head in raw]
            assert min(b / a for a, b in pairwise(scaled)) > 1.004, "too close for floats and noise"
            lowest = [layer for layer, _ in raw[: len(raw) // 3]]
            assert model.heads == 3 or lowest.count(0) > len(lowest) / 2, (
                "a global ranking must not look like a local one"
            )
