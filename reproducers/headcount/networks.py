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

from headcount.models import Model, adapter, planted_channels, planted_heads
from headcount.planting import decode, encode

_BASE_SCALE = 0.05


@cache
def dense(model: Model) -> nn.Module:
    """The unpruned network with planted weights. Shared: copy it before changing anything."""
    family: Any = adapter(model)
    with torch.device("meta"):
        net: nn.Module = family.build(model)
    assert not list(net.buffers()), "buffers would stay empty"
    net.to_empty(device="cpu")
    axes = _axes(net, family)
    vectors = _planted_vectors(model)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            gain = parameter.dim() == 1 and name.endswith(".weight")
            # A norm's gains stay near one, to keep its output alive.
            values = torch.full(parameter.shape, 1.0 if gain else _BASE_SCALE)
            for dim, role in enumerate(axes[name]):
                if role in vectors:
                    values *= vectors[role].reshape([-1 if d == dim else 1 for d in range(values.dim())])
            parameter.copy_(encode(values, signed=not gain))
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
        fresh = [self._fresh(tensor) for tensor in self._tensors]
        unpickler = pickle.Unpickler(io.BytesIO(self._modules))  # noqa: S301 - pickled by this process
        unpickler.persistent_load = fresh.__getitem__  # type: ignore[method-assign]
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
    vectors = {"width": torch.tensor(planted_channels(model.width, 0))}
    dims = torch.tensor(planted_channels(model.head_dim, 1))
    for index, heads in enumerate(planted_heads(model)):
        vectors |= {f"{name}.{index}": torch.outer(torch.tensor(heads), dims).flatten() for name in "qkvo"}
        vectors[f"mlp.{index}"] = torch.tensor(planted_channels(model.mlp, 2 + index))
    return {role: vector.sqrt() for role, vector in vectors.items()}


def _axes(net: nn.Module, family: Any) -> dict[str, tuple[str | None, ...]]:
    """Parameter name -> the role of each of its dimensions; None where nothing is ever pruned."""
    layers: dict[nn.Module, tuple[str, str]] = {family.classifier(net): ("labels", "width")}
    for index, block in enumerate(family.blocks(net)):
        layers |= {
            layer: (f"{name}.{index}", "width")
            for name, layer in zip("qkv", (block.query, block.key, block.value), strict=True)
        }
        layers |= {
            block.out: ("width", f"o.{index}"),
            block.fc1: (f"mlp.{index}", "width"),
            block.fc2: ("width", f"mlp.{index}"),
        }
    width = family.blocks(net)[0].query.in_features
    axes: dict[str, tuple[str | None, ...]] = {}
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(prefix=path, recurse=False):
            known = layers.get(module, ())[: parameter.dim()]
            axes[name] = known or tuple("width" if size == width else None for size in parameter.shape)
    return axes


@cache
def _dense_axes(model: Model) -> dict[str, tuple[str | None, ...]]:
    return _axes(dense(model), adapter(model))


@cache
def pixels(model: Model) -> Tensor:
    """One image, (1, 3, image, image)."""
    return torch.randn(1, 3, model.image, model.image, generator=torch.Generator().manual_seed(1))


def trace(net: nn.Module, model: Model) -> tuple[dict[str, tuple[int, ...]], dict[str, int], list[str]]:
    """Role -> surviving dense indices, role -> dense size, and whatever does not fit together."""
    axes = _dense_axes(model)
    originals = dict(dense(model).named_parameters())
    survivors = dict(net.named_parameters())
    strays = [f"{name} is gone" for name in originals.keys() - survivors.keys()]
    strays += [f"{name} is new" for name in survivors.keys() - originals.keys()]
    kept: dict[str, tuple[int, ...]] = {}
    sizes: dict[str, int] = {}
    for name, original in originals.items():
        if name not in survivors:
            continue
        indices, stray = decode(survivors[name].detach(), original.detach())
        if stray:
            strays.append(f"{name}: {stray}")
            continue
        for role, size, index in zip(axes[name], original.shape, indices, strict=True):
            if role is None:
                if len(index) != size:
                    strays.append(f"{name}: {size - len(index)} of {size} are gone where nothing may be pruned")
                continue
            sizes[role] = size
            if kept.setdefault(role, index) != index:
                strays.append(f"{name}: keeps other indices of {role} than its neighbours")
    strays += _attribute_strays(net)
    return kept, sizes, sorted(strays)


def _attribute_strays(net: nn.Module) -> list[str]:
    """Linear layers whose in/out features are not their weight's."""
    return [
        f"{name}: features ({m.out_features}, {m.in_features}) but weight {tuple(m.weight.shape)}"
        for name, m in net.named_modules()
        if isinstance(m, nn.Linear) and tuple(m.weight.shape) != (m.out_features, m.in_features)
    ]


