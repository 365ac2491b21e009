"""Small mistakes put into a module's source, one at a time: what a mutant differs in, and its text."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise

_COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        file: in the package.
        function: the one that it is in.
        line: of the original.
        what: the original and what became of it, in a few words.
    """

    file: str
    function: str
    line: int
    what: str
    _make: Callable[[], str] = field(repr=False, compare=False)

    @cached_property
    def text(self) -> str:
        """The whole module's source: made when asked for, as of many mutants few are drawn."""
        return self._make()

    @property
    def id(self) -> str:
        """The same for the same release, whatever else is mutated."""
        return f"{self.file}:{self.line} {self.function}: {self.what}"


def mutants(file: str, source: str, functions: Sequence[str]) -> list[Mutant]:
    """Every mutant of these functions, in the order of the source."""
    found = []
    for function in _functions(ast.parse(source), functions):
        for index, node in enumerate([*ast.walk(function)]):
            for kind, change in enumerate(_changes(node)):
                before, line = _short(change.said), change.line
                with change.made():
                    what = f"{before} -> {_short(change.said)}"
                make = partial(_made, source, (function.name, function.lineno), index, kind)
                found.append(Mutant(file, function.name, line, what, make))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def _made(source: str, where: tuple[str, int], index: int, kind: int) -> str:
    """Return a module's source with one mistake: in a function, at one of its nodes, of the kinds that fit there."""
    name, line = where
    tree = ast.parse(source)
    function = next(f for f in _functions(tree, [name]) if f.lineno == line)
    with _changes([*ast.walk(function)][index])[kind].made():
        return ast.unparse(ast.fix_missing_locations(tree))


def _functions(tree: ast.AST, names: Sequence[str]) -> Iterator[ast.FunctionDef]:
    """Functions of these names, or `Class.function`."""
    for node in ast.walk(tree):
        for inner in getattr(node, "body", []) if isinstance(node, ast.Module | ast.ClassDef) else []:
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            if isinstance(inner, ast.FunctionDef) and {inner.name, f"{owner}{inner.name}"} & set(names):
                yield inner


def _changes(node: ast.AST) -> list["_Change"]:
    """What may be done to a node, in place."""
    return [*_small(node), *_swapped(node)]


def _swapped(node: ast.AST) -> Iterator["_Change"]:
    """Neighbours that may be swapped: two defaults of a function, two plain statements of a block."""
    if isinstance(node, ast.arguments):
        for name in ("defaults", "kw_defaults"):
            yield from _neighbours(node, name, getattr(node, name))
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield from _neighbours(node, name, block)


def _neighbours(node: ast.AST, name: str, inside: Sequence[ast.AST | None]) -> Iterator["_Change"]:
    for place, pair in enumerate(pairwise(inside)):
        plain = all(isinstance(one, ast.Constant | ast.Assign | ast.AugAssign) or _is_call(one) for one in pair)
        if plain and ast.dump(pair[0]) != ast.dump(pair[1]):  # type: ignore[arg-type]
            yield _Change(node, name, [*inside[:place], *reversed(pair), *inside[place + 2 :]], place)


def _is_call(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _small(node: ast.AST) -> list["_Change"]:  # noqa: PLR0911 - a case per kind of mistake
    """What may be done to a node alone."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in _COMPARISONS:
            return [_Change(node, "ops", [_COMPARISONS[type(operator)](), *node.ops[1:]])]
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            return [_Change(node, "op", _ARITHMETIC[type(operator)]())]
        case ast.BoolOp():
            return [_Change(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())]
        case ast.Constant(value=bool() as value):
            return [_Change(node, "value", not value)]
        case ast.Constant(value=int() | float() as value):
            return [_Change(node, "value", value + 1)]
        case ast.If() | ast.IfExp() | ast.While():
            return [_Change(node, "test", ast.UnaryOp(ast.Not(), node.test))]
        case ast.Assign() | ast.AugAssign() | ast.Expr(value=ast.Call()) | ast.Continue() | ast.Break():
            return [_Change(node, "__class__", ast.Pass)]
        case ast.Subscript(slice=ast.Tuple(elts=[first, _, *_])):  # a coarser key
            return [_Change(node, "slice", first)]
        case _:
            return []


@dataclass(frozen=True)
class _Change:
    """A field of a node is given another value; of a list, two neighbours are swapped from a place on."""

    node: ast.AST
    name: str
    value: object
    place: int | None = None

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make it for a while."""
        before = getattr(self.node, self.name)
        setattr(self.node, self.name, self.value)
        yield
        setattr(self.node, self.name, before)

    @property
    def _about(self) -> list[ast.AST]:
        if self.place is None:
            return [self.node]
        pair: list[ast.AST] = getattr(self.node, self.name)[self.place : self.place + 2]
        return pair

    @property
    def said(self) -> str:
        """What it is about, as it is now."""
        return "; ".join(map(ast.unparse, self._about))

    @property
    def line(self) -> int:
        """Where that is."""
        return int(self._about[0].lineno)  # type: ignore[attr-defined]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
