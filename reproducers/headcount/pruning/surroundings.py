"""What pruning must leave alone, beyond the weights: the model's mode and methods, and what torch holds for all."""

import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headcount.observation import Problem, SideEffect

State = Mapping[tuple[str, Problem], object]

#: The smallest number but zero: no more than zero where a processor was told to flush such.
_TINY = torch.tensor(1e-40)

#: What a build may have reason to handle, and must not leave handled.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD)

#: Their `forward` is every network's.
_SHARED = (nn.Linear, nn.LayerNorm, nn.Conv2d, nn.MultiheadAttention)


def state(net: nn.Module, *, draws: bool) -> State:
    """Return it: where, and what -> its value.

    Args:
        draws: the call may draw random numbers.
    """
    found = dict(_of_model(net)) | dict(_of_torch())
    return found if draws else found | {("torch", Problem.RANDOM_STATE): _random_state()}


def changes(before: State, after: State) -> list[SideEffect]:
    """Return what is no longer as it was. What is gone is no change."""
    return [
        SideEffect(*key, _shown(value), _shown(after[key]))
        for key, value in before.items()
        if after.get(key, value) != value
    ]


def restore(before: State) -> None:
    """Set what torch holds for all to what it was: the next cell must not see it."""
    for cls in _SHARED:
        cls.forward = before[cls.__name__, Problem.PATCHED]  # type: ignore[method-assign, assignment]
    torch.set_default_dtype(before["torch", Problem.DEFAULT_DTYPE])  # type: ignore[arg-type]
    torch.set_grad_enabled(bool(before["torch", Problem.GRAD_MODE]))
    if torch.get_num_threads() != before["torch", Problem.THREADS]:
        torch.set_num_threads(int(str(before["torch", Problem.THREADS])))


def _of_model(net: nn.Module) -> Iterator[tuple[tuple[str, Problem], object]]:
    for name, parameter in net.named_parameters():
        yield (name, Problem.REQUIRES_GRAD), parameter.requires_grad
        yield (name, Problem.DTYPE), parameter.dtype
    for name, module in net.named_modules():
        yield (name or "model", Problem.TRAINING), module.training
        yield (name or "model", Problem.HOOKS), len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001 - no public way
        yield (name or "model", Problem.PATCHED), vars(module).get("forward")


def _of_torch() -> Iterator[tuple[tuple[str, Problem], object]]:
    for cls in _SHARED:
        yield (cls.__name__, Problem.PATCHED), cls.forward
    yield ("torch", Problem.DEFAULT_DTYPE), torch.get_default_dtype()
    yield ("torch", Problem.THREADS), torch.get_num_threads()
    yield ("torch", Problem.GRAD_MODE), torch.is_grad_enabled()
    yield ("denormal numbers", Problem.PROCESS), bool((_TINY * 1.0).item())
    yield ("deterministic algorithms", Problem.PROCESS), torch.are_deterministic_algorithms_enabled()
    yield ("warnings' filters", Problem.PROCESS), sha256(repr(warnings.filters).encode()).hexdigest()[:8]
    yield ("recursion limit", Problem.PROCESS), sys.getrecursionlimit()
    yield ("working folder", Problem.PROCESS), _folder()
    yield ("environment", Problem.PROCESS), len(os.environ)
    for number in _SIGNALS:
        yield (f"handler of {number.name}", Problem.PROCESS), signal.getsignal(number)


def _folder() -> str:
    """Return where the process is; "" if that folder is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


def _random_state() -> str:
    """Return a digest of every global generator's state."""
    name, drawn_from, *others = np.random.get_state()  # noqa: NPY002 - the global state is what a build may draw from
    # What is an array is taken as bytes: to print all of one takes longer than many a call.
    arrays = np.asarray(drawn_from).tobytes() + torch.default_generator.get_state().numpy().tobytes()
    return sha256(repr((random.getstate(), name, others)).encode() + arrays).hexdigest()[:8]


def _shown(value: object) -> str:
    """Return a value as Python prints it; a function by its name, since an address differs from run to run."""
    return getattr(value, "__qualname__", None) or repr(value)
