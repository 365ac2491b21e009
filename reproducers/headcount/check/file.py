"""Tell from a user's file, without running it, whether it says how a network is made and pruned."""

import ast
from dataclasses import dataclass
from pathlib import Path

from headcount import errors

#: The function of a user's file that is called if no other is named.
FUNCTION = "check"


@dataclass(frozen=True)
class File:
    """A user's file.

    Attributes:
        path: absolute.
        function: the function in it that is called; "" for the usual one, or none if it is a script.
    """

    path: Path
    function: str = ""

    @property
    def name(self) -> str:
        """The file's name, with the function if it is not the usual one."""
        return ":".join(filter(None, (self.path.name, self.function)))


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


def _takes_nothing(args: ast.arguments) -> bool:
    """Return whether a function can be called without arguments."""
    positional = len(args.posonlyargs) + len(args.args) - len(args.defaults)
    return positional == 0 and all(default is not None for default in args.kw_defaults)
