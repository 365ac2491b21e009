"""Every family's adapter: what is said of a network without building one is true of it."""

from importlib.metadata import version
from typing import Any

import pytest
import torch
from packaging.specifiers import SpecifierSet

from headcount.matrix import cells as matrix
from headcount.models import ENDING, Model, adapter, small
from headcount.pruning.network import copied
from headcount.pruning.reference import gap, runs
from headcount.pruning.trace import dense_sizes, trace

MODELS = [pytest.param(model, id=model.id) for model in matrix.family_models()]


def _without(model: Model, part: str, gone: int) -> dict[str, tuple[int, ...]]:
    """Everything but one head, or one channel of each head, of all blocks; and what goes with it by construction."""
    dense, sizes = trace(copied(model), model)[0], dense_sizes(model)
    family = model.traits

    def stays(name: str, row: int) -> bool:
        head, dim = divmod(row, model.head_dim)
        if part == "dims":
            return dim != gone
        if family.queries_per_kv == 1:
            return head != gone
        # Of keys and values all stay, read by one head fewer each.
        return name[0] in "kv" or head % family.queries_per_kv != gone

    attention = {name: rows for name, rows in dense.items() if name[0] in "qkvo"}
    left = {name: tuple(row for row in rows if stays(name, row)) for name, rows in attention.items()}
    if family.uses_multihead_attention:
        left["width"] = left["q.0"]
    tables = {name: tuple(i for i in range(sizes[name]) if i != gone) for name in dense if name.startswith("heads.")}
    return dense | left | (tables if part == "heads" else {})


@pytest.mark.parametrize("model", MODELS)
def test_every_weight_is_traced(model: Model) -> None:
    """All of a dense network is found, fits together, and says what its own reference says."""
    family: Any = adapter(model.family)
    net = copied(model)
    kept, unexpected = trace(net, model)
    assert not unexpected
    assert kept == {dimension: tuple(range(size)) for dimension, size in dense_sizes(model).items()}
    assert len(family.blocks(net)) == model.layers
    with torch.no_grad():
        output = family.call(net, family.inputs(model))
    difference = gap(output, model, kept)
    assert difference is not None
    assert difference < 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_what_is_said_of_a_family(model: Model) -> None:
    family = model.traits
    dimensions = trace(copied(model), model)[0]
    assert any(name.startswith("heads.") for name in dimensions) == family.relative_position_bias
    blocks = adapter(model.family).blocks(copied(model))
    assert [bool(block.depthwise) for block in blocks] == [family.depthwise] * model.layers
    assert [bool(block.gate) for block in blocks] == [family.gated] * model.layers
    assert all(len(dimensions[f"mlp.{block}"]) == model.mlp_of(block) for block in range(model.layers))
    assert ("pooled" in dimensions) == (family.pooler and model.labels > 0)
    kinds = {type(module) for module in copied(model).modules()}
    assert (family.words, family.own_norms) == (torch.nn.Conv2d not in kinds, torch.nn.LayerNorm not in kinds)
    assert family.is_in(version("transformers"))


@pytest.mark.parametrize("part", ["heads", "dims"])
@pytest.mark.parametrize("model", MODELS)
def test_which_code_runs_no_pruned_model(model: Model, part: str) -> None:
    family = model.traits
    fixed = family.heads_fixed if part == "heads" else family.dims_fixed
    is_fixed = bool(fixed) and SpecifierSet(fixed).contains(version("transformers"))
    assert runs(model, _without(model, part, 1)) == (not is_fixed)


def test_each_family_is_there_with_what_it_has() -> None:
    models = matrix.family_models()
    assert {model.family for model in models} == set(ENDING)
    assert sum(model.labels > 0 for model in models) == sum(family.head for family in ENDING.values())
    assert small("vit") == Model()
    everything = matrix.families(everything=True)
    assert set(matrix.families()) < set(everything)
    models_run = len(models) + sum(model.traits.documented for model in models)
    assert len(everything) == models_run * len(matrix.FAMILY_CALLS + matrix.STEPPED_CALLS)
