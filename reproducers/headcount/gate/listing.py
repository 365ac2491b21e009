"""Run in the isolated process: the public names that an imported build offers, left in `ANSWER` as JSON.

With names in `HEADCOUNT_NAMES`, as JSON, it looks for these only: a module's own `__getattr__` may make
names that are listed nowhere.
"""

import inspect
import json
import os
import sys
from types import ModuleType

import torch_pruning  # type: ignore[import-not-found]

_PACKAGE = torch_pruning.__name__


def _is_its_own(value: object) -> bool:
    """Return whether a function, class or module is the package's; what it imports from elsewhere is not."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", "")).startswith(_PACKAGE)


def _members(found: type) -> list[str]:
    """Return what a class has, of its own or from the package's base classes: it may go with a base class alone."""
    own = {name for base in found.__mro__ if _is_its_own(base) for name in vars(base)}
    return [name for name in dir(found) if not name.startswith("_") and name in own]


def _listed() -> dict[str, object]:
    """Return path -> what is there, members of classes included."""
    offered = {
        f"{path}.{name}".removeprefix(f"{_PACKAGE}."): value
        for path, module in list(sys.modules.items())
        if path.split(".")[0] == _PACKAGE and not any(part.startswith("_") for part in path.split("."))
        for name, value in vars(module).items()
        if not name.startswith("_")
        and _is_its_own(value)
        # A module is offered where it is, and not also where `import *` has left it.
        and (not isinstance(value, ModuleType) or sys.modules.get(f"{path}.{name}") is value)
    }
    return offered | {
        f"{path}.{name}": getattr(value, name, None)
        for path, value in offered.items()
        if isinstance(value, type)
        for name in _members(value)
    }


def _reached(path: str) -> object:
    """Return what a path leads to, None if nothing; no module is imported for it, as none is for a user."""
    walked, value = _PACKAGE, torch_pruning
    for name in path.split("."):
        walked = f"{walked}.{name}"
        try:
            value = getattr(value, name)
        except Exception:  # noqa: BLE001 - whatever its code raises: it is not there
            value = sys.modules.get(walked)
    return value


def _defined(path: str, value: object) -> str:
    """Return where a function, or a class's `__init__`, is defined."""
    function = getattr(value, "__init__", None) if isinstance(value, type) else value
    module, _, inner = f"{getattr(function, '__module__', '')}.".partition(".")
    return f"{inner}{getattr(function, '__qualname__', '')}" if module == _PACKAGE else path


def _taken(value: object) -> list[str]:
    """Return the parameters that a function or a class takes, `**` for any."""
    try:
        parameters = inspect.signature(value).parameters.values() if callable(value) else ()
    except (ValueError, TypeError):
        return ["**"]
    return [
        "**" if p.kind is p.VAR_KEYWORD else p.name
        for p in parameters
        if p.kind is not p.VAR_POSITIONAL and p.name not in ("self", "cls")
    ]


_wanted = json.loads(os.environ.get("HEADCOUNT_NAMES", "[]"))
_found = {path: value for path in _wanted if (value := _reached(path)) is not None} if _wanted else _listed()
ANSWER = json.dumps(
    {
        "at": {path: _defined(path, value) for path, value in _found.items()},
        "takes": {path: _taken(value) for path, value in _found.items()},
    }
)
