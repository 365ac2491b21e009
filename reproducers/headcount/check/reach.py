"""Which channels reach which, in a network of which nothing is known: one is changed, and it is seen what changes.

The network runs once, and what each product with weights read and gave is kept. Then part of one parameter is changed
and the network runs again, with each product giving what it gave before. So a change goes no further than to the next
products, and shows there channel by channel. Norms are a scale and a shift meanwhile: they mix no channels.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

Flags = npt.NDArray[np.bool_]

#: One dimension of one parameter, by its name; or of an output, by `OUTPUT` and its number.
Side = tuple[str, int]

#: What stands in place of a parameter's name for what the network gives.
OUTPUT = "output "

#: Products: the positions of what they read, and of the weights. The bias may be at either end.
_PRODUCTS = {
    "aten::mm": ((0, 1), (1, 0)),
    "aten::bmm": ((0, 1), (1, 0)),
    "aten::addmm": ((1, 2), (2, 1)),
    "aten::baddbmm": ((1, 2), (2, 1)),
    "aten::linear": ((0, 1),),
    "aten::convolution": ((0, 1),),
    "aten::mv": ((0, 1), (1, 0)),
}

_NORMS = {"aten::native_layer_norm": (2, 3), "aten::native_group_norm": (1, 2), "aten::_fused_rms_norm": (2, 3)}

#: Where one of these is taken over one dimension, which stays, it is a norm's statistic.
_STATISTICS = ("aten::mean", "aten::var", "aten::var_mean", "aten::std", "aten::linalg_vector_norm")


@dataclass
class Product:
    """One product with weights, as the dense network computes it.

    Attributes:
        read, gave: its operand and its result.
        added: what it adds, a bias or one made of several.
        side: which dimension of which parameter its operand's channels meet.
        indices: of each of the operand's channels, the index along that dimension.
        axis: the operand's dimension that holds the channels.
    """

    read: Tensor
    gave: Any
    added: tuple[Tensor, ...]
    side: Side
    indices: npt.NDArray[np.int64]
    axis: int


@dataclass
class _Step:
    """One operation of the dense network's run.

    Attributes:
        compute: does it, or what stands for it.
        args, kwargs: what it was given.
        gave: the tensors that it gave.
        inputs, owners: which tensors it was given, by identity, and of which parameters they are.
        product: set if it is one, with the positions of its operand and its weights.
    """

    compute: Callable[..., Any]
    args: Any
    kwargs: Any
    gave: list[Any]
    inputs: frozenset[int]
    owners: frozenset[str]
    product: Product | None = None
    positions: tuple[int, int] = (0, 1)


@dataclass
class _Seen:
    """What one run saw: for each side that was read, the flags of the channels that changed."""

    changed: dict[Side, Flags] = field(default_factory=dict)

    def note(self, side: Side, size: int, indices: npt.NDArray[np.int64], flags: Flags) -> None:
        found = self.changed.setdefault(side, np.zeros(size, bool))
        np.logical_or.at(found, indices, flags)


class Network:
    """A network, and what changes in it. Its parameters are changed in place, and put back.

    Attributes:
        products: in the order of the run.
        sides: those that products read, with their sizes.
        contracted: the dimensions of parameters that products sum over, kernels' included.
        unknown: parameters that are used in a way that this does not follow.
        levels: of each operation, what it divides by if it is a norm.
        tape: all operations. A change is followed along it, without the network's own code.
        mutates: some operation changes what follows from parameters in place: then the network runs for each change.
    """

    def __init__(self, net: nn.Module, call: Callable[[nn.Module], Any]) -> None:
        """Run it once.

        Args:
            call: calls the network with its inputs.
        """
        self._net, self._call = net, call
        self.parameters = dict(net.named_parameters())
        self._owner = {p.untyped_storage().data_ptr(): name for name, p in self.parameters.items()}
        self.products: list[Product] = []
        self.sides: dict[Side, int] = {}
        self.contracted: set[Side] = set()
        self.unknown: set[str] = set()
        self.tape: list[_Step] = []
        self.levels: list[_Level] = []
        self.mutates = False
        with torch.no_grad():
            call(net)  # a first call may do more than those that follow: it fills what is kept
        self._given = self._run(_Recorder(self))
        self._outputs = [output.clone() for output in self._given]
        self.used = {product.side[0] for product in self.products}

    def reached(self, parameter: str, dim: int, rows: Sequence[int] | npt.NDArray[np.int64]) -> Mapping[Side, Flags]:
        """Return which channels of what follows change with these indices of a parameter's dimension."""
        tensor, seen = self.parameters[parameter], _Seen()
        at = torch.as_tensor(np.asarray(rows))
        before = tensor.detach().clone()
        with torch.no_grad():
            part = before.index_select(dim, at)
            tensor.index_copy_(dim, at, part * -1.7 + 0.25)
            try:
                again = self._run(_Changed(self, (parameter, dim), seen)) if self.mutates else None
                outputs = again or self._replayed((parameter, dim), seen)
            finally:
                tensor.copy_(before)
        for number, (output, known) in enumerate(zip(outputs, self._outputs, strict=False)):
            if output is self._given[number]:
                continue
            for axis in range(output.dim()):
                if output.shape == known.shape:
                    side = (f"{OUTPUT}{number}", axis)
                    seen.note(side, output.shape[axis], np.arange(output.shape[axis]), _changed(output, known, axis))
        return seen.changed

    @contextmanager
    def muted(self, parameter: str, rows: Sequence[int]) -> "Iterator[Network]":
        """Yield the network with these rows of a layer's weight, and of its bias, at 0."""
        names = (parameter, f"{parameter.removesuffix('weight')}bias")
        tensors = [self.parameters[name] for name in names if name in self.parameters]
        before = [tensor.detach().clone() for tensor in tensors]
        with torch.no_grad():
            for tensor in tensors:
                tensor.index_fill_(0, torch.tensor(rows), 0.0)
        try:
            yield Network(self._net, self._call)
        finally:
            with torch.no_grad():
                for tensor, values in zip(tensors, before, strict=True):
                    tensor.copy_(values)

    def _replayed(self, source: Side, seen: _Seen) -> list[Tensor]:
        """Return what the network gives, each operation computed again that the change of a parameter reaches."""
        now: dict[int, Any] = {}

        def current(tensor: Any) -> Any:
            return now.get(id(tensor), tensor)

        for step in self.tape:
            if step.inputs.isdisjoint(now) and source[0] not in step.owners:
                continue
            args = step.args
            if step.product is not None:
                product, place = step.product, step.positions[0]
                read = current(args[place])
                if read is not args[place] and read.shape == product.read.shape:
                    flags = _changed(read, product.read, product.axis)
                    seen.note(product.side, self.sides[product.side], product.indices, flags)
                own = self.owner(args[step.positions[1]]) == source[0] and source != product.side
                added = _others(args, step.positions)
                if not own and not any(id(a) in now or self.owner(a) == source[0] for a in added):
                    continue
                args = [*args[:place], product.read, *args[place + 1 :]]
            given = _mapped(current, (tuple(args), step.kwargs))
            for before, after in zip(step.gave, _flat(step.compute(*given[0], **given[1])), strict=True):
                now[id(before)] = after
        return [current(output) for output in self._given]

    def layer_of(self, parameter: str) -> nn.Module:
        """Return the module that a parameter is of."""
        return self._net.get_submodule(parameter.rpartition(".")[0])

    def owner(self, tensor: object) -> str:
        """Return the parameter that a tensor is, or is a view of; "" if it is none."""
        if not isinstance(tensor, Tensor) or tensor.numel() == 0:
            return ""
        return self._owner.get(tensor.untyped_storage().data_ptr(), "")

    def _run(self, mode: TorchDispatchMode) -> list[Tensor]:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it is one operation, and shows nothing of what is inside
        try:
            return self._called(mode)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    def _called(self, mode: TorchDispatchMode) -> list[Tensor]:
        with torch.no_grad(), mode:
            return [*tensors(self._call(self._net))]


