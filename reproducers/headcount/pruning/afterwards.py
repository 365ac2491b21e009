"""What a user does with a pruned network: a function for each `Then` that needs nothing but the network.

The dense network does the same first: what that cannot do, no pruner can be held to. Where one line of a function is
torch_pruning's own, that does not hold.
"""

import copy
import io
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from headcount.environment import CPU, device
from headcount.matrix import Then
from headcount.models import Model, adapter
from headcount.observation import Failure, Phase, Problem, Use
from headcount.pruning import network

#: A dense network whose output differs by more, relative to the largest, does not do it either.
_EXACT = 1e-4

#: Images of another batch.
_BATCH = 3


@dataclass(frozen=True)
class Network:
    """A network, pruned or dense, and what it is called with."""

    model: Model
    net: nn.Module
    pruning: ModuleType | None = None

    @property
    def given(self) -> dict[str, Tensor] | Tensor:
        """The example inputs, where the network is."""
        found: dict[str, Tensor] | Tensor = network.inputs(self.model, device())
        return found

    def output(self, net: Any = None, given: Any = None) -> Tensor:
        """Return the output of a forward pass, of another network or with other inputs than its own."""
        found: Tensor = adapter(self.model.family).call(net or self.net, self.given if given is None else given)
        return found

    def plain(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """Return a network that takes and returns tensors alone, and its arguments."""
        given = self.given
        names, tensors = zip(*given.items(), strict=True) if isinstance(given, dict) else ((), (given,))
        return _Plain(self, names), tensors


class _Plain(nn.Module):
    def __init__(self, whole: Network, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net, self._whole, self._names = whole.net, whole, names

    def forward(self, *tensors: Tensor) -> Tensor:
        given = dict(zip(self._names, tensors, strict=True)) if self._names else tensors[0]
        return self._whole.output(self.net, given)


@dataclass(frozen=True)
class Instead:
    """An output and what it should be, where that is not the output of before."""

    output: Tensor
    right: Tensor


#: Yields outputs, which should be as they were before, and names of what is wrong.
Act = Callable[[Network], Iterator[Tensor | Instead | str]]

#: These call torch_pruning itself. Whether a dense network can do them does not matter.
_OF_BUILD = (Then.TP_STATE_DICT, Then.GRAPH)


def use(then: Then, pruned: Network, before: Tensor) -> Use:
    """Do it. Whatever goes wrong is in what is returned.

    Args:
        before: the pruned network's output.
    """
    cannot, known = ("", frozenset()) if then in _OF_BUILD else _dense(then, pruned.model)
    if cannot:
        return Use(cannot=cannot)
    try:
        gap, names = _did(then, pruned, before)
    except Exception as error:  # noqa: BLE001 - a broken network may raise anything
        return Use(Failure.of(error, Phase.USE))
    names = tuple(name for name in names if name not in known)
    return Use(problem=_PROBLEMS.get(then, Problem.OTHER_OUTPUT), names=names, gap=gap)


@cache
def _dense(then: Then, model: Model) -> tuple[str, frozenset[str]]:
    """Return why the dense network cannot do it, "" if it can; and the names that are wrong of it, too."""
    whole = Network(model, network.copied(model).to(device()))
    try:
        with torch.no_grad():
            before = whole.output()
        gap, names = _did(then, whole, before)
    except Exception as error:  # noqa: BLE001 - transformers and torch raise what they like
        return type(error).__name__, frozenset()
    return ("" if gap <= _EXACT else "another output"), frozenset(names)


def _did(then: Then, whole: Network, before: Tensor) -> tuple[float, tuple[str, ...]]:
    """Do it; return the largest gap, and the names of what is wrong."""
    whole.net.zero_grad()
    with torch.set_grad_enabled(then in (Then.TRAIN, Then.GRAPH)):
        found = [*_ACTS[then](whole)]
    gaps = [_gap(item, before) for item in found if isinstance(item, Tensor)]
    gaps += [_gap(item.output, item.right.detach()) for item in found if isinstance(item, Instead)]
    return max(gaps, default=0.0), tuple(item for item in found if isinstance(item, str))


def _gap(output: Tensor, before: Tensor) -> float:
    if output.shape != before.shape:
        return math.inf
    gap = float((output.detach() - before).abs().max() / before.abs().max())
    return math.inf if math.isnan(gap) else gap


# --- what is done --------------------------------------------------------------------------------


def _train(whole: Network) -> Iterator[Tensor | str]:
    """Take a step. The output is another afterwards, and is a number."""
    net = whole.net.train()
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    whole.output().square().mean().backward()  # type: ignore[no-untyped-call]
    yield from (name for name, p in net.named_parameters() if p.requires_grad and p.grad is None)
    optimiser.step()
    output = whole.output(net.eval())
    if not output.isfinite().all():
        yield output


def _save(whole: Network) -> Iterator[Tensor | str]:
    yield whole.output(_written_and_read(whole.net).to(device()))


def _state_dict(whole: Network) -> Iterator[Tensor | str]:
    other = copy.deepcopy(whole.net)
    for tensor in other.state_dict().values():
        tensor.zero_()
    other.load_state_dict(_written_and_read(whole.net.state_dict()))
    yield whole.output(other)


def _tp_state_dict(whole: Network) -> Iterator[Tensor | str]:
    """Do what README of 1.3.0 to 1.4.0 calls method 2."""
    pruning: Any = whole.pruning
    state = _written_and_read(pruning.state_dict(whole.net))
    fresh = network.copied(whole.model)
    pruning.load_state_dict(fresh, state_dict=state)
    yield whole.output(fresh.to(device()))


def _save_pretrained(whole: Network) -> Iterator[Tensor | str]:
    """Yield the names of tensors, and of the config, that are not in the files."""
    with tempfile.TemporaryDirectory() as folder:
        whole.net.save_pretrained(folder)  # type: ignore[operator]
        files = [load_file(file) for file in sorted(Path(folder).glob("*.safetensors"))]
        if not Path(folder, "config.json").is_file():
            yield "config.json"
    # By their values: transformers may write a tensor under a name of old.
    written = Counter(_content(tensor) for tensors in files for tensor in tensors.values())
    yield from (name for name, tensor in whole.net.state_dict().items() if not written[_content(tensor)])


def _deepcopy(whole: Network) -> Iterator[Tensor | str]:
    yield whole.output(copy.deepcopy(whole.net))


def _export(whole: Network) -> Iterator[Tensor | str]:
    plain, tensors = whole.plain()
    yield torch.export.export(plain, tensors, strict=False).module()(*tensors)


def _trace(whole: Network) -> Iterator[Tensor | str]:
    plain, tensors = whole.plain()
    yield torch.jit.trace(plain, tensors, check_trace=False)(*tensors)  # type: ignore[no-untyped-call]


def _batch(whole: Network) -> Iterator[Tensor | str]:
    given = whole.given
    many = {name: _repeated(one) for name, one in given.items()} if isinstance(given, dict) else _repeated(given)
    parts: tuple[Tensor, ...] = torch.chunk(whole.output(given=many), _BATCH)
    yield from parts


def _repeated(one: Tensor) -> Tensor:
    return torch.cat([one] * _BATCH)


def _attention(whole: Network) -> Iterator[Tensor | str]:
    """Yield the outputs of both.

    Raises:
        NotImplementedError: the family has one alone; transformers may only warn of it.
    """
    net: Any = whole.net
    for kind in ("eager", "sdpa"):
        net.set_attn_implementation(kind)
        if net.config._attn_implementation != kind:  # noqa: SLF001 - where transformers keeps it
            raise NotImplementedError(kind)
        yield whole.output()


def _graph(whole: Network) -> Iterator[Instead]:
    """Remove a neuron with DependencyGraph, as upstream's README does. The output must be as if nothing read it."""
    pruning: Any = whole.pruning
    block = adapter(whole.model.family).blocks(whole.net)[-1]
    graph = pruning.DependencyGraph().build_dependency(whole.net, example_inputs=whole.given)
    group = graph.get_pruning_group(block.fc1, pruning.prune_linear_out_channels, idxs=[0])
    if graph.check_pruning_group(group):
        block.fc2.weight.data[:, 0] = 0
        right = whole.output()
        group.prune()
        yield Instead(whole.output(), right)


_ACTS: Mapping[Then, Act] = {
    Then.TRAIN: _train,
    Then.SAVE: _save,
    Then.STATE_DICT: _state_dict,
    Then.TP_STATE_DICT: _tp_state_dict,
    Then.SAVE_PRETRAINED: _save_pretrained,
    Then.DEEPCOPY: _deepcopy,
    Then.EXPORT: _export,
    Then.TRACE: _trace,
    Then.BATCH: _batch,
    Then.ATTENTION: _attention,
    Then.GRAPH: _graph,
}

#: What the names are wrong in.
_PROBLEMS = {Then.TRAIN: Problem.NO_GRADIENT, Then.SAVE_PRETRAINED: Problem.NOT_SAVED}


def _written_and_read(item: Any) -> Any:
    """Return what torch.save writes and torch.load reads, to the CPU, as README has it for PyTorch 2.6 and later."""
    file = io.BytesIO()
    torch.save(item, file)
    file.seek(0)
    return torch.load(file, weights_only=False, map_location=CPU)


def _content(tensor: Tensor) -> tuple[tuple[int, ...], bytes]:
    return tuple(tensor.shape), tensor.detach().cpu().contiguous().numpy().tobytes()
