"""A build whose statements say that they ran: a copy of it, with a probe before each.

Nothing watches from outside, so nothing can be switched off there: the probes are part of the code. A copy is only ever
asked what ran. What a build does is judged on the build itself, and its copy has to do the same.
"""

import ast
import copy
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from headcount import builds
from headcount.gate.source import Function, Kind, Piece, defaults, source
from headcount.isolation.shared import PROBES

#: The module in which a probed build notes what ran. A default that is left out is known by what stands in its place.
_MODULE = '''"""What ran."""

RAN = set()


class _Default:
    def __init__(self, number, value):
        self.number, self.value = number, value


def given(value):
    """Return a parameter's value; note that a call has left it out."""
    if type(value) is _Default:
        RAN.add(value.number)
        return value.value
    return value
'''

_RAN, _NOTES = "_headcount_ran", "_headcount_notes"


def probed(build: builds.Overlay, noted: Iterable[Piece] = ()) -> builds.Overlay:
    """Return a copy of a build whose functions note which of their statements run.

    The number of a probe is that of its piece in `source(build).pieces`.

    Args:
        noted: defaults of which it is noted, too, that a call has left them out.

    Raises:
        SetupError: the disk fails.
    """
    whole = source(build)
    marked = frozenset(id(piece.node) for piece in noted)
    numbers = {
        id(piece.node): number
        for number, piece in enumerate(whole.pieces)
        if piece.kind in (Kind.STATEMENT, Kind.SIGNATURE) or id(piece.node) in marked
    }

    def change(folder: Path) -> None:
        for name, tree in whole.trees.items():
            (folder / name).write_text(_instrumented(tree, numbers), "utf-8")
        (folder / f"{PROBES.replace('.', '/')}.py").write_text(_MODULE, "utf-8")

    wanted = sorted(numbers[key] for key in marked)
    key = sha256(repr((build.digest, wanted, Path(__file__).read_text("utf-8"))).encode()).hexdigest()[:20]
    return builds.edited(build, f"{build.label}+probes", f"probed-{key}", change)


def _instrumented(tree: ast.Module, numbers: Mapping[int, int]) -> str:
    """Return a module's source with its probes. The tree stays as it is."""
    memo: dict[int, object] = {}
    twin = copy.deepcopy(tree, memo)
    found = {id(memo[key]): number for key, number in numbers.items() if key in memo}
    _Probes(found).visit(twin)
    at = sum(1 for _ in _first(twin.body))
    twin.body[at:at] = ast.parse(f"from {PROBES} import RAN as {_RAN}, given as {_NOTES}, _Default as {_NOTES}_of").body
    return ast.unparse(ast.fix_missing_locations(twin))


def _first(body: Sequence[ast.stmt]) -> Iterable[ast.stmt]:
    """Yield what has to stay first in a module: its docstring, and what it imports from `__future__`."""
    for number, node in enumerate(body):
        docstring = not number and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return
        yield node


class _Probes(ast.NodeTransformer):
    """Puts a probe before each statement that has a number."""

    def __init__(self, numbers: Mapping[int, int]) -> None:
        self._numbers = numbers

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                setattr(node, name, [each for inner in block for each in (*self._probe(inner), inner)])
        if isinstance(node, ast.ExceptHandler | ast.match_case):  # no statement: its probe is inside
            node.body[:0] = self._probe(node)
        if isinstance(node, Function):
            self._enter(node)
        return node

    def _probe(self, node: ast.AST) -> list[ast.stmt]:
        number = self._numbers.get(id(node))
        return [] if number is None or isinstance(node, Function) else ast.parse(f"{_RAN}.add({number})").body

    def _enter(self, node: Function) -> None:
        """Note that a function was called, and which of its defaults were used."""
        notes = [*ast.parse(f"{_RAN}.add({self._numbers[id(node)]})").body] if id(node) in self._numbers else []
        for parameter, siblings, index in defaults(node):
            default = siblings[index]
            if id(default) in self._numbers:
                wrapped = ast.parse(f"{_NOTES}_of({self._numbers[id(default)]}, 0)", mode="eval").body
                assert isinstance(wrapped, ast.Call)
                wrapped.args[1] = default
                siblings[index] = wrapped
                notes += ast.parse(f"{parameter} = {_NOTES}({parameter})").body
        docstring = ast.get_docstring(node, clean=False) is not None
        node.body[docstring:docstring] = notes
