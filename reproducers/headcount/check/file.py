"""Tell from a user's file, without running it, whether it says how a network is made and pruned."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headcount import errors

#: A value that a command line, and a file's reader, can give.
Plain = bool | int | float | str | None

#: How FILE.py and FILE.py:NAME end.
_FILE = re.compile(r"\.py(:\w+)?$")

#: The function of a user's file that is called if no other is named.
FUNCTION = "check"


@dataclass(frozen=True)
class File:
    """A user's file.

    Attributes:
        path: absolute.
        function: the function in it that is called; "" for the usual one, or none if it is a script.
        changes: name -> value of the function's parameters, and of the pruner's arguments in place of those that it
            returns; None for the pruner's own default. By name.
    """

    path: Path
    function: str = ""
    changes: tuple[tuple[str, Plain], ...] = ()

    @property
    def name(self) -> str:
        """The file's name, with the function if it is not the usual one."""
        return ":".join(filter(None, (self.path.name, self.function)))

    @property
    def options(self) -> str:
        """The file and its changes, as a command takes them."""
        return " ".join((self.name, *(f"--set {name}={value}" for name, value in self.changes)))

    def changed(self, **changes: Plain) -> "File":
        """Return the same file with more changes."""
        return replace(self, changes=tuple(sorted((dict(self.changes) | changes).items())))

    @property
    def sizes(self) -> Mapping[str, int]:
        """The parameters of the function that have a whole number as their default, with the changes made."""
        function = _function(ast.parse(self.path.read_bytes()), self.function or FUNCTION)
        own = _defaults(function.args) if function else {}
        return own | {name: value for name, value in self.changes if name in own and isinstance(value, int)}


def named(text: str) -> File:
    """Return the file that FILE.py or FILE.py:NAME names.

    Raises:
        UsageError: there is none.
    """
    file, colon, function = text.rpartition(":")
    if not colon or not function.isidentifier() or not file.endswith(".py"):
        file, function = text, ""
    path = Path(file)
    if not path.is_file():
        raise errors.UsageError(f"there is no file {file}", "headcount check --new FILE.py writes one to start from")
    return File(path.resolve(), function)


def names_file(text: str) -> bool:
    """Return whether a text looks as if it named a Python file, whether that is there or not."""
    return bool(_FILE.search(text))


def is_own(text: str) -> bool:
    """Return whether a text names a file that says how a network is made and pruned, and no script that judges."""
    try:
        file = named(text)
        return bool(file.function) or offers(ast.parse(file.path.read_bytes()))
    except (errors.UsageError, OSError, SyntaxError, ValueError):
        return False


def offers(tree: ast.Module) -> bool:
    """Return whether a file has the usual function: its own, which takes nothing, or one that it imports."""
    return any(
        (isinstance(node, ast.FunctionDef) and node.name == FUNCTION and _takes_nothing(node.args))
        or (isinstance(node, ast.ImportFrom) and FUNCTION in {alias.asname or alias.name for alias in node.names})
        for node in tree.body
    )


def _function(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _defaults(args: ast.arguments) -> dict[str, int]:
    """Return the parameters whose default is a whole number."""
    positional = [*args.posonlyargs, *args.args]
    given = [*zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True)]
    given += [(arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default]
    return {
        arg.arg: default.value
        for arg, default in given
        if isinstance(default, ast.Constant) and type(default.value) is int
    }


def _takes_nothing(args: ast.arguments) -> bool:
    """Return whether a function can be called without arguments."""
    positional = len(args.posonlyargs) + len(args.args) - len(args.defaults)
    return positional == 0 and all(default is not None for default in args.kw_defaults)
