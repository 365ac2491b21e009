"""Run inside the isolated process: the public names that an imported build offers, left in `ANSWER` as JSON.

With names in `HEADCOUNT_NAMES`, as JSON: those of them that it has when asked, though it lists them nowhere,
as a module's own `__getattr__` makes them.
"""

import inspect
import json
import os
import sys
from types import ModuleType

import torch_pruning  # type: ignore[import-not-found]

_PACKAGE = torch_pruning.__name__


def _is_its_own(value: object) -> bool:
    """A function, class or module of the package; what it imports from elsewhere is not."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", "")).startswith(_PACKAGE)


def _members(found: type) -> list[str]:
    """What a class has, of its own or from others of the package: it may go with a base class alone."""
    lines = [base for base in found.__mro__ if _is_its_own(base)]
    return [name for name in dir(found) if not name.startswith("_") and any(name in vars(base) for base in lines)]


def _listed() -> dict[str, object]:
    """Path -> what lies there, members of classes included."""
    offered = {
        f"{path}.{name}": value
        for path, module in list(sys.modules.items())
        if path.split(".")[0] == _PACKAGE and not any(part.startswith("_") for part in path.split("."))
        for name, value in vars(module).items()
        if not name.startswith("_")
        and _is_its_own(value)
        # A module is offered where it lies, and not where `import *` has left it, too.
        and (not isinstance(value, ModuleType) or sys.modules.get(f"{path}.{name}") is value)
    }
    classes = {path: value for path, value in offered.items() if isinstance(value, type)}
    return offered | {
        f"{path}.{name}": getattr(value, name, None) for path, value in classes.items() for name in _members(value)
    }


def _resolved(paths: list[str]) -> dict[str, object]:
    """Likewise, of these paths only, those that lead somewhere; nothing is imported for it, as for a user's."""
    found = {path: _reached(path) for path in paths}
    return {path: value for path, value in found.items() if value is not None}


def _reached(path: str) -> object:
    walked, value = _PACKAGE, torch_pruning
    for name in path.split(".")[1:]:
        walked = f"{walked}.{name}"
        try:
            value = getattr(value, name)
        except Exception:  # noqa: BLE001 - whatever its code raises: it is not there
            value = sys.modules.get(walked)
    return value


def _offer(path: str, value: object) -> dict[str, object]:
    """Where a function is defined, or a class's `__init__`; and the parameters it takes, `**` for any."""
    function = getattr(value, "__init__", None) if isinstance(value, type) else value
    at = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    at = at if at.startswith(_PACKAGE) else path
    try:
        parameters = inspect.signature(value).parameters.values() if callable(value) else ()
    except (ValueError, TypeError):
        return {"at": at, "takes": ["**"]}
    names = ["**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    return {"at": at, "takes": [name for name in names if name not in ("self", "cls")]}


_wanted = json.loads(os.environ.get("HEADCOUNT_NAMES", "[]"))
_found = _resolved(_wanted) if _wanted else _listed()
ANSWER = json.dumps({"names": {path: _offer(path, value) for path, value in sorted(_found.items())}})
