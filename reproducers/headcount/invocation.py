"""How Headcount was called: by nox, by uvx, as a module or as a program. Hints name commands in the same way."""

import os
import sys
from enum import Enum
from pathlib import Path

#: The noxfile sets this variable.
CALLED_BY = "HEADCOUNT_CALLED_BY"

#: In uv's cache, the folders of environments that uvx makes.
_PASSING = ("archive-v", "environments-v")


class Caller(Enum):
    """What Headcount was called by."""

    NOX = "nox"
    UVX = "uvx headcount"
    MODULE = "python -m headcount"
    PROGRAM = "headcount"


def caller() -> Caller:
    """Return what this process was called by."""
    if os.environ.get(CALLED_BY) == Caller.NOX.value:
        return Caller.NOX
    if any(part.startswith(_PASSING) for part in Path(sys.prefix).parts):
        return Caller.UVX
    return Caller.MODULE if Path(sys.argv[0]).name == "__main__.py" else Caller.PROGRAM


def command(words: str, transformers: str = "4.57.6") -> str:
    """Return how a command is called: `emit CELL --build BUILD`."""
    by = caller()
    if by is Caller.NOX:
        return f"nox -s \"headcount(transformers='{transformers}')\" -- {words}"
    return f"{by.value} {words}"


def matrix(words: str = "", transformers: str = "") -> str:
    """Return how the matrix is run, with options."""
    if caller() is Caller.NOX:
        session = f"\"matrix(transformers='{transformers}')\"" if transformers else "matrix"
        return f"nox -s {session}" + f" -- {words}" * bool(words)
    return f"pytest -p headcount.pytest_plugin --pyargs headcount.suite {words}".rstrip()
