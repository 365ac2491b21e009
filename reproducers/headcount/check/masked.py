"""The dense network without what went: its weights are 0 there, and norms leave those channels out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from headcount.check.reach import OUTPUT, Side, tensors


@dataclass(frozen=True)
class Gone:
    """What went: indices of each parameter's dimensions, and of the dimensions of what the network gives."""

    parameters: Mapping[str, Mapping[int, list[int]]]
    outputs: Mapping[Side, npt.NDArray[np.int64]]


def gap(output: Any, dense: nn.Module, call: Callable[[nn.Module], Any], gone: Gone) -> float | None:
    """Return the largest difference of a pruned network's outputs to the dense ones, relative to the largest of these.

    Returns:
        None if they cannot be compared, since what the network gives has another shape.
    """
    parameters = dict(dense.named_parameters())
    before = {name: parameters[name].detach().clone() for name in gone.parameters}
    with torch.no_grad():
        for name, dims in gone.parameters.items():
            for dim, indices in dims.items():
                parameters[name].index_fill_(dim, torch.tensor(indices), 0.0)
        with _Norms():  # type: ignore[no-untyped-call]
            every = [*tensors(call(dense))]
        for name, tensor in before.items():
            parameters[name].copy_(tensor)
    expected = [_left(tensor, number, gone) for number, tensor in enumerate(every)]
    pairs = [*zip(tensors(output), expected, strict=False)]
    if not pairs or any(one.shape != other.shape for one, other in pairs):
        return None
    largest = max(float(other.abs().max()) for _, other in pairs) or 1.0
    difference = max(float((one - other).abs().max()) for one, other in pairs) / largest
    return math.inf if math.isnan(difference) else difference


def _left(tensor: Tensor, number: int, gone: Gone) -> Tensor:
    """Return the part of an output that is left."""
    for axis in range(tensor.dim()):
        went = gone.outputs.get((f"{OUTPUT}{number}", axis), np.zeros(0, np.int64))
        if len(went):
            tensor = tensor.index_select(axis, torch.from_numpy(np.setdiff1d(np.arange(tensor.shape[axis]), went)))
    return tensor


class _Norms(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Norms over the channels that are not 0 everywhere: those are gone."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operation; a layer norm, and a mean over channels, without those that are gone."""
        name, named = func._schema.name, kwargs or {}  # noqa: SLF001 - torch's own way to tell operations apart
        if name == "aten::native_layer_norm" and len(args[1]) == 1:
            return self._layer_norm(func, args, named)
        given = func(*args, **named)
        if name == "aten::mean" and _over_channels(args[0], given):
            return given * (args[0].shape[-1] / max(int(_alive(args[0]).sum()), 1))
        return given

    def _layer_norm(self, func: Any, args: Any, kwargs: Any) -> Any:
        read, _, scale, shift, epsilon = args
        alive = _alive(read)
        if bool(alive.all()):
            return func(*args, **kwargs)
        part = read[..., alive]
        normed = torch.zeros_like(read)
        mean, variance = part.mean(-1, keepdim=True), part.var(-1, unbiased=False, keepdim=True)
        normed[..., alive] = (part - mean) / (variance + epsilon).sqrt()
        result = normed if scale is None else normed * scale
        return (result if shift is None else result + shift, mean, variance)


def _alive(read: Tensor) -> Tensor:
    return (read != 0).flatten(0, -2).any(0)


def _over_channels(read: Any, given: Any) -> bool:
    return (
        isinstance(given, Tensor)
        and given.dim() == read.dim()
        and given.shape[:-1] == read.shape[:-1]
        and read.shape[-1] > 1
    )
