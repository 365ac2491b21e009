"""The dense network with synthetic weights, built once and copied for each call.

Each dimension of a weight stands for something: `width`, `q.0`, `mlp.1` and so on, as in an observation. A weight has a
factor of synthetic importance for each of them, and a unique value (see `fingerprint`): after pruning it is known which
must have gone, and where what is left comes from.
"""

import io
import pickle
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from headcount.environment import CPU
from headcount.matrix import Precision
from headcount.models import FAMILIES, Model, adapter, small, synthetic_channels, synthetic_heads
from headcount.pruning import fingerprint, halves

#: What one dimension of a parameter stands for. Several parts side by side have equal sizes, as three projections in
#: one layer do, or two tokens that a classifier reads. With no part, nothing may be pruned there.
Axis = tuple[str, ...]


@cache
def axes(net: nn.Module, model: Model) -> dict[str, tuple[Axis, ...]]:
    """Return the axis of each dimension of an unpruned network, by parameter."""
    layers: dict[nn.Module, tuple[list[str], Axis]] = {}
    for layer, rows, columns in _layers(net, model):
        layers.setdefault(layer, ([], columns))[0].append(rows)  # a layer may be several projections
    known = {
        p: (tuple(rows), columns) for layer, (rows, columns) in layers.items() for p in layer.parameters(recurse=False)
    }
    known |= {
        getattr(block.attention, own): ((f"{name}.{index}",),)
        for index, block in enumerate(adapter(model.family).blocks(net))
        for name, own in block.biases
    }
    # Each head may have its own numbers, as many as heads: a table of relative positions, a temperature.
    tables = {
        p: {model.heads_of(index): (f"heads.{index}",)}
        for index, block in enumerate(adapter(model.family).blocks(net))
        for p in block.layer.parameters()
        if model.traits.relative_position_bias and p.dim() > 1
    }
    # Outside the blocks a size tells the axis: a stage's width, or that of four tokens side by side.
    merged = {4 * width: (dimension,) * 4 for dimension, width in [*model.widths.items()][:-1]}
    widths = merged | {width: (dimension,) for dimension, width in model.widths.items()}
    growing = _growing(model.family, model.layers, bare=not model.labels)
    found: dict[str, tuple[Axis, ...]] = {}
    for name, parameter in net.named_parameters():
        sized, grows = widths | tables.get(parameter, {}), growing[name]
        unnamed = (sized.get(size, ()) if grows[dim] else () for dim, size in enumerate(parameter.shape))
        named = known.get(parameter) or tuple(unnamed)
        found[name] = (*named, *[()] * parameter.dim())[: parameter.dim()]
    return found


@cache
def _growing(family: str, layers: int, *, bare: bool) -> dict[str, tuple[bool, ...]]:
    """Return which dimensions of each parameter grow with the number of heads: sizes that only coincide do not."""
    each = FAMILIES[family].queries_per_kv
    models = (replace(small(family, heads * each, bare=bare), layers=layers) for heads in (2, 4))
    one, other = (adapter(family).build(model) for model in models)
    return {
        name: tuple(size != larger for size, larger in zip(p.shape, q.shape, strict=True))
        for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True)
    }


