"""The networks that are pruned: built with planted weights, copied, and read afterwards.

A network's parameters get a role for each dimension (`width`, `q.0`, `mlp.1`, …), factors of planted
importance by role, and unique values (see `planting`). What is left after pruning is traced back by
value, and its output compared with the dense network's, the removed parts masked.
"""

import io
import math
import pickle
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from headcount.environment import CPU
from headcount.models import FAMILIES, Model, adapter, synthetic_channels, synthetic_heads
from headcount.pruning.fingerprint import decode, encode

_BASE_SCALE = 0.05

#: The roles of one dimension: side by side, and of equal size, as three projections in one layer are, or two
#: tokens that a classifier reads; none where nothing may ever be pruned.
Axis = tuple[str, ...]


@cache
def dense(model: Model) -> nn.Module:
    """The unpruned network with planted weights. Shared: copy it before changing anything."""
    family: Any = adapter(model)
    if model.full_size:  # to draw weights that are not kept would take longer than all else
        with torch.device("meta"):
            net: nn.Module = family.build(model)
        assert not list(net.buffers()), "buffers would stay empty"
        net.to_empty(device="cpu")
    else:
        net = family.build(model)
    axes = _axes(net, model)
    vectors = _planted_vectors(model)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            gain = parameter.dim() == 1 and not name.endswith("bias")
            # Gains, of norms and of branches, stay near one, to keep what they scale alive.
            values = torch.full(parameter.shape, 1.0 if gain else _BASE_SCALE)
            for dim, axis in enumerate(axes[name]):
                if axis and axis[0] in vectors:
                    planted = torch.cat([vectors[role] for role in axis])
                    values *= planted.reshape([-1 if d == dim else 1 for d in range(values.dim())])
            parameter.data = encode(values, signed=not gain)
    return net


class Template:
    """A network to be copied many times: its modules as a pickle, which loads in C, its tensors aside."""

    def __init__(self, net: nn.Module) -> None:
        self._tensors: list[Tensor] = []
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.persistent_id = self._put_aside  # type: ignore[method-assign]
        pickler.dump(net)
        self._modules = buffer.getvalue()

    def copy(self) -> nn.Module:
        """A network that shares nothing with the others."""
        return self._with([self._fresh(tensor) for tensor in self._tensors])

    def shell(self) -> nn.Module:
        """A network of its own modules and everyone's tensors: to be called with others in their place."""
        return self._with(self._tensors)

    def _with(self, tensors: list[Tensor]) -> nn.Module:
        unpickler = pickle.Unpickler(io.BytesIO(self._modules))  # noqa: S301 - pickled by this process
        unpickler.persistent_load = tensors.__getitem__  # type: ignore[method-assign]
        net: nn.Module = unpickler.load()
        return net

    def _put_aside(self, item: object) -> int | None:
        if not isinstance(item, Tensor):
            return None
        for index, tensor in enumerate(self._tensors):
            if tensor is item:
                return index
        self._tensors.append(item)
        return len(self._tensors) - 1

    @staticmethod
    def _fresh(tensor: Tensor) -> Tensor:
        copy = tensor.detach().clone()
        return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


@cache
def template(model: Model) -> Template:
    """The dense network, to be copied."""
    return Template(dense(model))


def _planted_vectors(model: Model) -> dict[str, Tensor]:
    """Role -> factor on the weights of each of its channels; the square root of the importance planted."""
    widths = {**model.widths, **model.reduced}
    vectors = {role: torch.tensor(synthetic_channels(width, 0)) for role, width in widths.items()}
    dims = torch.tensor(synthetic_channels(model.head_dim, 1))
    if FAMILIES[model.family].uses_multihead_attention:
        vectors["width"] = dims.repeat(model.heads)
    for index, heads in enumerate(synthetic_heads(model)):
        queries = torch.tensor(heads)
        read = queries.view(-1, FAMILIES[model.family].queries_per_kv).mean(1)  # of what these share
        vectors |= {f"{name}.{index}": torch.outer(queries, dims).flatten() for name in "qo"}
        vectors |= {f"{name}.{index}": torch.outer(read, dims).flatten() for name in "kv"}
        vectors[f"mlp.{index}"] = torch.tensor(synthetic_channels(model.mlp_of(index), 2 + index))
    return {role: vector.sqrt() for role, vector in vectors.items()}


