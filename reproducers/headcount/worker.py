"""Runs inside the isolated process: prune one cell with one build, and say what happened.

This is the only module that touches a build, and the only one that runs a model. It looks at
weights, never at what the pruner says it did, except for the one number that users read back:
`pruner.num_heads`.
"""

import gc
import importlib.metadata
import inspect
import io
import json
import os
import pickle
import random
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headcount.builds import Overlay
from headcount.configs import Config, Criterion, Scope, Second
from headcount.matrix import Cell
from headcount.models import Model, adapter, planted_channels, planted_heads
from headcount.observations import Ending, Failure, Observation, Phase
from headcount.planting import decode, encode

#: Written output kept per cell, from its end, in bytes.
PRINTED_LIMIT = 2_000

#: Garbage is collected once in so many cells: a dependency graph is one big cycle, but collecting costs.
CELLS_PER_COLLECTION = 16

_BASE_SCALE = 0.05


def serve(connection: Connection, overlay: Overlay, log_path: str) -> None:
    """The process's main: import the build, then answer each cell with one observation as JSON.

    The first message out says whether the build could be imported. Ends when the parent hangs up.
    """
    _own_session()
    log = _redirect_output(log_path)
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    pruning, greeting = _import_build(overlay)
    gc.collect()
    gc.freeze()
    gc.disable()
    _send(connection, greeting)
    for count in range(1, sys.maxsize):
        try:
            cell: Cell = connection.recv()
        except EOFError:
            return
        if pruning is None:
            _send(connection, greeting)
            continue
        observation = observe(pruning, cell)
        _send(connection, observation, printed=_drain(log))
        forget(pruning)
        if count % CELLS_PER_COLLECTION == 0 or cell.model.full_size:
            gc.collect()


def observe(pruning: ModuleType, cell: Cell) -> Observation:
    """Prune one cell with an imported torch_pruning. Never raises."""
    return _Run(pruning, cell).observation()


def forget(pruning: ModuleType) -> None:
    """Empty the default dictionaries of the pruner's constructor.

    Every release writes into them (`out_channel_groups.update(num_heads)`), so one cell would see
    the modules of the one before, and all models would stay in memory.
    """
    for parameter in _parameters(pruning.pruner.MetaPruner):
        if isinstance(parameter.default, dict):
            parameter.default.clear()


@cache
def _parameters(pruner: type) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(pruner).parameters.values())