def gap(output: Tensor, model: Model, kept: Mapping[str, tuple[int, ...]]) -> float | None:
    """Largest difference to what the dense network says when the removed parts are not there.

    Returns:
        The difference relative to the largest logit, or None if what is left is no network.
    """
    if kept.keys() != _dense_sizes(model).keys() or len(kept["labels"]) != model.labels:
        return None
    reference = _reference(model, tuple(kept.items()))
    if reference is None or reference.shape != output.shape:
        return None
    difference = float((reference - output).abs().max() / reference.abs().max())
    return math.inf if math.isnan(difference) else difference


@cache
def _dense_sizes(model: Model) -> dict[str, int]:
    """Role -> channels in the dense network."""
    axes = _dense_axes(model)
    parameters = dense(model).named_parameters()
    return {r: size for name, p in parameters for r, size in zip(axes[name], p.shape, strict=True) if r is not None}


@cache
def _reference(model: Model, kept: tuple[tuple[str, tuple[int, ...]], ...]) -> Tensor | None:
    """Logits of what should be left. Many calls leave the same, so they are kept.

    Where the width is whole, the removed heads, dims and neurons are masked in the dense network
    itself. Where it is not, that would change every norm: there a network of the size that is left
    gets the dense weights at the surviving indices.
    """
    left = dict(kept)
    return _masked(model, left) if len(left["width"]) == model.width else _sliced(model, left)


def _masked(model: Model, kept: Mapping[str, tuple[int, ...]]) -> Tensor:
    """Logits of the dense network without what is gone.

    A removed head contributes nothing once its columns of the output projection are zero; a removed
    head dim, nothing to the attention's logits once its rows of q and k are.
    """
    net, family, sizes = dense(model), adapter(model), _dense_sizes(model)
    names = {parameter: name for name, parameter in net.named_parameters()}
    masked: dict[str, Tensor] = {}
    for index, block in enumerate(family.blocks(net)):
        for parameter, role, dim in (
            (block.query.weight, f"q.{index}", 0),
            (block.query.bias, f"q.{index}", 0),
            (block.key.weight, f"k.{index}", 0),
            (block.key.bias, f"k.{index}", 0),
            (block.out.weight, f"o.{index}", 1),
            (block.fc2.weight, f"mlp.{index}", 1),
        ):
            gone = torch.tensor(sorted(set(range(sizes[role])) - set(kept[role])), dtype=torch.long)
            masked[names[parameter]] = parameter.detach().index_fill(dim, gone, 0.0)
    return _logits(net, masked, model)


def _sliced(model: Model, kept: Mapping[str, tuple[int, ...]]) -> Tensor | None:
    """Logits of a network of the size that is left; None if its blocks have no whole number of heads."""
    net, family, axes = template(model).copy(), adapter(model), _dense_axes(model)
    for index, block in enumerate(family.blocks(net)):
        rows = len(kept[f"q.{index}"])
        heads = len({row // model.head_dim for row in kept[f"q.{index}"]})
        if rows % heads:
            return None
        block.query.out_features = rows
        family.set_heads(block, heads)
    for module in net.modules():
        if isinstance(module, nn.LayerNorm):
            module.normalized_shape = (len(kept["width"]),)
    left = {}
    for name, parameter in net.named_parameters():
        value = parameter.detach()
        for dim, role in enumerate(axes[name]):
            if role is not None:
                value = value.index_select(dim, torch.tensor(kept[role]))
        left[name] = value
    return _logits(net, left, model)


def _logits(net: nn.Module, parameters: dict[str, Tensor], model: Model) -> Tensor:
    """What a network says with other parameters in place of its own."""
    with torch.no_grad():
        output: Tensor = torch.func.functional_call(net, parameters, (pixels(model),)).logits
    return output


def state(net: nn.Module) -> dict[str, object]:
    """What pruning has no business to change, beyond the weights."""
    state: dict[str, object] = {}
    for name, parameter in net.named_parameters():
        state[f"{name}.requires_grad"] = parameter.requires_grad
        state[f"{name}.dtype"] = str(parameter.dtype)
    for name, module in net.named_modules():
        state[f"{name or 'model'}.training"] = module.training
        state[f"{name or 'model'} hooks"] = len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001 - no public way
    return state


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What differs, in words: three examples and how many more."""
    changed = [key for key, value in before.items() if key in after and after[key] != value]
    return [f"{key}: {before[key]} became {after[key]}" for key in changed[:3]] + (
        [f"and {len(changed) - 3} more"] if len(changed) > 3 else []  # noqa: PLR2004 - three examples are enough
    )
