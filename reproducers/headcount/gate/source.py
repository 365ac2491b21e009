"""The source of a build, in pieces; and the pieces that two builds do not share.

A piece is a statement without its block, a function's signature, one default of it, or a statement outside of any
function. Two builds are compared function by function. What changes nothing is not looked at: comments, docstrings,
annotations, positions.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import cast

from headcount import builds

#: Fields that hold the statements inside a statement.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")

#: Fields that say nothing about what a statement does.
_SILENT = ("annotation", "returns", "type_comment", "type_params", "simple")

Function = ast.FunctionDef | ast.AsyncFunctionDef

#: Where a function is: its file and its qualified name, "" for what is outside of any function or class.
Place = tuple[str, str]


class Kind(StrEnum):
    """What a piece is, and so what it means that it ran."""

    STATEMENT = "statement"  # in a function
    SIGNATURE = "signature"  # runs when its function is called
    DEFAULT = "default"  # runs when a call leaves it out
    OUTER = "outer"  # of a module or a class: an import runs it, so what counts is who reads its names
    CLASS = "class"  # its name and bases: runs when one of its methods does


@dataclass(frozen=True)
class Piece:
    """A part of a build's source.

    Attributes:
        place: the function or class that it is in.
        text: what it does, comparable; without its block.
        first, last: its lines, from 1.
        names: of an outer one, what it defines; of a default, its parameter.
        node: where it is in the syntax tree.
    """

    place: Place
    kind: Kind
    text: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    node: ast.AST = field(default_factory=ast.Pass, compare=False, repr=False)

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names and attributes that it reads."""
        nodes = [part for child in _own(self.node) for part in ast.walk(child)]
        names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


@dataclass(frozen=True)
class Source:
    """A build's source.

    Attributes:
        trees: file -> its syntax tree.
        pieces: of all files, in order; the number of a piece is its probe's.
        unread: file -> why it is not among them: no Python, or another kind of file that Python imports.
    """

    trees: Mapping[str, ast.Module]
    pieces: tuple[Piece, ...]
    unread: Mapping[str, str]

    @cached_property
    def numbers(self) -> Mapping[int, int]:
        """The identity of a piece -> its number."""
        return {id(piece): number for number, piece in enumerate(self.pieces)}

    @cached_property
    def defined(self) -> Mapping[str, frozenset[str]]:
        """File -> the names that it defines or imports outside of any function or class."""
        found: dict[str, set[str]] = defaultdict(set)
        for piece in self.pieces:
            if piece.kind is Kind.OUTER and not piece.place[1]:
                found[piece.place[0]].update(piece.names)
        return {file: frozenset(names) for file, names in found.items()}


def source(build: builds.Overlay) -> Source:
    """Return a build's source. It is read once, and shared: do not change its trees."""
    return _source(build.path, build.digest)


