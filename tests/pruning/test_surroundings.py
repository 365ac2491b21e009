"""What a build must leave alone: each change is seen, named, and gone before the next cell."""

import os
import random
import signal
import sys
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from headcount.observation import Problem
from headcount.pruning import surroundings


def patch_class(_: nn.Module) -> None:
    nn.Linear.forward = lambda _self, tokens: tokens  # type: ignore[method-assign,assignment]


def patch_instance(net: nn.Module) -> None:
    net.forward = lambda tokens: tokens


CHANGES: dict[Problem, Callable[[nn.Module], object]] = {
    Problem.TRAINING: lambda net: net.train(),
    Problem.REQUIRES_GRAD: lambda net: net.requires_grad_(requires_grad=False),
    Problem.DTYPE: lambda net: net.double(),
    Problem.HOOKS: lambda net: net.register_forward_hook(lambda *_: None),
    Problem.DEFAULT_DTYPE: lambda _: torch.set_default_dtype(torch.float64),
    Problem.GRAD_MODE: lambda _: torch.set_grad_enabled(False),
    Problem.RANDOM_STATE: lambda _: random.seed(3),
    Problem.PATCHED: patch_class,
}


@pytest.mark.parametrize("problem", CHANGES)
def test_a_change_is_seen_and_undone(problem: Problem) -> None:
    net = nn.Linear(2, 2).eval()
    before = surroundings.state(net, draws=False)
    try:
        CHANGES[problem](net)
        seen = surroundings.changes(before, surroundings.state(net, draws=False))
    finally:
        surroundings.restore(before)
    assert {effect.problem for effect in seen} == {problem}
    fresh = nn.Linear(2, 2).eval()
    assert not surroundings.changes(surroundings.state(fresh, draws=True), surroundings.state(fresh, draws=True))
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32
    assert nn.Linear.forward.__qualname__ == "Linear.forward"


def test_a_patched_instance_is_seen() -> None:
    net = nn.Linear(2, 2).eval()
    before = surroundings.state(net, draws=False)
    patch_instance(net)
    (seen,) = surroundings.changes(before, surroundings.state(net, draws=False))
    assert (seen.where, seen.problem, seen.after) == ("model", Problem.PATCHED, "patch_instance.<locals>.<lambda>")


def test_a_criterion_that_draws_may_draw() -> None:
    net = nn.Linear(2, 2).eval()
    before = surroundings.state(net, draws=True)
    random.seed(4)
    assert not surroundings.changes(before, surroundings.state(net, draws=True))


def set_deterministic(mode: bool) -> None:
    torch._C._set_deterministic_algorithms(mode, warn_only=False)  # noqa: SLF001 - the public one imports more


def undo_warnings() -> None:
    warnings.filters = warnings.filters[1:]


#: What a build may leave behind in its process, and what undoes it here: there the process is replaced.
LEFT: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "recursion limit": (lambda: sys.setrecursionlimit(5000), lambda: sys.setrecursionlimit(1000)),
    "denormal numbers": (lambda: torch.set_flush_denormal(True), lambda: torch.set_flush_denormal(False)),
    "warnings' filters": (lambda: warnings.simplefilter("error", FutureWarning), undo_warnings),
    "environment": (lambda: os.environ.update(ANOTHER="1"), lambda: os.environ.pop("ANOTHER")),
    "handler of SIGALRM": (
        lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
        lambda: signal.signal(signal.SIGALRM, signal.SIG_DFL),
    ),
    "deterministic algorithms": (lambda: set_deterministic(True), lambda: set_deterministic(False)),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_in_the_process_is_seen(name: str) -> None:
    net = nn.Linear(2, 2).eval()
    before = surroundings.state(net, draws=False)
    leave, undo = LEFT[name]
    leave()
    try:
        (seen,) = surroundings.changes(before, surroundings.state(net, draws=False))
    finally:
        undo()
    assert (seen.problem, seen.where) == (Problem.PROCESS, name)
    assert not surroundings.changes(before, surroundings.state(net, draws=False))
