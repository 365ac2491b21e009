"""What a build offers by name: read from its source by griffe, which imports nothing."""

import json
import logging
import re
from collections.abc import Collection
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import griffe

from headcount.builds import Overlay
from headcount.errors import UsageError
from headcount.gate import Breach

_REMOVED = (griffe.BreakageKind.OBJECT_REMOVED, griffe.BreakageKind.PARAMETER_REMOVED)
_PACKAGE = "torch_pruning"

logging.getLogger("griffe").setLevel(logging.CRITICAL)  # what it cannot read is told by who asked

#: A program that tells what an imported build offers.
LISTING = Path(__file__).with_name("listing.py")


def breaches(
    base: Overlay,
    candidate: Overlay,
    allowed: tuple[str, ...] = (),
    offered: Collection[str] = (),
    offers: Collection[str] = (),
) -> tuple[Breach, ...]:
    """The public names and signatures that the candidate removed or changed; one that an alias keeps is not removed.

    Args:
        allowed: names, dotted paths or patterns of removals that are meant.
        offered, offers: what the two packages offer once they are imported; nothing where that fails.

    Raises:
        UsageError: a build's source cannot be read.
    """
    found = griffe.find_breaking_changes(_interface(base), _interface(candidate))
    told = {(_path(breakage), breakage.kind): breakage for breakage in found}
    seen = {path for (path, kind), breakage in told.items() if kind in _REMOVED and not _inherited(breakage.obj)}
    last = {path.rpartition(".")[2] for path in seen}  # a member that its class lost is lost to its heirs
    gone = [path for path in _outermost(offered, offers) if path not in seen and path.rpartition(".")[2] not in last]
    unlisted = [Breach(path, True, "no longer there once it is imported", _is_allowed(path, allowed)) for path in gone]  # noqa: FBT003 - a field
    return *unlisted, *(
        Breach(path, kind in _REMOVED, _words(breakage), _is_allowed(path, allowed))
        for (path, kind), breakage in told.items()
        if not _inherited(breakage.obj)
    )


def names(answer: str) -> frozenset[str]:
    """What `listing.py` answered; nothing if the build could not be imported, or hindered it."""
    with suppress(ValueError, RecursionError):
        found = json.loads(answer)
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return frozenset(name.partition(".")[2] for name in found)
    return frozenset()


def _outermost(offered: Collection[str], offers: Collection[str]) -> list[str]:
    """The names that are gone, without those inside others that are gone; none if either is not known."""
    gone = sorted(set(offered) - set(offers)) if offers else []
    return [name for name in gone if not any(name.startswith(f"{outer}.") for outer in gone)]


def _interface(overlay: Overlay) -> griffe.Object | griffe.Alias:
    try:
        loaded = griffe.load(
            _PACKAGE,
            search_paths=[overlay.path],
            allow_inspection=False,
            resolve_aliases=True,
            resolve_external=False,
        )
        if isinstance(loaded, griffe.Object):
            _open(loaded)
    except (griffe.GriffeError, SyntaxError, ImportError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise UsageError(f"the source of {overlay.label} cannot be read: {error!r}", "does it compile?") from error
    return loaded


def _open(module: griffe.Object) -> None:
    """Take a module's own functions and classes for public, though its `__all__` forgets them: people use them."""
    if module.exports is not None:
        own = [*module.classes.values(), *module.functions.values()]
        module.exports = [*module.exports, *(o.name for o in own if not o.is_alias and not o.name.startswith("_"))]
    for inner in module.modules.values():
        if isinstance(inner, griffe.Object):
            _open(inner)


def _path(breakage: griffe.Breakage) -> str:
    """Where it stands, without the package's own name; with the parameter, if it is one."""
    path = breakage.obj.path.removeprefix(f"{_PACKAGE}.")
    parameter = getattr(breakage.old_value, "name", None) if "PARAMETER" in breakage.kind.name else None
    return f"{path}({parameter})" if parameter else path


def _words(breakage: griffe.Breakage) -> str:
    return breakage.kind.value[0].lower() + breakage.kind.value[1:]


def _inherited(found: griffe.Object | griffe.Alias) -> bool:
    """Whether it is another class's: that one is told of."""
    return found.is_alias and getattr(found, "inherited", False)


def _is_allowed(path: str, allowed: tuple[str, ...]) -> bool:
    names = {path, path.partition("(")[0].rpartition(".")[2], *re.findall(r"\((\w+)\)", path)}
    return any(fnmatchcase(name, pattern) for name in names for pattern in allowed)
