"""A build shares its process with the code that observes it. This finds functions that the build has replaced.

Before the build is imported, each function is noted by its name and place. Later the same places are compared. It is no
defence against a build that hides what it does; see .github/SECURITY.md.
"""

import builtins
import inspect
import json
import sys
from collections.abc import Iterator
from multiprocessing import connection
from types import ModuleType

import torch
from torch import nn

from headcount.observation import Problem, SideEffect

#: What the observer uses of others: modules, and classes with their methods.
_USED: tuple[ModuleType | type, ...] = (
    builtins,
    inspect,
    json,
    json.JSONEncoder,
    connection.Connection,
    torch,
    torch.Tensor,
    nn.functional,
    nn.init,
    nn.Parameter,
    nn.Module,
    nn.Linear,
    nn.LayerNorm,
    nn.Conv2d,
    nn.MultiheadAttention,
)


class Watch:
    """The code that observes, as it is now: all of Headcount's, and what it calls of other packages."""

    def __init__(self) -> None:
        """Note what stands in each place."""
        self._held = [
            (owner, vars(owner), name, value, getattr(value, "__code__", None))
            for owner in _owners()
            for name, value in vars(owner).items()
            if _matters(owner, name, value)
        ]

    def put_back(self) -> tuple[SideEffect, ...]:
        """Put back all that was replaced, and return the first three."""
        found = []
        for owner, names, name, value, code in self._held:
            if names.get(name) is not value:
                setattr(owner, name, value)
            elif code is not None and getattr(value, "__code__", None) is not code:
                setattr(value, "__code__", code)  # noqa: B010 - of what kind it is, is not known
            else:
                continue
            found.append(SideEffect(f"{_place(owner)}.{name}", Problem.PROCESS, "as it was", "replaced"))
        return tuple(found[:3])


def _matters(owner: ModuleType | type, name: str, value: object) -> bool:
    """Return whether a name is watched: all of ours, and the functions of others."""
    if name.startswith("__") and name not in ("__init__", "__call__", "__import__"):
        return False
    return owner not in _USED or inspect.isroutine(value)


def _owners() -> Iterator[ModuleType | type]:
    """Yield each module and class."""
    own = [module for name, module in sys.modules.items() if name.partition(".")[0] == "headcount"]
    yield from own
    yield from {
        value
        for module in own
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    yield from _USED


def _place(owner: ModuleType | type) -> str:
    return owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__name__}"
