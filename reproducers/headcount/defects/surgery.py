"""Edit Python source by its syntax tree: where a pattern stands in a named function, another takes its place.

Patterns and what replaces them are Python. In them `_A`, `_B`, ... stand for any expression, the same one each time,
and `_BODY` alone in a block stands for the block. Spaces, comments and parentheses around expressions do not matter.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Self

import libcst as cst

from headcount.defects.defect import Edit

_HOLE = re.compile(r"_[A-Z]+")

#: Fields of nodes that say how a thing is written, not what it is.
_LAYOUT = re.compile(
    r"whitespace.*|.*whitespace|lpar|rpar|comma|semicolon|leading_lines|lines_after.*|header|footer|indent"
)

Bound = dict[str, Any]


def edited(source: str, edits: Sequence[Edit]) -> tuple[str, tuple[Edit, ...]]:
    """Return a module's source with edits made, and those that found a place in it.

    Raises:
        SyntaxError: the source is no Python.
        libcst.ParserSyntaxError: an edit is none.
    """
    made = []
    parts: tuple[_Part, ...] | None = None
    for edit in edits:
        found = all(word in source for word in _words(edit.find))
        if found and not (edit.unless and edit.unless in source):
            before = parts or _parts_of(source)
            parts = tuple(_edited(part, edit) for part in before)
            if parts != before:
                made.append(edit)
                source = "".join(part.text for part in parts)
    return source, tuple(made)


@dataclass(frozen=True)
class _Part:
    """A function that is in no other one, or what lies between two. An edit changes each by itself.

    Attributes:
        name: with those of the classes that it is in; "" of what is no function.
    """

    name: str
    text: str


@cache
def _parts_of(source: str) -> tuple[_Part, ...]:
    """Return a module's parts, in order: to parse all of it is slow, and most edits change one function."""
    lines, parts, end = source.splitlines(keepends=True), [], 0
    for name, first, last in _functions(source):
        if first >= end:
            parts += [_Part("", "".join(lines[end:first])), _Part(name, "".join(lines[first:last]))]
            end = last
    return (*parts, _Part("", "".join(lines[end:])))


@cache
def _edited(part: _Part, edit: Edit) -> _Part:
    """Return a part with one edit made, in the outermost functions of its name. The parser sees no others."""
    if not part.name or not all(word in part.text for word in _words(edit.find)):
        return part
    if fnmatchcase(part.name, edit.function):
        return _Part(part.name, _operated(part.text, edit))
    lines = part.text.splitlines(keepends=True)
    for first, last in reversed([*_inner(part, edit.function)]):
        function = "".join(lines[first:last])
        if all(word in function for word in _words(edit.find)):
            lines[first:last] = [_operated(function, edit)]
    return _Part(part.name, "".join(lines))


def _inner(part: _Part, pattern: str) -> Iterator[tuple[int, int]]:
    """Yield where the functions of a name stand inside another, the outermost alone: first line, end, from 0."""
    outer, above = part.name.rpartition(".")[0], _above(part.text)
    end = 0
    for name, first, last in _functions(above + part.text):
        if first >= end and fnmatchcase(f"{outer}.{name}".lstrip("."), pattern):
            yield first - bool(above), last - bool(above)
            end = last


def _above(function: str) -> str:
    """Return a line that makes a function's indentation right, if it has one; else ""."""
    return "if True:\n" if function[0].isspace() else ""


@cache
def _operated(function: str, edit: Edit) -> str:
    """Return an edited function's source."""
    parsed = _Function.of(function)
    surgeon = _Surgeon(edit, parsed)
    return parsed.tree.visit(surgeon).code.removeprefix(parsed.above) if surgeon.has_work else function


@cache
def _functions(source: str) -> tuple[tuple[str, int, int], ...]:
    """Return the name and the place of each function, those inside others too: first line, end, from 0."""
    return tuple(_named(ast.parse(source), ""))


def _named(tree: ast.AST, above: str) -> Iterator[tuple[str, int, int]]:
    for node in ast.iter_child_nodes(tree):
        name = f"{above}.{node.name}".lstrip(".") if isinstance(node, ast.FunctionDef | ast.ClassDef) else above
        if isinstance(node, ast.FunctionDef):
            yield name, node.lineno - 1, node.end_lineno or 0
        if not isinstance(node, ast.expr):  # there are no functions in expressions
            yield from _named(node, name)


@cache
def _words(pattern: str) -> tuple[str, ...]:
    """Return the names in a pattern: a source without them need not be parsed."""
    return tuple(word for word in re.findall(r"[A-Za-z_]\w*", pattern) if not _HOLE.fullmatch(word))