def _layers(net: nn.Module, model: Model) -> Iterator[tuple[nn.Module, str, Axis]]:
    """Yield each block's layers and the classifier, with the axes of rows, a part at a time, and of columns."""
    family: Any = adapter(model.family)
    for index, block in enumerate(family.blocks(net)):
        width = model.width_of(index)
        read = f"reduced.{index}" if block.reduction else width
        yield from (
            (block.query, f"q.{index}", (width,)),
            (block.key, f"k.{index}", () if block.reads_condition else (read,)),
            (block.value, f"v.{index}", () if block.reads_condition else (read,)),
            *((layer, read, (width,)) for layer in block.reduction),
            (block.out, width, (f"o.{index}",)),
            *((layer, f"mlp.{index}", (width,)) for layer in (block.fc1, *block.gate)),
            *((layer, f"mlp.{index}", ()) for layer in block.depthwise),
            *((layer, width, ()) for layer in block.modulation),
            (block.fc2, width, (f"mlp.{index}",)),
        )
    head, pooler, last = family.classifier(net), family.pooler(net), model.width_of(model.layers - 1)
    if pooler is not None:
        yield pooler, "pooled", (last,)
    if pooler is not None:
        yield head, "labels", ("pooled",)
    elif head is not None:
        yield head, "labels", (last,) * (head.in_features // model.widths[last])


def dense(model: Model, precision: Precision = Precision.FLOAT32) -> nn.Module:
    """Return the unpruned network with synthetic weights. It is shared: copy it before changing anything."""
    return _dense(model, precision)


@cache
def _dense(model: Model, precision: Precision) -> nn.Module:
    # To draw a full-size model's weights, which are not kept, would take longer than all else.
    drawn = not (model.full_size and model.family == Model.family)
    with torch.device(CPU if drawn else "meta"):
        net: nn.Module = adapter(model.family).build(model)
    if not drawn:
        assert not list(net.buffers()), "buffers would stay empty"
        net.to_empty(device=CPU)
    known, factors = axes(net, model), _factors(model)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            gain = parameter.dim() == 1 and not name.endswith("bias")
            # Gains, of norms and of branches, stay near one, to keep what they scale alive.
            values = torch.full(parameter.shape, 1.0 if gain else 0.05)
            for dim, axis in enumerate(known[name]):
                if axis and axis[0] in factors:
                    factor = torch.cat([factors[dimension] for dimension in axis])
                    values *= factor.reshape(-1, *[1] * (values.dim() - dim - 1))
            parameter.data = _encoded(values, precision, signed=not gain)
    return net if precision is Precision.FLOAT32 else net.to(getattr(torch, precision))


def _encoded(values: Tensor, precision: Precision, *, signed: bool) -> Tensor:
    if precision is Precision.FLOAT32:
        return fingerprint.encode(values, signed=signed)
    return halves.encode(values, getattr(torch, precision), signed=signed)


def _factors(model: Model) -> dict[str, Tensor]:
    """Return the factor on the weights of each channel, by dimension: the root of its synthetic importance."""
    importance = {dimension: torch.tensor(factors) for dimension, factors in synthetic_channels(model).items()}
    for index, heads in enumerate(synthetic_heads(model)):
        queries, dims = torch.tensor(heads), importance[f"dims.{index}"]
        read = queries.view(-1, model.traits.queries_per_kv).mean(1)  # of the queries that share keys and values
        importance |= {f"{name}.{index}": torch.outer(queries, dims).flatten() for name in "qo"}
        importance |= {f"{name}.{index}": torch.outer(read, dims).flatten() for name in "kv"}
    return {dimension: vector.sqrt() for dimension, vector in importance.items()}


def originals(model: Model, precision: Precision = Precision.FLOAT32) -> dict[str, Tensor]:
    """Return the dense network's weights by name."""
    return _originals(model, precision)


@cache
def _originals(model: Model, precision: Precision) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in _dense(model, precision).named_parameters()}


def copied(model: Model, precision: Precision = Precision.FLOAT32, *, shares: bool = False) -> nn.Module:
    """Return a copy of the dense network.

    Args:
        shares: its tensors are the dense network's own: it can be called with others in their place.
    """
    modules, tensors = _pickled(model, precision)
    net: nn.Module = _Unpickler(modules, tensors if shares else {key: _fresh(t) for key, t in tensors.items()}).load()
    return net


@cache
def _pickled(model: Model, precision: Precision) -> tuple[bytes, dict[int, Tensor]]:
    """Return the dense network's modules as a pickle, which loads in C, and the tensors that are left out of it."""
    net, buffer = _dense(model, precision), io.BytesIO()
    pickler = _Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dump(net)
    return buffer.getvalue(), pickler.tensors


class _Pickler(pickle.Pickler):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.tensors: dict[int, Tensor] = {}  # not only parameters and buffers: a module may keep others

    def persistent_id(self, item: object) -> int | None:
        if not isinstance(item, Tensor):
            return None
        self.tensors[id(item)] = item
        return id(item)


class _Unpickler(pickle.Unpickler):
    def __init__(self, modules: bytes, tensors: dict[int, Tensor]) -> None:
        super().__init__(io.BytesIO(modules))
        self._tensors = tensors

    def persistent_load(self, key: int) -> Tensor:
        return self._tensors[key]


def _fresh(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


@cache
def inputs(model: Model, device: str = CPU, precision: Precision = Precision.FLOAT32) -> Any:
    """Return what the network is called with."""
    given = adapter(model.family).inputs(model)
    if isinstance(given, dict):
        return {name: _converted(item, device, precision) for name, item in given.items()}
    return _converted(given, device, precision)


def _converted(item: Tensor, device: str, precision: Precision) -> Tensor:
    return item.to(device, getattr(torch, precision) if item.is_floating_point() else item.dtype)
