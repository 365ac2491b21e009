"""What belongs together is found as each family's adapter knows it, without asking the adapter."""

from collections import defaultdict

import numpy as np
import pytest
import torch

from headcount.check import reach, structure
from headcount.environment import environment
from headcount.models import FAMILIES, Model, adapter, small
from headcount.pruning import network, trace

torch.set_num_threads(1)  # as in the isolated process

#: Axes of channels; rows of tables are of heads.
_CHANNELS = ("width", "mlp", "labels", "reduced", "pooled")


def _found(model: Model) -> structure.Structure:
    net, family = network.copied(model), adapter(model.family)
    names = {parameter: name for name, parameter in net.named_parameters()}
    heads = {}
    for block, count in zip(family.blocks(net), model.block_heads, strict=True):
        for number, layer in enumerate(block.projections):
            weight = layer.in_proj_weight if isinstance(layer, torch.nn.MultiheadAttention) else layer.weight
            heads[names[weight]] = count // (model.traits.queries_per_kv if number else 1)
    return structure.found(reach.Network(net, lambda net: family.call(net, network.inputs(model))), heads)


@pytest.mark.parametrize("family", FAMILIES)
def test_channels_and_heads(family: str) -> None:
    if not FAMILIES[family].is_in(environment()["transformers"]):
        pytest.skip("this transformers has none")
    if family == "adaln_spare":
        pytest.skip("what nothing reads goes with what is made beside it, and reaches no channel")
    model = small(family)
    found, classes = _found(model), defaultdict[tuple[str, int], set[int]](set)
    assert len(found.attentions) == model.layers
    assert [heads[0].count for heads in found.attentions] == list(model.block_heads)
    assert all(heads.size == model.head_dim for heads in found.heads.values())
    for name, axes in trace.read_axes(model).items():
        for dim, axis in enumerate(axes):
            if axis and axis[0].partition(".")[0] in _CHANNELS:
                each = np.split(found.channels[name, dim], len(axis))
                for dimension, part in zip(axis, each, strict=True):
                    for index, number in enumerate(part.tolist()):
                        classes[dimension, index].add(number)
    assert all(len(numbers) == 1 for numbers in classes.values()), "one channel in two classes"
    every = [number for numbers in classes.values() for number in numbers]
    assert len(every) == len(set(every)), "two channels in one class"
    tables = {name for name, axes in trace.read_axes(model).items() if any("heads" in "".join(axis) for axis in axes)}
    assert tables == {name for name, _ in found.tables if "table" in name or "logit_scale" in name or name in tables}


def test_parts_of_a_gated_mlp_go_together() -> None:
    class Gated(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Linear(5, 12), torch.nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            one, other = self.first(x).chunk(2, -1)
            result: torch.Tensor = self.last(torch.nn.functional.silu(one) * other)
            return result

    torch.manual_seed(0)
    found = structure.found(reach.Network(Gated(), lambda net: net(torch.randn(3, 5))), {})
    rows, columns = found.channels["first.weight", 0], found.channels["last.weight", 1]
    assert (rows[:6] == rows[6:]).all()
    assert (rows[:6] == columns).all()
    assert ("first.weight", 1) in found.fixed, "what reads the input stays"