def _seed() -> None:
    """An observation must not depend on what ran before."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what a build may draw from
    torch.default_generator.manual_seed(1)  # torch.manual_seed asks every kind of device first


class _Run:
    """One cell's run: the state that the phases hand on."""

    def __init__(self, pruning: ModuleType, cell: Cell) -> None:
        self.pruning = pruning
        self.model = cell.model
        self.config = cell.config
        self.adapter: Any = adapter(cell.model)
        self.phase = Phase.CONSTRUCT
        self.seconds: dict[str, float] = {}
        self.attributes: tuple[str, ...] = ()
        self.effects: list[str] = []

    def observation(self) -> Observation:
        try:
            return self._observe()
        except Exception as error:  # noqa: BLE001 - whatever a build raises is an observation
            return self._ended(Ending.RAISED, failure=_failure(error))

    def _observe(self) -> Observation:
        _seed()
        dense = _dense(self.model)
        net = _template(self.model).copy()
        self._prepare(net)
        before = _state(net)
        pruner = self._construct(net)
        self.attributes = tuple(sorted(name for name in vars(pruner) if not name.startswith("__")))
        self._steps(pruner, net)
        reported = self._reported(pruner, net)
        if self.config.second is not Second.NONE:
            reported = self._second(net, reported)
        self.effects += _changes(before, _state(net))
        self.phase = Phase.MEASURE
        kept, sizes, strays = _trace(net, dense, self.model)
        output_failure, output = self._forward(net, reported)
        return self._ended(
            Ending.FINISHED,
            reported=reported,
            kept=kept,
            sizes=sizes,
            strays=tuple(strays),
            output_failure=output_failure,
            output_shape=() if output is None else tuple(output.shape),
            output_gap=None if output is None else _gap(output, dense, self.adapter, self.model, kept, sizes),
        )

    def _ended(self, ending: Ending, **facts: Any) -> Observation:
        return Observation(
            ending=ending,
            phase=self.phase,
            effects=tuple(self.effects),
            attributes=self.attributes,
            parameters=tuple(parameter.name for parameter in _parameters(self.pruning.pruner.MetaPruner)),
            seconds={key: round(value, 6) for key, value in self.seconds.items()},
            **facts,
        )

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        self.phase = phase
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def _prepare(self, net: nn.Module) -> None:
        if self.config.frozen:
            block = self.adapter.blocks(net)[0]
            for layer in (block.query, block.key, block.value):
                layer.requires_grad_(requires_grad=False)
        if self.config.training:
            net.train()

    def _construct(self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...] = ()) -> Any:
        with self._timed(Phase.CONSTRUCT):
            self.importance = _criterion(self.pruning, self.config.importance, self.model)
            return self.pruning.pruner.MetaPruner(
                net,
                _pixels(self.model),
                importance=self.importance,
                **_arguments(self.config, self.adapter, net, self._num_heads(net, reported)),
            )

    def _num_heads(self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...]) -> dict[nn.Module, int]:
        """The parameter of that name: the listed projections of every block, and how many heads they have."""
        counts = [max((c for c in row if c is not None), default=self.model.heads) for row in reported]
        return {
            layer: counts[index] if counts else self.model.heads
            for index, block in enumerate(self.adapter.blocks(net))
            for name, layer in zip("qkv", (block.query, block.key, block.value), strict=True)
            if name in self.config.num_heads
        }

    def _steps(self, pruner: Any, net: nn.Module) -> None:
        for _ in range(self.config.iterative_steps):
            self._feed(pruner, net)
            with self._timed(Phase.STEP):
                if self.config.interactive:
                    for group in pruner.step(interactive=True):
                        group.prune()
                else:
                    pruner.step()
        net.zero_grad()

    def _feed(self, pruner: Any, net: nn.Module) -> None:
        """Give the criterion what its documentation asks for, as upstream's examples do."""
        with self._timed(Phase.STEP):
            feed = _FEEDERS.get(self.config.importance)
            if feed is not None:
                feed(self.importance, pruner, net, _pixels(self.model), self.adapter)

    def _reported(self, pruner: Any, net: nn.Module) -> tuple[tuple[int | None, ...], ...]:
        return tuple(
            tuple(
                int(pruner.num_heads[layer]) if layer in pruner.num_heads else None
                for layer in (block.query, block.key, block.value)
            )
            for block in self.adapter.blocks(net)
        )

    def _second(self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...]) -> tuple[tuple[int | None, ...], ...]:
        """Another pruner in the same process, with the same arguments."""
        if self.config.second is Second.SAME:
            for block, row in zip(self.adapter.blocks(net), reported, strict=True):
                self.adapter.set_heads(block, max(c for c in row if c is not None))
            pruner = self._construct(net, reported)
            self._steps(pruner, net)
            return self._reported(pruner, net)
        other = _template(self.model).copy()
        pruner = self._construct(other)
        own = set(other.modules())
        foreign = sum(module not in own for module in pruner.out_channel_groups)
        if foreign:
            self.effects.append(f"another pruner's out_channel_groups holds {foreign} modules of this one's model")
        self._steps(pruner, other)
        return reported

    def _forward(
        self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...]
    ) -> tuple[Failure | None, Tensor | None]:
        """A forward pass with the head counts that the pruner reports."""
        try:
            for block, row in zip(self.adapter.blocks(net), reported, strict=True):
                self.adapter.set_heads(block, max(c for c in row if c is not None))
            with self._timed(Phase.FORWARD), torch.no_grad():
                output: Tensor = self.adapter.logits(net.eval(), _pixels(self.model))
        except Exception as error:  # noqa: BLE001 - a broken model may raise anything
            return _failure(error), None
        return None, output


