"""The dense network with synthetic weights, built once and copied for each call.

Each weight has factors of synthetic importance, one for each dimension (see `axes`), and a unique value (see
`fingerprint`): after pruning it is known which must have gone, and where what is left comes from.
"""

import io
import pickle
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from headcount.environment import CPU
from headcount.models import Model, adapter, synthetic_channels, synthetic_heads
from headcount.pruning.axes import axes
from headcount.pruning.fingerprint import encode

_BASE_SCALE = 0.05


@cache
def dense(model: Model) -> nn.Module:
    """Return the unpruned network with synthetic weights. It is shared: copy it before changing anything."""
    family: Any = adapter(model.family)
    if model.full_size:  # to draw weights that are not kept would take longer than all else
        with torch.device("meta"):
            net: nn.Module = family.build(model)
        assert not list(net.buffers()), "buffers would stay empty"
        net.to_empty(device="cpu")
    else:
        net = family.build(model)
    known, factors = axes(net, model), _factors(model)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            gain = parameter.dim() == 1 and not name.endswith("bias")
            # Gains, of norms and of branches, stay near one, to keep what they scale alive.
            values = torch.full(parameter.shape, 1.0 if gain else _BASE_SCALE)
            for dim, axis in enumerate(known[name]):
                if axis and axis[0] in factors:
                    factor = torch.cat([factors[dimension] for dimension in axis])
                    values *= factor.reshape([-1 if d == dim else 1 for d in range(values.dim())])
            parameter.data = encode(values, signed=not gain)
    return net


def _factors(model: Model) -> dict[str, Tensor]:
    """Return the factor on the weights of each channel, by dimension: the root of its synthetic importance."""
    widths = {**model.widths, **model.reduced}
    importance = {dimension: torch.tensor(synthetic_channels(width, 0)) for dimension, width in widths.items()}
    dims = torch.tensor(synthetic_channels(model.head_dim, 1))
    if model.traits.uses_multihead_attention:
        importance["width"] = dims.repeat(model.heads)
    for index, heads in enumerate(synthetic_heads(model)):
        queries = torch.tensor(heads)
        read = queries.view(-1, model.traits.queries_per_kv).mean(1)  # of the queries that share keys and values
        importance |= {f"{name}.{index}": torch.outer(queries, dims).flatten() for name in "qo"}
        importance |= {f"{name}.{index}": torch.outer(read, dims).flatten() for name in "kv"}
        importance[f"mlp.{index}"] = torch.tensor(synthetic_channels(model.mlp_of(index), 2 + index))
    return {dimension: vector.sqrt() for dimension, vector in importance.items()}


@cache
def originals(model: Model) -> dict[str, Tensor]:
    """Return the dense network's weights by name."""
    return {name: parameter.detach() for name, parameter in dense(model).named_parameters()}


class Template:
    """A network to be copied many times: its modules as a pickle, which loads in C, its tensors aside."""

    def __init__(self, net: nn.Module) -> None:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.dump(net)
        self._tensors, self._modules = pickler.tensors, buffer.getvalue()

    def copy(self) -> nn.Module:
        """Return a network that shares nothing with the others."""
        return _Unpickler(self._modules, [_fresh(tensor) for tensor in self._tensors]).network()

    def shell(self) -> nn.Module:
        """Return a network of its own modules and the shared tensors, to be called with others in their place."""
        return _Unpickler(self._modules, self._tensors).network()


class _Pickler(pickle.Pickler):
    """Puts tensors aside."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tensors: list[Tensor] = []

    def persistent_id(self, item: object) -> int | None:
        if not isinstance(item, Tensor):
            return None
        known = [index for index, tensor in enumerate(self.tensors) if tensor is item]
        if not known:
            self.tensors.append(item)
        return known[0] if known else len(self.tensors) - 1


class _Unpickler(pickle.Unpickler):
    """Fills tensors in."""

    def __init__(self, modules: bytes, tensors: list[Tensor]) -> None:
        super().__init__(io.BytesIO(modules))
        self._tensors = tensors

    def persistent_load(self, index: int) -> Tensor:
        return self._tensors[index]

    def network(self) -> nn.Module:
        net: nn.Module = self.load()
        return net


def _fresh(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


@cache
def template(model: Model) -> Template:
    """Return the dense network, to be copied."""
    return Template(dense(model))


@cache
def inputs(model: Model, device: str = CPU) -> Any:
    """Return what the network is called with."""
    given = adapter(model.family).inputs(model)
    return {name: item.to(device) for name, item in given.items()} if isinstance(given, dict) else given.to(device)