class _Surrogate(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs a network whose norms are a scale and a shift."""

    def __init__(self, network: Network) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.network = network

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operation, or what stands for it."""
        name, named = func._schema.name, kwargs or {}  # noqa: SLF001 - torch's own way to tell operations apart
        for positions in _PRODUCTS.get(name, ()):
            read, weights = (args[position] for position in positions)
            if self.network.owner(weights) and not self.network.owner(read):
                depthwise = name == "aten::convolution" and _groups(args) > 1
                return self.product(func, args, named, positions, depthwise=depthwise)
        return self.other(func, args, named)

    def other(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Compute what is no product."""
        raise NotImplementedError

    def product(self, func: Any, args: Any, kwargs: Any, positions: tuple[int, int], *, depthwise: bool) -> Any:
        raise NotImplementedError


class _Recorder(_Surrogate):  # type: ignore[no-untyped-call]
    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._follows: set[int] = set()  # tensors that follow from parameters

    def other(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Compute an operation, and keep what it was given and gave."""
        network, level = self.network, _Level()
        gave = _computed(level, func, *args, **kwargs)
        network.levels.append(level)
        inputs = [item for item in _flat((args, kwargs)) if isinstance(item, Tensor)]
        owners = frozenset(map(network.owner, inputs)) - {""}
        if owners or not self._follows.isdisjoint(map(id, inputs)):
            self._follows |= set(map(id, _flat(gave)))
            network.mutates |= bool(func._schema.is_mutable)  # noqa: SLF001 - as above
        compute = functools.partial(_computed, level, func)
        network.tape.append(_Step(compute, args, kwargs, _flat(gave), frozenset(map(id, inputs)), owners))
        return gave

    def product(self, func: Any, args: Any, kwargs: Any, positions: tuple[int, int], *, depthwise: bool) -> Any:
        """Compute a product and keep it."""
        network, (read, weights) = self.network, (args[position] for position in positions)
        gave, name = self.other(func, args, kwargs), network.owner(args[positions[1]])
        if depthwise:
            if weights.shape[1] != 1 or weights.shape[0] != _groups(args):
                network.unknown.add(name)
            network.contracted |= {(name, dim) for dim in range(1, weights.dim())}
            return gave
        axis, contracted = _axes(func._schema.name, positions, read, args)  # noqa: SLF001 - as above
        side, indices = _indices(network.parameters[name], weights, contracted)
        if side is None:
            network.unknown.add(name)
            return gave
        added = tuple(other.clone() for other in _others(args, positions))
        network.products.append(Product(read.clone(), _cloned(gave), added, (name, side), indices, axis))
        network.tape[-1].product, network.tape[-1].positions = network.products[-1], positions
        network.sides[name, side] = network.parameters[name].shape[side]
        network.contracted.add((name, side))
        if func._schema.name == "aten::convolution":  # noqa: SLF001 - as above
            network.contracted |= {(name, dim) for dim in range(2, weights.dim())}
        return gave


class _Changed(_Surrogate):  # type: ignore[no-untyped-call]
    """Runs the network once more, with a change; each product gives what it gave, but for those of what changed."""

    def __init__(self, network: Network, source: Side, seen: _Seen) -> None:
        super().__init__(network)
        self._source, self._seen, self._ahead = source, seen, iter(network.products)
        self._levels = iter(network.levels)

    def other(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Compute an operation as in the first run."""
        return _computed(next(self._levels), func, *args, **kwargs)

    def product(self, func: Any, args: Any, kwargs: Any, positions: tuple[int, int], *, depthwise: bool) -> Any:
        """Note what changed in what a product reads."""
        network, read = self.network, args[positions[0]]
        name = network.owner(args[positions[1]])
        if depthwise or name in network.unknown:
            return self.other(func, args, kwargs)
        product, _ = next(self._ahead), next(self._levels)
        size = network.sides[product.side]
        if read.shape == product.read.shape:
            self._seen.note(product.side, size, product.indices, _changed(read, product.read, product.axis))
        given = [*args]
        given[positions[0]] = product.read
        added = zip(_others(args, positions), product.added, strict=True)
        own = name == self._source[0] and self._source != product.side
        if own or not all(torch.equal(now, before) for now, before in added):
            return func(*given, **kwargs)
        return _cloned(product.gave)


@dataclass
class _Level:
    """The number that a norm divides by. It stays the same when the norm's input changes."""

    value: float | None = None

    def of(self, tensor: Tensor) -> float:
        """Return the number. The first tensor decides it."""
        if self.value is None:
            self.value = float(tensor.float().square().mean().sqrt()) or 1.0
        return self.value


def _computed(level: _Level, func: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what an operation gives, or what stands for it: norms are a scale and a shift."""
    name = func._schema.name  # noqa: SLF001 - torch's own way to tell operations apart
    if name in _NORMS:
        return _scaled(level, func, args, kwargs)
    given = func(*args, **kwargs)
    if name in _STATISTICS and _is_statistic(args, given):
        return _mapped(lambda tensor: torch.full_like(tensor, level.of(tensor)), given)
    return given


def _mapped(function: Callable[[Any], Any], items: Any) -> Any:
    """Return nested items with a function applied to each tensor in them."""
    return tree_map_only(Tensor, function, items)


def _flat(items: Any) -> list[Any]:
    found: list[Any] = tree_leaves(items)
    return found


def tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors of what a network gives, in its order."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for item in output.values():
            yield from tensors(item)
    elif isinstance(output, Sequence) and not isinstance(output, str):
        for item in output:
            yield from tensors(item)
    elif hasattr(output, "__dict__"):
        yield from tensors(vars(output))


def _others(args: Any, positions: tuple[int, int]) -> list[Tensor]:
    """Return the tensors that a product adds."""
    return [a for number, a in enumerate(args) if number not in positions and isinstance(a, Tensor)]


def _cloned(given: Any) -> Any:
    return given.clone() if isinstance(given, Tensor) else given


def _changed(one: Tensor, other: Tensor, axis: int) -> Flags:
    """Return, for each index of a dimension, whether anything differs there. What is no number is equal to itself."""
    differs = (one != other) & ~(one.isnan() & other.isnan())
    rest = [dim for dim in range(differs.dim()) if dim != axis]
    flags: Flags = (differs.any(dim=rest[0]) if len(rest) == 1 else differs.amax(dim=rest) if rest else differs).numpy()
    return flags


def _scaled(level: _Level, func: Any, args: Any, kwargs: Any) -> Any:
    """Return a norm's outputs with its input divided by one number, and scaled and shifted by its parameters."""
    positions = _NORMS[func._schema.name]  # noqa: SLF001 - as above
    read, scale, shift = args[0], *(args[p] if p < len(args) else None for p in positions)
    channels = (-1, *[1] * (read.dim() - 2)) if "group" in func._schema.name else (-1,)  # noqa: SLF001 - as above
    result = read / level.of(read)
    if isinstance(scale, Tensor):
        result = result * (scale.view(channels) if scale.dim() == 1 else scale)
    if isinstance(shift, Tensor):
        result = result + (shift.view(channels) if shift.dim() == 1 else shift)
    return (result, *(torch.ones_like(other) for other in func(*args, **kwargs)[1:]))


def _is_statistic(args: Any, given: Any) -> bool:
    """Return whether one dimension was reduced to one number, the last, or that of an image's channels."""
    first, read = given[0] if isinstance(given, tuple) else given, args[0]
    if not (isinstance(read, Tensor) and isinstance(first, Tensor)) or first.dim() != read.dim():
        return False
    if any(isinstance(argument, Sequence) and len(argument) > 1 for argument in args[1:]):
        return False  # an image's pixels, or tokens that stand for one
    reduced = [dim for dim in range(read.dim()) if read.shape[dim] != first.shape[dim]]
    return len(reduced) == 1 and (reduced[0] == read.dim() - 1 or (read.dim() == 4 and reduced[0] == 1))  # noqa: PLR2004 - an image


def _groups(args: Any) -> int:
    return int(args[8]) if len(args) > 8 else 1  # noqa: PLR2004 - where aten::convolution has it


def _axes(name: str, positions: tuple[int, int], read: Tensor, args: Any) -> tuple[int, int]:
    """Return the dimension of the operand, and that of the weights, which a product sums over."""
    if name == "aten::convolution":
        return 1, 0 if args[6] else 1
    if name == "aten::linear":
        return read.dim() - 1, 1
    before = positions[0] < positions[1]
    weights = args[positions[1]]
    operand = read.dim() - 1 if before or read.dim() == 1 else read.dim() - 2
    return operand, (max(weights.dim() - 2, 0) if before else weights.dim() - 1)


def _indices(parameter: Tensor, weights: Tensor, dim: int) -> tuple[int | None, npt.NDArray[np.int64]]:
    """Return along which dimension of a parameter a view's dimension runs, and at which indices; None if along none."""
    offsets = int(weights.storage_offset()) + np.arange(weights.shape[dim]) * int(weights.stride(dim))
    shape = tuple(map(int, parameter.shape))
    places = [np.asarray(p, np.int64) for p in np.unravel_index(offsets - int(parameter.storage_offset()), shape)]
    moving = [number for number, place in enumerate(places) if len(place) > 1 and (place != place[0]).any()]
    if not moving:
        same = [d for d in range(parameter.dim()) if parameter.stride(d) == weights.stride(dim)]
        moving = [d for d in same if parameter.shape[d] == 1][-1:] or same[:1]
    if len(moving) != 1:
        return None, np.zeros(0, np.int64)
    return moving[0], places[moving[0]]