@cache
def _source(folder: Path, _digest: str) -> Source:
    trees, unread = {}, {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "__pycache__" in path.parts or name.partition("/")[0].endswith(".dist-info"):
            continue
        if path.suffix in (".so", ".pyd", ".pyc", ".pth"):
            unread[name] = "it is no source"
        elif path.suffix == ".py":
            try:
                trees[name] = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                unread[name] = f"it does not parse: {type(error).__name__}"
    pieces = tuple(piece for name, tree in trees.items() for piece in _outer(tree.body, (name, "")))
    return Source(trees, pieces, unread)


# --- pieces --------------------------------------------------------------------------------------


def _outer(block: Iterable[ast.AST], place: Place) -> Iterator[Piece]:
    """Yield the pieces of a module's or a class's block."""
    for node in block:
        if isinstance(node, Function | ast.ClassDef):
            yield from _definition(node, place)
        elif not _is_silent(node):
            yield _piece(node, place, Kind.OUTER, names=tuple(sorted(_defined(node))))
            yield from _outer(_inner(node), place)


def _definition(node: Function | ast.ClassDef, above: Place) -> Iterator[Piece]:
    place = (above[0], f"{above[1]}.{node.name}".lstrip("."))
    if isinstance(node, ast.ClassDef):
        yield _piece(node, place, Kind.CLASS)
        yield from _outer(node.body, place)
        return
    arguments = node.args
    known = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    known += filter(None, (arguments.vararg, arguments.kwarg))
    text = repr(([p.arg for p in known], [ast.dump(each) for each in node.decorator_list], type(node).__name__))
    yield Piece(place, Kind.SIGNATURE, text, node.lineno, _before_block(node), node=node)
    for parameter, siblings, index in defaults(node):
        default = siblings[index]
        text, last = f"{parameter}={ast.dump(default)}", default.end_lineno or default.lineno
        yield Piece(place, Kind.DEFAULT, text, default.lineno, last, (parameter,), default)
    yield from _statements(node.body, place)


def defaults(node: Function) -> Iterator[tuple[str, list[ast.expr], int]]:
    """Yield each parameter that has a default, and where that is in the syntax tree: a list, and its place there."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    owners = positional[len(positional) - len(arguments.defaults) :]
    yield from ((owner.arg, arguments.defaults, index) for index, owner in enumerate(owners))
    for index, owner in enumerate(arguments.kwonlyargs):
        if arguments.kw_defaults[index] is not None:
            yield owner.arg, cast("list[ast.expr]", arguments.kw_defaults), index


def _statements(block: Iterable[ast.AST], place: Place, depth: int = 0) -> Iterator[Piece]:
    """Yield the pieces of a function's block; how deep each stands is part of what it does."""
    for node in block:
        if isinstance(node, Function | ast.ClassDef):
            yield from _definition(node, place)
        elif not _is_silent(node):
            yield _piece(node, place, Kind.STATEMENT, prefix=f"{depth} ")
            for name in _BLOCKS:
                inner = getattr(node, name, None) or []
                yield from _statements(inner, place, depth + 1 + _BLOCKS.index(name) * 100)


def _piece(node: ast.AST, place: Place, kind: Kind, *, prefix: str = "", names: tuple[str, ...] = ()) -> Piece:
    text = f"{prefix}{_name(node)}({', '.join(map(ast.dump, _own(node)))}{_said(node)})"
    first = getattr(node, "lineno", 0) or getattr(getattr(node, "pattern", None), "lineno", 1)
    return Piece(place, kind, text, first, max(_before_block(node), first), names, node)


def _name(node: ast.AST) -> str:
    """Return a statement's kind. `x: int = 1` does what `x = 1` does."""
    return "Assign" if isinstance(node, ast.AnnAssign) else type(node).__name__


def _own(node: ast.AST) -> list[ast.AST]:
    """Return what is inside a statement, without its block and its annotations."""
    if isinstance(node, Function):
        return [node.args, *node.decorator_list]
    values = [value for name, value in ast.iter_fields(node) if name not in (*_BLOCKS, *_SILENT)]
    return [each for value in values for each in (value if isinstance(value, list) else [value]) if _is_node(each)]


def _said(node: ast.AST) -> str:
    """Return the plain values of a statement: names that it imports, is called by, or declares."""
    values = {
        name: value
        for name, value in ast.iter_fields(node)
        if name not in (*_BLOCKS, *_SILENT, "decorator_list") and not _is_node(value)
    }
    plain = {
        name: value for name, value in values.items() if not (isinstance(value, list) and any(map(_is_node, value)))
    }
    return f" {plain}" if any(plain.values()) else ""


def _is_node(value: object) -> bool:
    return isinstance(value, ast.AST)


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    for name in _BLOCKS:
        yield from getattr(node, name, None) or []


def _before_block(node: ast.AST) -> int:
    """Return the last line of a statement without its block."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return max(getattr(body[0], "lineno", 1) - 1, getattr(node, "lineno", 1))
    return getattr(node, "end_lineno", 0) or getattr(node, "lineno", 1)


def _is_silent(node: ast.AST) -> bool:
    """Return whether a statement does nothing: a docstring, an annotation, `pass`."""
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return True
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _defined(node: ast.AST) -> set[str]:
    """Return the names that a statement of a module or a class defines, or changes."""
    nodes = [*ast.walk(node)]
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {n.name for n in nodes if isinstance(n, Function | ast.ClassDef)}
    stored = [n for n in nodes if isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store)]
    names |= {n.value.id for n in stored if isinstance(n.value, ast.Name)}
    names |= {n.attr for n in stored if isinstance(n, ast.Attribute)}
    aliases = [alias for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for alias in n.names]
    return names | {(alias.asname or alias.name).partition(".")[0] for alias in aliases}


# --- two builds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """What two builds do not share.

    Attributes:
        gone: pieces of the base.
        new: pieces of the candidate.
        replaced: for each of these, the base's pieces in whose place it stands.
        unread: file -> why it is not known what changed in it.
    """

    gone: tuple[Piece, ...] = ()
    new: tuple[Piece, ...] = ()
    replaced: tuple[tuple[Piece, ...], ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.gone or self.new or self.unread)

    @property
    def places(self) -> tuple[Place, ...]:
        """The functions and classes that changed, in the order of the candidate's source."""
        return tuple(dict.fromkeys(piece.place for piece in (*self.new, *self.gone)))


@cache
def changes(base: builds.Overlay, candidate: builds.Overlay) -> Changes:
    """Return the pieces that two builds do not share, and the files that could not be compared."""
    before, after = source(base), source(candidate)
    unread = {name: why for name, why in after.unread.items() if _bytes(base, name) != _bytes(candidate, name)}
    unread |= dict.fromkeys(before.unread.keys() - after.unread.keys(), "it was no source before")
    return replace(compared(before.pieces, after.pieces), unread=unread)


def compared(before: Iterable[Piece], after: Iterable[Piece]) -> Changes:
    """Return the pieces that two sources do not share."""
    old, new = _by_place(before), _by_place(after)
    gone, added, replaced = list[Piece](), list[Piece](), list[tuple[Piece, ...]]()
    for place in dict.fromkeys((*new, *old)):
        one, other = old.get(place, []), new.get(place, [])
        matcher = SequenceMatcher(None, [p.text for p in one], [p.text for p in other], autojunk=False)
        for tag, first, last, start, end in matcher.get_opcodes():
            if tag != "equal":
                gone += one[first:last]
                added += other[start:end]
                replaced += [tuple(one[first:last])] * (end - start)
    return Changes(tuple(gone), tuple(added), tuple(replaced))


def edited(whole: Source, texts: Mapping[str, str]) -> Iterator[Piece]:
    """Yield the pieces of a source in which some files have other texts.

    Raises:
        SyntaxError: one is no Python.
    """
    for name in whole.trees:
        if name in texts:
            yield from _outer(ast.parse(texts[name]).body, (name, ""))
        else:
            yield from (piece for piece in whole.pieces if piece.place[0] == name)


def _by_place(pieces: Iterable[Piece]) -> dict[Place, list[Piece]]:
    found: dict[Place, list[Piece]] = defaultdict(list)
    for piece in pieces:
        found[piece.place].append(piece)
    return found


def _bytes(build: builds.Overlay, name: str) -> bytes | None:
    path = build.path / name
    return path.read_bytes() if path.is_file() else None
