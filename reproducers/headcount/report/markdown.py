"""Markdown from templates. What a build says is untrusted: it stays text, whatever markup it tries to be."""

import re
from collections.abc import Callable, Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from headcount.untrusted import clean


def render(template: str, filters: Mapping[str, Callable[..., str]] | None = None, **values: object) -> str:
    """Return a template of this package, filled in; it ends with one line break.

    Args:
        template: the file's name. `code_span`, `fenced` and `clean` are its filters.
        filters: more of them.
    """
    environment = Environment(  # noqa: S701 - no HTML
        loader=PackageLoader("headcount.report", ""), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"code_span": code_span, "fenced": fenced, "clean": clean, **(filters or {})}
    return environment.get_template(template).render(values).rstrip() + "\n"


def code_span(untrusted: str) -> str:
    """Return it as code in one line, with more backticks around than it has inside."""
    inside = clean(untrusted).strip() or " "
    ticks = _ticks(inside)
    return f"{ticks} {inside} {ticks}" if "`" in inside else f"`{inside}`"


def fenced(content: str, language: str) -> str:
    """Return it as a block of code, whatever it holds; "" if it is empty."""
    fence = _ticks(content, least=3)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}" if content else ""


def _ticks(inside: str, least: int = 1) -> str:
    return "`" * max(least, 1 + max(map(len, re.findall("`+", inside)), default=0))