# --- the model ---------------------------------------------------------------------------------


@cache
def _dense(model: Model) -> nn.Module:
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
        unpickler.persistent_load = fresh.__getitem__  # type: ignore[method-assign, assignment]
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
def _template(model: Model) -> Template:
    return Template(_dense(model))


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
        layers |= {layer: (f"{name}.{index}", "width") for name, layer in zip("qkv", (block.query, block.key, block.value), strict=True)}
        layers |= {block.out: ("width", f"o.{index}"), block.fc1: (f"mlp.{index}", "width"), block.fc2: ("width", f"mlp.{index}")}
    width = family.blocks(net)[0].query.in_features
    axes: dict[str, tuple[str | None, ...]] = {}
    for path, module in net.named_modules():
        for name, parameter in module.named_parameters(prefix=path, recurse=False):
            known = layers.get(module, ())[: parameter.dim()]
            axes[name] = known or tuple("width" if size == width else None for size in parameter.shape)
    return axes


@cache
def _dense_axes(model: Model) -> dict[str, tuple[str | None, ...]]:
    return _axes(_dense(model), adapter(model))


@cache
def _pixels(model: Model) -> Tensor:
    return torch.randn(1, 3, model.image, model.image, generator=torch.Generator().manual_seed(1))


# --- the call ----------------------------------------------------------------------------------


def _arguments(config: Config, family: Any, net: nn.Module, num_heads: dict[nn.Module, int]) -> dict[str, Any]:
    """MetaPruner's keyword arguments: only those that differ from its defaults."""
    blocks = family.blocks(net)

    def modules(role: str) -> tuple[nn.Module, ...]:
        name, _, index = role.partition(".")
        if name == "bottleneck":
            return tuple(layer for block in blocks for layer in (block.out, block.fc2))
        block = blocks[int(index)]
        found: dict[str, tuple[nn.Module, ...]] = {
            "attention": (block.attention,),
            "query": (block.query,),
            "qkv": (block.query, block.key, block.value),
            "mlp": (block.fc1,),
        }
        return found[name]

    def keyed(ratios: tuple[tuple[Scope, Fraction], ...]) -> dict[Any, float]:
        scopes = [(tuple(m for role in scope for m in modules(role)), ratio) for scope, ratio in ratios]
        return {scope if len(scope) > 1 else scope[0]: float(ratio) for scope, ratio in scopes}

    plain = Config()
    arguments: dict[str, Any] = {
        name: _number(getattr(config, name))
        for name in _PLAIN_PARAMETERS
        if getattr(config, name) != getattr(plain, name)
    }
    ignored = [layer for role in config.ignored_layers for layer in modules(role)]
    arguments |= {"ignored_layers": [family.classifier(net), *ignored], "num_heads": num_heads}
    for name in ("head_pruning_ratio_dict", "pruning_ratio_dict"):
        if getattr(config, name):
            arguments[name] = keyed(getattr(config, name))
    return arguments


_PLAIN_PARAMETERS = (
    "global_pruning",
    "prune_num_heads",
    "prune_head_dims",
    "head_pruning_ratio",
    "pruning_ratio",
    "iterative_steps",
    "max_pruning_ratio",
    "round_to",
    "isomorphic",
)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Fraction) else value


