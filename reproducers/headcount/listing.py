"""Run inside the isolated process: the public names that an imported build offers, left in `ANSWER` as JSON."""

import json
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


_offered = {
    f"{path}.{name}": value
    for path, module in list(sys.modules.items())
    if path.split(".")[0] == _PACKAGE and not any(part.startswith("_") for part in path.split("."))
    for name, value in vars(module).items()
    if not name.startswith("_")
    and _is_its_own(value)
    # A module is offered where it lies, and not where `import *` has left it, too.
    and (not isinstance(value, ModuleType) or value.__name__ == f"{path}.{name}")
}
_inside = [f"{path}.{name}" for path, value in _offered.items() if isinstance(value, type) for name in _members(value)]
ANSWER = json.dumps(sorted([*_offered, *_inside]))