@dataclass(frozen=True)
class _Function:
    """A function's tree. To visit all of it is slow: its nodes are listed once.

    Attributes:
        above: a line that is put before it, to make its indentation right.
        nodes: those of each type.
        parents: a node's id -> the node above it.
    """

    above: str
    tree: cst.Module
    nodes: dict[type, list[cst.CSTNode]]
    parents: dict[int, cst.CSTNode]

    @classmethod
    @cache
    def of(cls, text: str) -> Self:
        """Parse one, or remember it."""
        above = _above(text)
        found = cls(above, cst.parse_module(above + text), defaultdict(list), {})
        found._list(found.tree)
        return found

    def _list(self, node: cst.CSTNode) -> None:
        self.nodes[type(node)].append(node)
        for name in _parts(type(node)):
            part = getattr(node, name)
            for child in part if isinstance(part, list | tuple) else (part,):
                if isinstance(child, cst.CSTNode):
                    self.parents[id(child)] = node
                    self._list(child)

    def with_all_above(self, nodes: Iterable[cst.CSTNode]) -> set[int]:
        """Return the ids of nodes, and of all that they are in."""
        found = set[int]()
        for node in nodes:
            above: cst.CSTNode | None = node
            while above is not None and id(above) not in found:
                found.add(id(above))
                above = self.parents.get(id(above))
        return found


@cache
def _parts(kind: type) -> tuple[str, ...]:
    """Return the fields of a kind of node that say what it is."""
    return tuple(field.name for field in fields(kind) if not _LAYOUT.fullmatch(field.name))


class _Surgeon(cst.CSTTransformer):
    """Makes one edit in a function: where nothing in a node is what is sought, it does not look into it."""

    def __init__(self, edit: Edit, function: _Function) -> None:
        super().__init__()
        self._pattern, self._by = _parsed(edit)
        found = [node for node in function.nodes[type(self._pattern)] if _matches(self._pattern, node, {})]
        self._ways = function.with_all_above(found)

    @property
    def has_work(self) -> bool:
        """Whether what is sought is there."""
        return bool(self._ways)

    def on_visit(self, node: cst.CSTNode) -> bool:
        return id(node) in self._ways

    def on_leave(self, original: Any, updated: Any) -> Any:
        bound: Bound = {}
        if id(original) not in self._ways or not _matches(self._pattern, updated, bound):
            return updated
        if isinstance(self._by, cst.CSTNode):
            return _filled(self._by, bound).with_changes(lpar=updated.lpar, rpar=updated.rpar)
        statements = [_filled(statement, bound) for statement in self._by]
        if statements:
            statements[0] = statements[0].with_changes(leading_lines=updated.leading_lines)
        return cst.FlattenSentinel(statements)


@cache
def _parsed(edit: Edit) -> tuple[cst.CSTNode, cst.CSTNode | Sequence[cst.CSTNode]]:
    """Return what is sought, and what takes its place: an expression for one, or statements for a statement."""
    try:
        return cst.parse_expression(edit.find), cst.parse_expression(edit.by)
    except cst.ParserSyntaxError:
        (statement,) = cst.parse_module(edit.find).body
        return statement, cst.parse_module(edit.by).body


def _matches(pattern: Any, node: Any, bound: Bound) -> bool:
    """Return whether a node is what a pattern says; what its holes stand for is added to `bound`."""
    if hole := _hole(pattern):
        return bound.setdefault(hole, node) is node or _matches(bound[hole], node, {})
    if isinstance(pattern, cst.MaybeSentinel) or isinstance(node, cst.MaybeSentinel):
        return True
    if isinstance(pattern, cst.CSTNode):
        return type(pattern) is type(node) and all(
            _matches(getattr(pattern, name), getattr(node, name), bound) for name in _parts(type(pattern))
        )
    if isinstance(pattern, list | tuple):
        return len(pattern) == len(node) and all(_matches(*pair, bound) for pair in zip(pattern, node, strict=True))
    return bool(pattern == node)


def _hole(pattern: Any) -> str:
    """Return the hole that a node is, a name or a block with nothing but one; "" if it is none."""
    if isinstance(pattern, cst.IndentedBlock) and len(pattern.body) == 1:
        (line,) = pattern.body
        inner = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
        name = _hole(inner.value) if isinstance(inner, cst.Expr) else ""
        return name if name == "_BODY" else ""
    return pattern.value if isinstance(pattern, cst.Name) and _HOLE.fullmatch(pattern.value) else ""


def _filled(node: Any, bound: Bound) -> Any:
    """Return a replacement with its holes filled."""
    if hole := _hole(node):
        return bound[hole].deep_clone()
    if isinstance(node, cst.CSTNode):
        return node.with_changes(**{f.name: _filled(getattr(node, f.name), bound) for f in fields(node)})
    return [_filled(item, bound) for item in node] if isinstance(node, list | tuple) else node
