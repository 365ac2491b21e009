"""Data and text that others wrote: decoded JSON is checked against a dataclass, text is made fit for a line."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_hints = cache(get_type_hints)


def checked(kind: type[T], data: object, where: str) -> T:
    """Return `data` as a `kind`, rebuilt from scratch.

    Args:
        kind: a dataclass of numbers, texts, enums, tuples, mappings and other such, each of which may be `| None`;
            `object` takes anything.
        where: what the data is, for messages.

    Raises:
        ValueError: it is no such value: a field is missing or unknown, or holds a value of another type.
    """
    return cast("T", _rebuilt(kind, data, where))


def _rebuilt(kind: Any, data: object, where: str) -> Any:  # noqa: C901, PLR0911 - a case per kind of type
    if kind is object or (kind in (int, str, bool) and type(data) is kind):
        return data
    origin, args = get_origin(kind), get_args(kind)
    if NoneType in args:
        return None if data is None else _rebuilt(next(arg for arg in args if arg is not NoneType), data, where)
    if origin is tuple and isinstance(data, list | tuple):
        if args[0] in (int, str) and set(map(type, data)) == {args[0]}:
            return tuple(data)  # by far the most of it
        return tuple(_rebuilt(args[0], item, where) for item in data)
    if origin is Mapping and isinstance(data, dict):
        return {_rebuilt(args[0], key, where): _rebuilt(args[1], value, where) for key, value in data.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(data, str):
        return kind(data)
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__") and isinstance(data, dict):
        hints = _hints(kind)
        if unknown := data.keys() - hints.keys():
            raise ValueError(f"{where} has unknown fields {sorted(map(repr, unknown))[:3]}")
        if missing := hints.keys() - _defaults(kind).keys() - data.keys():
            raise ValueError(f"{where} lacks {min(missing)}")
        return kind(**{key: _rebuilt(hints[key], value, f"{where}.{key}") for key, value in data.items()})
    if (
        kind is float
        and isinstance(data, int | float)
        and not isinstance(data, bool)
        and (abs(data) <= sys.float_info.max or data == math.inf)  # no nan, and no integer beyond all floats
    ):
        return float(data)
    raise ValueError(f"{where} holds a {type(data).__name__} where none belongs")


def placeless(text: str, folders: Iterable[str]) -> str:
    """Return text with paths below these folders made relative: where they lie differs from run to run."""
    for folder in folders:
        text = text.replace(f"{folder}{os.sep}", "")
    return text


def clean(text: str) -> str:
    """Return one line of printable characters, without what an old CI runner takes for a command."""
    return "".join(c if c.isprintable() else " " for c in text)[:500].replace("##[", "# #[")


def encoded(value: object) -> str:
    """Return a value as JSON in one line; of each dataclass in it, the fields that differ from their defaults."""
    return json.dumps(value, default=plain, separators=(",", ":"))


def plain(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields that differ from their defaults; their values stay as they are."""
    defaults = _defaults(value.__class__)
    return {name: item for name, item in vars(value).items() if name not in defaults or item != defaults[name]}


@cache
def _defaults(kind: Any) -> dict[str, object]:
    fixed = {f.name: f.default for f in fields(kind) if f.default is not MISSING}
    return fixed | {f.name: f.default_factory() for f in fields(kind) if f.default_factory is not MISSING}
