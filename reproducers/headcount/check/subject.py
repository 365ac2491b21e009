"""The user's file: it is run in the isolated process, and says which network is pruned, on what, and how.

Either it defines a function that returns the three, or it is a script, which is run to its end and whose calls of the
pruner's constructor are looked at.
"""

import ast
import inspect
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from headcount.check.file import FUNCTION, Plain, offers

#: The functions that may stand beside the one that is called.
BEFORE_STEP, UPDATE = "before_step", "update"


class FileError(Exception):
    """The file is at fault: it raises, returns something else, or its network cannot be called."""


class LackingError(Exception):
    """The file names what this release of torch_pruning does not have."""


@dataclass(frozen=True)
class Subject:
    """What a file gives.

    Attributes:
        net, inputs, arguments: as the pruner takes them; `arguments` by name.
        pruner: the class, if it is named; else MetaPruner.
        before_step, update: the file's own functions of the network and the pruner, if it has them.
    """

    net: nn.Module
    inputs: Any
    arguments: dict[str, Any]
    pruner: Any = None
    before_step: Callable[[nn.Module, Any], object] | None = None
    update: Callable[[nn.Module, Any], object] | None = None


def load(path: Path, name: str, changes: Mapping[str, Plain] = {}) -> Subject | None:
    """Return what the file's function gives; None if it has no such function, and is a script.

    Args:
        changes: of the function's parameters, and of the arguments that it returns.

    Raises:
        FileError: it has none of that name, or it returns something else, or raises.
    """
    with at_fault(path):
        if not name and not offers(ast.parse(path.read_bytes(), str(path))):
            if changes:
                raise FileError(f"{path.name} is a script: only what a function returns can be changed")
            return None
        sys.argv = [str(path)]
        sys.path.insert(0, str(path.parent))
        defined = runpy.run_path(str(path))
        function = defined.get(name or FUNCTION)
        if not callable(function):
            raise FileError(f"{path.name} defines no function {name or FUNCTION}")
        own = {key: value for key, value in changes.items() if key in inspect.signature(function).parameters}
        given = function(**own)
    net, inputs, arguments = _three(given, path.name, name or FUNCTION)
    arguments |= {key: value for key, value in changes.items() if key not in own}
    for key in (key for key, value in changes.items() if value is None):
        arguments.pop(key, None)
    pruner = arguments.pop("pruner", None)
    return Subject(net, inputs, arguments, pruner, defined.get(BEFORE_STEP), defined.get(UPDATE))


def run(path: Path) -> None:
    """Run a script as a program.

    Raises:
        Exception: whatever it raises; SystemExit too.
    """
    sys.argv = [str(path)]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def _three(given: object, file: str, function: str) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Return the network, its inputs and the pruner's arguments.

    Raises:
        FileError: it is something else.
    """
    wanted = f"{function}() in {file} must return the network, its example inputs and the pruner's arguments (a dict)"
    if not isinstance(given, tuple) or len(given) != 3:  # noqa: PLR2004 - the three
        raise FileError(f"{wanted}, not {_kind(given)}")
    net, inputs, arguments = given
    if not isinstance(net, nn.Module):
        raise FileError(f"{wanted}: the first is {_kind(net)}, no torch.nn.Module")
    if not isinstance(inputs, torch.Tensor | tuple | list | Mapping):
        raise FileError(f"{wanted}: the second is {_kind(inputs)}, no tensor, tuple or dict of tensors")
    if not isinstance(arguments, dict) or not all(isinstance(key, str) for key in arguments):
        raise FileError(f"{wanted}: the third is {_kind(arguments)}, no dict of keyword arguments")
    return net, inputs, dict(arguments)


def _kind(value: object) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"


@contextmanager
def at_fault(path: Path) -> Iterator[None]:
    """Turn what is raised meanwhile into an error that names the file's own line.

    Raises:
        FileError: with the exception, its message and the line.
        LackingError: so, where the release lacks a name.
    """
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        kind = LackingError if is_lacking(error) else FileError
        raise kind(described(error, path)) from error
    except SystemExit as ended:
        raise FileError(f"{path.name} ends the process with {ended.code!r} before it has returned") from ended


def is_lacking(error: BaseException) -> bool:
    """Return whether a name was looked for in torch_pruning, and is not there."""
    named = isinstance(error, AttributeError | ImportError) and "torch_pruning" in str(error)
    return named and "/torch_pruning/" not in traceback.extract_tb(error.__traceback__)[-1].filename


def described(error: BaseException, path: Path) -> str:
    """Return an exception in a line, with the last line of the file that it came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = f", line {lines[-1]}" if lines else ""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = f", line {error.lineno}"
    first = str(error).strip().partition("\n")[0]
    return f"{path.name}{line}: {type(error).__name__}" + (f": {first}" if first else "")


def pruners(pruning: ModuleType) -> tuple[type, ...]:
    """Return a build's classes of pruners: whatever steps."""
    found = (value for value in vars(pruning.pruner).values() if inspect.isclass(value) and hasattr(value, "step"))
    return tuple(dict.fromkeys(found))
