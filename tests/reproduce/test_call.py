"""The call as data, and as a person writes it."""

from fractions import Fraction

import pytest

from headcount.matrix import Cell, Config, Criterion
from headcount.matrix.config import one_shot, summed
from headcount.models import Model
from headcount.reproduce.call import call, importance
from headcount.reproduce.source import source


def test_the_keywords_are_those_that_differ_from_the_defaults() -> None:
    assert Config().keywords() == {"num_heads": "qkv", "ignored_layers": ("classifier",)}
    config = Config(
        round_to=4,
        num_heads="kv",
        ignored_layers=("residual_outputs",),
        one_shot=True,
        output_transform=True,
        pruning_ratio_dict=((("mlp.0",), Fraction(1, 4)),),
    )
    assert config.keywords() == {
        "round_to": 4,
        "num_heads": "kv",
        "ignored_layers": ("classifier", "residual_outputs"),
        "pruning_ratio_dict": {("mlp.0",): Fraction(1, 4)},
        "iterative_pruning_ratio_scheduler": one_shot,
        "output_transform": summed,
    }
    assert one_shot(0.5, 3) == [0.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("ratio", "written"), [(Fraction(1, 3), "1 / 3"), (Fraction(7, 25), "0.28"), (Fraction(-1, 2), "-0.5")]
)
def test_a_ratio_is_the_same_float(ratio: Fraction, written: str) -> None:
    """No decimal that a person would write is 1/3."""
    text = call(Cell(Model(layers=1, heads=2), Config(head_pruning_ratio=ratio)))
    expected = f'{{"head_pruning_ratio": {written}, "num_heads": {{q: 2, k: 2, v: 2}}, '
    assert text.startswith(f"call = {expected}")
    top, _, bottom = written.partition(" / ")
    assert float(top) / float(bottom or 1) == float(ratio)


def test_a_call_goes_on_where_a_line_is_full() -> None:
    config = Config(
        global_pruning=True,
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=Fraction(1, 2),
        head_pruning_ratio_dict=((("attention.1",), Fraction(2, 3)),),
        pruning_ratio_dict=((("mlp.0", "mlp.1"), Fraction(1, 4)),),
        ignored_layers=("residual_outputs",),
    )
    assert call(Cell(Model(), config)).splitlines() == [
        'call = {"global_pruning": True, "prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": 0.5}',
        'call |= {"num_heads": dict.fromkeys([*q, *k, *v], 6), "ignored_layers": [model.classifier, *out, *fc2]}',
        'call |= {"head_pruning_ratio_dict": {attentions[1]: 2 / 3}, "pruning_ratio_dict": {(fc1[0], fc1[1]): 0.25}}',
    ]


def test_layers_are_named_by_block_where_there_are_several() -> None:
    assert source(Model(layers=1)).layers(["qkv.0", "mlp.0", "residual_outputs"]) == "q, k, v, fc1, out, fc2"
    assert source(Model()).layers(["attention_outputs", "mlp_outputs"]) == "*out, *fc2"
    assert source(Model(layers=2)).layers(["qkv.1", "query.0"]) == "q[1], k[1], v[1], q[0]"


def test_a_criterion_by_either_of_its_names() -> None:
    assert importance(Criterion.LAMP) == ("tp.importance.LAMPImportance()", "importance")
    assert importance(Criterion.GROUP_NORM) == ("tp.importance.GroupNormImportance(p=2)", "importance")
    made, argument = importance(Criterion.L1)
    assert made.endswith("or tp.importance.GroupMagnitudeImportance")
    assert argument == "importance(p=1)"