def _criterion(pruning: ModuleType, criterion: Criterion, model: Model) -> Any:
    """The criterion's object, by whichever name the build has for it.

    Raises:
        AttributeError: the build has no such criterion.
    """
    importance = pruning.importance
    match criterion:
        case Criterion.MAGNITUDE | Criterion.L1:
            names = ("GroupNormImportance", "GroupMagnitudeImportance")
            found = next((name for name in names if hasattr(importance, name)), names[-1])
            return getattr(importance, found)(p=1 if criterion is Criterion.L1 else 2)
        case Criterion.GROUP_NORM:
            return importance.GroupNormImportance(2)
        case Criterion.CONSTANT:
            return _indifferent
        case Criterion.OBDC:
            return importance.OBDCImportance(num_classes=model.labels)
        case _:
            return getattr(importance, _CRITERION_NAMES[criterion])()


def _indifferent(group: Any, **_: Any) -> Tensor:
    """A criterion of a user's own: "importance (Callable): importance estimator". All channels are alike to it."""
    return torch.ones(len(group[0][1]))


_CRITERION_NAMES = {
    Criterion.LAMP: "LAMPImportance",
    Criterion.FPGM: "FPGMImportance",
    Criterion.TAYLOR: "GroupTaylorImportance",
    Criterion.HESSIAN: "GroupHessianImportance",
    Criterion.ACTIVATION: "ActivationImportance",
    Criterion.BN_SCALE: "BNScaleImportance",
    Criterion.RANDOM: "RandomImportance",
}


def _plant_gradients(net: nn.Module) -> None:
    """Gradients equal to the weights, so that |w * dw| ranks as the planted importance does."""
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = parameter.detach().clone()


def _feed_taylor(_importance: Any, _pruner: Any, net: nn.Module, _pixels: Tensor, _family: Any) -> None:
    _plant_gradients(net)


def _feed_hessian(importance: Any, _pruner: Any, net: nn.Module, _pixels: Tensor, _family: Any) -> None:
    importance.zero_grad()
    _plant_gradients(net)
    importance.accumulate_grad(net)


def _feed_obdc(importance: Any, pruner: Any, net: nn.Module, pixels: Tensor, family: Any) -> None:
    importance._prepare_model(net, pruner)  # noqa: SLF001 - upstream's reproduce/main.py calls it so
    output = family.logits(net, pixels)
    nn.functional.cross_entropy(output, output.argmax(1)).backward()
    importance.step()
    importance._rm_hooks(net)  # noqa: SLF001 - likewise


def _feed_activation(importance: Any, _pruner: Any, net: nn.Module, pixels: Tensor, family: Any) -> None:
    with importance.compute_importance(net):
        family.logits(net, pixels)


_FEEDERS: Mapping[Criterion, Callable[[Any, Any, nn.Module, Tensor, Any], None]] = {
    Criterion.TAYLOR: _feed_taylor,
    Criterion.HESSIAN: _feed_hessian,
    Criterion.OBDC: _feed_obdc,
    Criterion.ACTIVATION: _feed_activation,
}


# --- what is left ------------------------------------------------------------------------------


def _trace(
    net: nn.Module, dense: nn.Module, model: Model
) -> tuple[dict[str, tuple[int, ...]], dict[str, int], list[str]]:
    """Role -> surviving dense indices, role -> dense size, and whatever does not fit together."""
    axes = _dense_axes(model)
    originals = dict(dense.named_parameters())
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


def _gap(
    output: Tensor, dense: nn.Module, family: Any, model: Model, kept: dict[str, tuple[int, ...]], sizes: dict[str, int]
) -> float | None:
    """Largest difference to the dense network with the removed heads, dims and neurons masked.

    A removed head contributes nothing once its columns of the output projection are zero; a removed
    head dim, nothing to the attention's logits once its rows of q and k are.
    """
    if kept.keys() != sizes.keys() or len(kept["width"]) != sizes["width"] or len(kept["labels"]) != sizes["labels"]:
        return None
    names = {parameter: name for name, parameter in dense.named_parameters()}
    masked: dict[str, Tensor] = {}
    for index, block in enumerate(family.blocks(dense)):
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
    with torch.no_grad():
        reference: Tensor = torch.func.functional_call(dense, masked, (_pixels(model),)).logits
    gap = float((reference - output).abs().max() / reference.abs().max())
    return gap if gap == gap else float("inf")  # NaN is as far away as can be


