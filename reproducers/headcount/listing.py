"""Run inside the isolated process: the public names that an imported build offers, as one line of JSON."""

import json
import sys

import torch_pruning  # type: ignore[import-not-found]

_PACKAGE = torch_pruning.__name__


def _is_its_own(value: object) -> bool:
    """A function, class or module of the package; what it imports from elsewhere is not."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", "")).startswith(_PACKAGE)


_names = sorted(
    f"{path}.{name}"
    for path, module in list(sys.modules.items())
    if path.split(".")[0] == _PACKAGE and not any(part.startswith("_") for part in path.split("."))
    for name, value in vars(module).items()
    if not name.startswith("_") and _is_its_own(value)
)
print("names:", json.dumps(_names))  # noqa: T201 - what it is run for
