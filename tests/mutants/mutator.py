"""Small mistakes put into a module's source, one at a time: what a mutant differs in, and its text."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

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
        text: the whole module's source.
    """

    file: str
    function: str
    line: int
    what: str
    text: str

    @property
    def id(self) -> str:
        """The same for the same release, whatever else is mutated."""
        return f"{self.file}:{self.line} {self.function}: {self.what}"


def mutants(file: str, source: str, functions: Sequence[str]) -> list[Mutant]:
    """Every mutant of these functions, in the order of the source."""
    tree = ast.parse(source)
    found = []
    for function in _functions(tree, functions):
        places = [node for node in ast.walk(function) if node is not function]
        for index, node in enumerate(places):
            for kind in range(len(_changes(node))):
                mutated = deepcopy(tree)
                twin = next(f for f in _functions(mutated, [function.name]) if f.lineno == function.lineno)
                place = [inner for inner in ast.walk(twin) if inner is not twin][index]
                before = ast.unparse(place)
                _changes(place)[kind]()
                text = ast.unparse(ast.fix_missing_locations(mutated))
                what = f"{_short(before)} -> {_short(ast.unparse(place))}"
                found.append(Mutant(file, function.name, node.lineno, what, text))  # type: ignore[attr-defined]
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def _functions(tree: ast.AST, names: Sequence[str]) -> Iterator[ast.FunctionDef]:
    """Functions of these names, or `Class.function`."""
    for node in ast.walk(tree):
        for inner in getattr(node, "body", []) if isinstance(node, ast.Module | ast.ClassDef) else []:
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            if isinstance(inner, ast.FunctionDef) and {inner.name, f"{owner}{inner.name}"} & set(names):
                yield inner


def _changes(node: ast.AST) -> list["_Change"]:  # noqa: PLR0911 - a case per kind of mistake
    """What may be done to a node, in place."""
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
        case _:
            return []


@dataclass(frozen=True)
class _Change:
    node: ast.AST
    name: str
    value: object

    def __call__(self) -> None:
        setattr(self.node, self.name, self.value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
