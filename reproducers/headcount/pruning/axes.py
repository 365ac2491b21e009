"""What the dimensions of a network's parameters stand for: `width`, `q.0`, `mlp.1` and so on, as in an observation."""

from typing import Any

from torch import nn

from headcount.models import Model, adapter

#: What one dimension of a parameter stands for. Several parts side by side have equal sizes, as three projections in
#: one layer do, or two tokens that a classifier reads. None means that nothing may be pruned there.
Axis = tuple[str, ...]


def axes(net: nn.Module, model: Model) -> dict[str, tuple[Axis, ...]]:
    """Return the axis of each dimension, by parameter."""
    layers = _layers(net, model)
    # Each head's own numbers, as many as heads: a table of relative positions, a temperature.
    tables = {parameter: block for block in range(model.layers) for parameter in _tables(net, model, block)}
    found: dict[str, tuple[Axis, ...]] = {}
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(prefix=path, recurse=False):
            sized = _sized(model)
            if parameter in tables:
                sized[model.heads_of(tables[parameter])] = (f"heads.{tables[parameter]}",)
            by_size = tuple(sized.get(size, ()) for size in parameter.shape)
            found[name] = layers[module][: parameter.dim()] if module in layers else by_size
            found[name] += ((),) * (parameter.dim() - len(found[name]))
    return found


def _layers(net: nn.Module, model: Model) -> dict[nn.Module, tuple[Axis, Axis]]:
    """Return the axes of rows and columns of each block's layers, and of the classifier."""
    family: Any = adapter(model.family)
    layers: dict[nn.Module, tuple[Axis, Axis]] = {}

    def add(layer: nn.Module, rows: str, columns: str) -> None:
        above = layers.get(layer, ((), ()))[0]
        layers[layer] = ((*above, rows), (columns,))

    for index, block in enumerate(family.blocks(net)):
        width = model.width_of(index)
        read = f"reduced.{index}" if block.reduction else width
        for name, layer, source in zip("qkv", (block.query, block.key, block.value), (width, read, read), strict=True):
            add(layer, f"{name}.{index}", source)
        for layer in block.reduction:
            add(layer, read, width)
        add(block.out, width, f"o.{index}")
        add(block.fc1, f"mlp.{index}", width)
        add(block.fc2, width, f"mlp.{index}")
    head = family.classifier(net)
    if head is not None:
        last = model.width_of(model.layers - 1)
        layers[head] = (("labels",), (last,) * (head.in_features // model.widths[last]))
    return layers


def _sized(model: Model) -> dict[int, Axis]:
    """Return the axis of a dimension by its size, for layers outside the blocks: a stage's width, or four tokens'."""
    merged = {4 * width: (dimension,) * 4 for dimension, width in [*model.widths.items()][:-1]}
    return merged | {width: (dimension,) for dimension, width in model.widths.items()}


def _tables(net: nn.Module, model: Model, index: int) -> list[nn.Parameter]:
    """Return what each head of a block has of its own besides its channels."""
    if not model.traits.relative_position_bias:
        return []
    block: Any = adapter(model.family).blocks(net)[index]
    layers = (block.query, block.key, block.value, block.out, block.fc1, block.fc2)
    others = {parameter for layer in layers for parameter in layer.parameters()}
    return [p for p in block.layer.parameters() if p not in others and model.heads_of(index) in p.shape]