def _state(net: nn.Module) -> dict[str, object]:
    """What pruning has no business to change, beyond the weights."""
    state: dict[str, object] = {}
    for name, parameter in net.named_parameters():
        state[f"{name}.requires_grad"] = parameter.requires_grad
        state[f"{name}.dtype"] = str(parameter.dtype)
    for name, module in net.named_modules():
        state[f"{name or 'model'}.training"] = module.training
        state[f"{name or 'model'} hooks"] = len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001 - no public way
    return state


def _changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    changed = [key for key, value in before.items() if key in after and after[key] != value]
    return [f"{key}: {before[key]} became {after[key]}" for key in changed[:3]] + (
        [f"and {len(changed) - 3} more"] if len(changed) > 3 else []  # noqa: PLR2004 - three examples are enough
    )


# --- the process -------------------------------------------------------------------------------


def _own_session() -> None:
    """Leave the terminal's process group, and die with the server that forked this process."""
    if os.name != "posix":
        return
    os.setsid()
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - Linux only
        import signal  # noqa: PLC0415 - likewise

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _redirect_output(path: str) -> int:
    """Send stdout and stderr, of this process and its children, to a file. Returns a handle to read it."""
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return log


def _drain(log: int) -> str:
    """The end of what was written since the last call."""
    sys.stdout.flush()
    sys.stderr.flush()
    size = os.lseek(log, 0, os.SEEK_END)
    if size == 0:
        return ""
    tail = os.pread(log, PRINTED_LIMIT, max(size - PRINTED_LIMIT, 0))
    os.ftruncate(log, 0)
    return tail.decode("utf-8", "replace")


def _import_build(overlay: Overlay) -> tuple[ModuleType | None, Observation]:
    """The build's torch_pruning, verified to be the overlay's; None with the reason if it is not to be had."""
    sys.path.insert(0, str(overlay.path))
    try:
        import torch_pruning  # noqa: PLC0415 - the build exists only from here on
    except BaseException as error:  # noqa: BLE001 - SystemExit at import is a finding too
        return None, Observation(Ending.UNIMPORTABLE, failure=_failure(error))
    claim = _false_claim(torch_pruning, overlay)
    if claim:
        return None, Observation(Ending.UNIMPORTABLE, detail=claim)
    return torch_pruning, Observation(Ending.FINISHED)


def _false_claim(pruning: ModuleType, overlay: Overlay) -> str:
    origin = Path(pruning.__file__ or "").resolve()
    if not origin.is_relative_to(overlay.path.resolve()):
        return f"torch_pruning was imported from {origin.parent.name}, not from the build"
    versions = {d.version for d in importlib.metadata.distributions(name="torch-pruning", path=[str(overlay.path)])}
    if versions != {overlay.version}:
        return f"the build says it is {sorted(versions)}, not {overlay.version}"
    if not hasattr(pruning, "pruner") or not hasattr(pruning.pruner, "MetaPruner"):
        return "torch_pruning has no pruner.MetaPruner"
    return ""


def _send(connection: Connection, observation: Observation, printed: str = "") -> None:
    data = observation.to_json()
    if printed and observation.ending is not Ending.FINISHED:
        data["printed"] = printed
    connection.send_bytes(json.dumps(data).encode())


def _failure(error: BaseException) -> Failure:
    frame = ""
    for entry in traceback.extract_tb(error.__traceback__):
        parts = Path(entry.filename).parts
        if "torch_pruning" in parts:
            inside = parts[len(parts) - parts[::-1].index("torch_pruning") :]
            frame = f"{'.'.join(inside).removesuffix('.py')}.{entry.name}"
    lines = "".join(traceback.format_exception(error)).splitlines()
    return Failure(type(error).__name__, str(error)[:500], frame, "\n".join(lines[-12:]))
