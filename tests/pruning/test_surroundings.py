"""What a build must leave alone: each change is seen, named, and gone before the next cell."""

import random
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
