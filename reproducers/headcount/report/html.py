"""The document as one page that needs nothing else, with a policy that allows only its own script and style."""

import base64
import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

_PARTS = files("headcount.report").joinpath("page")


def render(document: Mapping[str, Any]) -> str:
    """Return the page. What came from a build is text in it: escaped in the markup, and data to the script."""
    script, style = (_PARTS.joinpath(name).read_text("utf-8") for name in ("page.js", "page.css"))
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        _PARTS.joinpath("page.html.j2").read_text("utf-8")
    )
    shown = {kind for counted in document["counts"].values() for kind in counted}
    return template.render(
        **document,
        kinds=sorted(shown, key=lambda kind: (kind != "ok", kind)),
        data=Markup(_inert(document)),  # noqa: S704 - see there
        script=Markup(script),  # noqa: S704 - our own
        style=Markup(style),  # noqa: S704 - our own
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


def _inert(document: Mapping[str, Any]) -> str:
    """Return JSON in which nothing can end the element that it stands in, nor begin a comment."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