def _axes(net: nn.Module, model: Model) -> dict[str, tuple[Axis, ...]]:
    """Parameter name -> the axis of each of its dimensions."""
    family: Any = adapter(model)
    layers: dict[nn.Module, tuple[Axis, Axis]] = {}

    def add(layer: nn.Module, rows: str, columns: str) -> None:
        above = layers.get(layer, ((), ()))[0]
        layers[layer] = ((*above, rows), (columns,))

    blocks = family.blocks(net)
    for index, block in enumerate(blocks):
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
        layers[head] = (("labels",), (width,) * (head.in_features // model.widths[width]))
    per_head = {p: index for index, block in enumerate(blocks) for p in _per_head(block, model, index)}
    axes: dict[str, tuple[Axis, ...]] = {}
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(prefix=path, recurse=False):
            known = layers.get(module, ())
            named = _sized(model)
            if parameter in per_head:
                named[model.heads_of(per_head[parameter])] = (f"heads.{per_head[parameter]}",)
            by_size = tuple(named.get(size, ()) for size in parameter.shape)
            axes[name] = (*known, *[()] * parameter.dim())[: parameter.dim()] if known else by_size
    return axes


def _sized(model: Model) -> dict[int, Axis]:
    """What a dimension of such a size is, of a layer that is in no block: a stage's width, or four of its tokens."""
    merged = {4 * width: (role,) * 4 for role, width in [*model.widths.items()][:-1]}
    return merged | {width: (role,) for role, width in model.widths.items()}


def _per_head(block: Any, model: Model, index: int) -> list[nn.Parameter]:
    """What each head of a block has of its own besides its channels: biases, a temperature."""
    if not FAMILIES[model.family].relative_position_bias:
        return []
    layers = (block.query, block.key, block.value, block.out, block.fc1, block.fc2)
    others = {parameter for layer in layers for parameter in layer.parameters()}
    return [p for p in block.layer.parameters() if p not in others and model.heads_of(index) in p.shape]


@cache
def _originals(model: Model) -> dict[str, Tensor]:
    """The dense network's weights by name."""
    return {name: parameter.detach() for name, parameter in dense(model).named_parameters()}


@cache
def _every_axis(model: Model) -> dict[str, tuple[Axis, ...]]:
    """`_axes` of the dense network."""
    return _axes(dense(model), model)


@cache
def _dense_axes(model: Model) -> dict[str, tuple[Axis, ...]]:
    """Likewise, without the parameters that its output does not depend on."""
    axes = _every_axis(model)
    if model.full_size:  # a ViT, and it depends on all
        return axes
    net = template(model).copy()
    net.requires_grad_(requires_grad=True)
    read = _leaves(adapter(model).call(net, inputs(model)))
    return {name: axes[name] for name, parameter in net.named_parameters() if parameter in read}


def _leaves(output: Tensor) -> set[Tensor]:
    """What a tensor was computed from, by the graph that autograd has kept."""
    found, seen, ahead = set(), set(), [output.grad_fn]
    while ahead:
        step = ahead.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        found |= {step.variable} if hasattr(step, "variable") else set()
        ahead += [before for before, _ in step.next_functions]
    return found


def prepare(model: Model) -> None:
    """Make all that is kept of a model, before it is asked for."""
    _dense_sizes(model)


def inputs(model: Model, device: str = CPU) -> Any:
    """What the network is called with."""
    return _inputs(model, device)


@cache
def _inputs(model: Model, device: str) -> Any:
    given = adapter(model).inputs(model)
    return {name: item.to(device) for name, item in given.items()} if isinstance(given, dict) else given.to(device)


def trace(net: nn.Module, model: Model) -> tuple[dict[str, tuple[int, ...]], dict[str, int], list[str]]:
    """Role -> surviving dense indices, role -> dense size, and whatever does not fit together."""
    axes, originals = _dense_axes(model), _originals(model)
    survivors = dict(net.named_parameters())
    strays = [f"{name} is gone" for name in originals.keys() - survivors.keys()]
    strays += [f"{name} is new" for name in survivors.keys() - originals.keys()]
    kept: dict[str, tuple[int, ...]] = {}
    sizes: dict[str, int] = {}
    for name, original in originals.items():
        if name not in survivors or name not in axes:
            continue
        indices, stray = decode(survivors[name].detach().cpu(), original)
        if stray:
            strays.append(f"{name}: {stray}")
            continue
        for axis, size, index in zip(axes[name], original.shape, indices, strict=True):
            if not axis and len(index) != size:
                strays.append(f"{name}: {size - len(index)} of {size} are gone where nothing may be pruned")
            for role, part in zip(axis, _parts(index, size, len(axis)), strict=False):
                sizes[role] = size // len(axis)
                if kept.setdefault(role, part) != part:
                    strays.append(f"{name}: keeps other indices of {role} than its neighbours")
    strays += _other_heads(kept, model)
    strays += _attribute_strays(net)
    return kept, sizes, sorted(strays)


def _other_heads(kept: Mapping[str, tuple[int, ...]], model: Model) -> list[str]:
    """Blocks in which other heads have a row in a table than have channels."""
    tables = [role for role in kept if role.startswith("heads.")]
    left = {role: sorted({row // model.head_dim for row in kept.get(f"q.{role[6:]}", ())}) for role in tables}
    return [
        f"block {role[6:]}: a table is of the heads {list(kept[role])}, its channels are of {left[role]}"
        for role in tables
        if list(kept[role]) != left[role]
    ]


def _parts(indices: tuple[int, ...], size: int, parts: int) -> list[tuple[int, ...]]:
    """Indices into `size` channels, dealt out to equal parts of them, each counted from its own start."""
    if parts <= 1:
        return [indices] * parts
    each = size // parts
    return [tuple(i - start for i in indices if start <= i < start + each) for start in range(0, size, each)]


def _attribute_strays(net: nn.Module) -> list[str]:
    """Layers whose own numbers are not their weight's."""
    linear = [
        f"{name}: features ({m.out_features}, {m.in_features}) but weight {tuple(m.weight.shape)}"
        for name, m in net.named_modules()
        if isinstance(m, nn.Linear) and tuple(m.weight.shape) != (m.out_features, m.in_features)
    ]
    return linear + [
        f"{name}: embed_dim {m.embed_dim} but weight {tuple(m.in_proj_weight.shape)}"
        for name, m in net.named_modules()
        if isinstance(m, nn.MultiheadAttention) and tuple(m.in_proj_weight.shape) != (3 * m.embed_dim, m.embed_dim)
    ]


def gap(output: Tensor, model: Model, kept: Mapping[str, tuple[int, ...]]) -> float | None:
    """Largest difference to what the dense network says when the removed parts are not there.

    Returns:
        The difference relative to the largest logit, or None if what is left is no network.
    """
    if kept.keys() != _dense_sizes(model).keys() or len(kept.get("labels", ())) != model.labels:
        return None
    reference = _reference(model, tuple(kept.items()))
    if reference is None or reference.shape != output.shape:
        return None
    difference = float((reference - output).abs().max() / reference.abs().max())
    return math.inf if math.isnan(difference) else difference


def runs(model: Model, kept: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the dense weights at these indices make a network that runs, if told its sizes; or none at all."""
    if kept.keys() != _dense_sizes(model).keys():
        return True
    try:
        _sliced(model, kept)
    except Exception:  # noqa: BLE001 - a model's own code may raise anything
        return False
    return True


@cache
def _dense_sizes(model: Model) -> dict[str, int]:
    """Role -> channels in the dense network."""
    axes = _dense_axes(model)
    return {
        role: size // len(axis)
        for name, parameter in _originals(model).items()
        if name in axes
        for axis, size in zip(axes[name], parameter.shape, strict=True)
        for role in axis
    }


@cache
def _reference(model: Model, kept: tuple[tuple[str, tuple[int, ...]], ...]) -> Tensor | None:
    """Logits of what should be left. Many calls leave the same, so they are kept.

    Where the width is whole, the removed heads and neurons are masked in the dense network itself. Where it
    is not, that would change every norm, and fewer dims may change what a family divides attention's logits
    by: there a network of the size that is left gets the dense weights at the surviving indices.
    """
    left = dict(kept)
    rows = [left[f"q.{index}"] for index in range(model.layers)]
    whole = all(len(q) == model.head_dim * len({row // model.head_dim for row in q}) for q in rows)
    wide = all(len(left[role]) == width for role, width in model.widths.items())
    return _masked(model, left) if whole and wide else _sliced(model, left)


def _masked(model: Model, kept: Mapping[str, tuple[int, ...]]) -> Tensor:
    """Logits of the dense network without what is gone.

    A removed head contributes nothing once its columns of the output projection are zero, a neuron likewise.
    """
    net, sizes, masked = dense(model), _dense_sizes(model), {}
    for name, whole in _originals(model).items():
        value = whole
        for dim, axis in enumerate(_dense_axes(model).get(name, ())):
            gone = [
                start * sizes[role] + index
                for start, role in enumerate(axis)
                if role not in model.widths and role != "labels"
                for index in set(range(sizes[role])) - set(kept[role])
            ]
            if gone:
                value = value.index_fill(dim, torch.tensor(sorted(gone)), 0.0)
        masked[name] = value
    return _logits(net, masked, model)


def _sliced(model: Model, kept: Mapping[str, tuple[int, ...]]) -> Tensor | None:
    """Logits of a network of the size that is left; None if its blocks have no whole number of heads."""
    net, family = template(model).shell(), adapter(model)
    axes = _every_axis(model)  # of what its output does not depend on, too: it is computed all the same
    for index, block in enumerate(family.blocks(net)):
        rows = len(kept[f"q.{index}"])
        heads = len({row // model.head_dim for row in kept[f"q.{index}"]})
        if rows % heads:
            return None
        block.out.in_features = rows  # what a family takes for the width of attention
        family.set_heads(block, heads)
    left, sizes = {}, _dense_sizes(model)
    for name, parameter in net.named_parameters():
        value = parameter.detach()
        for dim, axis in enumerate(axes.get(name, ())):
            if axis:
                survivors = [start * sizes[role] + index for start, role in enumerate(axis) for index in kept[role]]
                value = value.index_select(dim, torch.tensor(survivors))
        left[name] = value
    for name, module in net.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.normalized_shape = tuple(left[f"{name}.weight"].shape)
    family.settle(net, left)
    return _logits(net, left, model)


def _logits(net: nn.Module, parameters: dict[str, Tensor], model: Model) -> Tensor:
    """What a network says with other parameters in place of its own."""
    given, family = inputs(model), adapter(model)
    with torch.no_grad():
        named = given if isinstance(given, dict) else {}
        answer = torch.func.functional_call(net, parameters, () if named else (given,), named)
        output: Tensor = family.output(answer)
    return output


def state(net: nn.Module) -> dict[tuple[str, str], object]:
    """What pruning has no business to change, beyond the weights."""
    state: dict[tuple[str, str], object] = {}
    for name, parameter in net.named_parameters():
        state[name, ".requires_grad"] = parameter.requires_grad
        state[name, ".dtype"] = parameter.dtype
    for name, module in net.named_modules():
        state[name or "model", ".training"] = module.training
        state[name or "model", " hooks"] = len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001 - no public way
    return state


def changes(before: dict[tuple[str, str], object], after: dict[tuple[str, str], object]) -> list[str]:
    """What differs, in words: three examples and how many more."""
    changed = [key for key, value in before.items() if key in after and after[key] != value]
    return [f"{''.join(key)}: {before[key]} became {after[key]}" for key in changed[:3]] + (
        [f"and {len(changed) - 3} more"] if len(changed) > 3 else []  # noqa: PLR2004 - three examples are enough
    )
