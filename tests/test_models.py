"""Every family's adapter: what is said of a network without building one is true of it."""

from importlib.metadata import version
from typing import Any

import pytest
import torch
from packaging.specifiers import SpecifierSet

from headcount.matrix import cells as matrix
from headcount.pruning import network as networks
from headcount.models import FAMILIES, Model, adapter, small

MODELS = [pytest.param(model, id=model.id) for model in matrix.family_models()]


def _without(model: Model, role: str, gone: int) -> dict[str, tuple[int, ...]]:
    """Everything but one head, or one channel of each head, of all blocks; and what goes with it by construction."""
    dense, sizes, _ = networks.trace(networks.template(model).copy(), model)
    family = FAMILIES[model.family]

    def stays(name: str, row: int) -> bool:
        head, dim = divmod(row, model.head_dim)
        if role == "dims":
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
    return dense | left | (tables if role == "heads" else {})


@pytest.mark.parametrize("model", MODELS)
def test_every_weight_is_traced(model: Model) -> None:
    """All of a dense network is found, fits together, and says what its own reference says."""
    family: Any = adapter(model)
    net = networks.template(model).copy()
    kept, sizes, strays = networks.trace(net, model)
    assert not strays
    assert kept == {role: tuple(range(size)) for role, size in sizes.items()}
    assert len(family.blocks(net)) == model.layers
    with torch.no_grad():
        output = family.call(net, family.inputs(model))
    gap = networks.gap(output, model, kept)
    assert gap is not None
    assert gap < 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_what_is_said_of_a_family(model: Model) -> None:
    family = FAMILIES[model.family]
    roles = networks.trace(networks.template(model).copy(), model)[0]
    assert any(role.startswith("heads.") for role in roles) == family.relative_position_bias
    assert family.is_in(version("transformers"))


@pytest.mark.parametrize("role", ["heads", "dims"])
@pytest.mark.parametrize("model", MODELS)
def test_whose_code_runs_no_pruned_model(model: Model, role: str) -> None:
    family = FAMILIES[model.family]
    fixed = family.heads_fixed if role == "heads" else family.dims_fixed
    is_fixed = bool(fixed) and SpecifierSet(fixed).contains(version("transformers"))
    assert networks.runs(model, _without(model, role, 1)) == (not is_fixed)


def test_each_family_is_there_with_what_it_has() -> None:
    models = matrix.family_models()
    assert {model.family for model in models} == set(FAMILIES)
    assert sum(model.labels > 0 for model in models) == sum(family.head for family in FAMILIES.values())
    assert small("vit") == Model()
    everything = matrix.families(everything=True)
    assert set(matrix.families()) < set(everything)
    asked = len(models) + sum(FAMILIES[model.family].documented for model in models)
    assert len(everything) == asked * len(matrix.FAMILY_CALLS + matrix.STEPPED_CALLS)
