"""Import torch_pruning from one build, in a program and in the Python programs it starts. `sys.path` has no say.

This file needs only the standard library: a copy of it is the `sitecustomize` of the processes that a script starts.
"""

import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path

#: This file in a process's folder means that the build was imported, there or in a process that it started.
MARK = "imported"


class Redirect:
    """Finds the package in a build, before anything else is looked at, and leaves a mark in a folder."""

    def __init__(self, build: str, folder: str) -> None:
        self._build, self._mark = build, Path(folder, MARK)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return the package's spec in the build; None for any other name.

        Raises:
            ModuleNotFoundError: the build has no such package.
        """
        if name != "torch_pruning":
            return None
        with suppress(OSError):
            self._mark.touch()
        spec = PathFinder.find_spec(name, [self._build])
        if spec is None:
            raise ModuleNotFoundError(f"the build has no {name}", name=name)
        return spec


def install(build: str, folder: str) -> None:
    """Redirect this process, and the Python programs that it starts, which look for a sitecustomize on their path."""
    sys.meta_path.insert(0, Redirect(build, folder))
    first = Path(folder, "first")
    first.mkdir(exist_ok=True)
    call = f"\n\nsys.meta_path.insert(0, Redirect({build!r}, {folder!r}))\n_chain({str(first)!r})\n"
    (first / "sitecustomize.py").write_text(Path(__file__).read_text("utf-8") + call, "utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(first), build, os.environ.get("PYTHONPATH")]))


def _chain(first: str) -> None:
    """Run the sitecustomize that this one stands before."""
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if path != first])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))
