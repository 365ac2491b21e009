"""A build runs in a process of its own: forked, confined, limited, and replaced when it fails.

Public names: `Engine`, `Cache`. They are found when they are used, since the isolated process needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headcount.isolation.cache import Cache
    from headcount.isolation.engine import Engine

__all__ = ["Cache", "Engine"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.lower()}"), name)
