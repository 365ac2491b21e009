"""What a build offers by name: in its source, which griffe reads without importing it, and once it is imported."""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

import griffe

from headcount.builds import Overlay
from headcount.errors import UsageError
from headcount.untrusted import checked
from headcount.gate.compare import Breach

_REMOVED = (griffe.BreakageKind.OBJECT_REMOVED, griffe.BreakageKind.PARAMETER_REMOVED)
_PACKAGE = "torch_pruning"

logging.getLogger("griffe").setLevel(logging.CRITICAL)  # what it cannot read is told by who asked

#: A program that tells what an imported build offers.
LISTING = Path(__file__).with_name("listing.py")

#: In place of a parameter's name: it takes any.
_ANY = "**"


@dataclass(frozen=True)
class Offer:
    """What an imported build has under a name.

    Attributes:
        at: where its code is defined, from the package on: names may share it.
        takes: its parameters' names.
    """

    at: str
    takes: tuple[str, ...]


@dataclass(frozen=True)
class _Listing:
    """What `listing.py` answers."""

    names: Mapping[str, Offer]


Offers = Mapping[str, Offer]
_NONE: Offers = MappingProxyType({})


def breaches(
    base: Overlay,
    candidate: Overlay,
    allowed: tuple[str, ...] = (),
    offered: Offers = _NONE,
    offers: Offers = _NONE,
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
    told = {
        (path, kind): breakage
        for (path, kind), breakage in told.items()
        # What the source no longer says may be there all the same: `globals()`, `sys.modules`, a `__getattr__`.
        if not _inherited(breakage.obj) and not (kind is griffe.BreakageKind.OBJECT_REMOVED and path in offers)
    }
    seen = {path for (path, kind) in told if kind in _REMOVED}
    last = {path.rpartition(".")[2] for path in seen}  # a member that its class lost is lost to its heirs
    gone = [path for path in _outermost(offered, offers) if path not in seen and path.rpartition(".")[2] not in last]
    unlisted = dict.fromkeys(gone, "no longer there once it is imported")
    unlisted |= {path: "parameter no longer taken" for path in _untaken(offered, offers) if path not in seen}
    return (
        *(Breach(path, True, what, _is_allowed(path, allowed)) for path, what in unlisted.items()),  # noqa: FBT003 - a field
        *(
            Breach(path, kind in _REMOVED, _words(breakage), _is_allowed(path, allowed))
            for (path, kind), breakage in told.items()
        ),
    )


def listed(answer: str) -> Offers:
    """What `listing.py` answered; nothing if the build could not be imported, or hindered it."""
    with suppress(ValueError, RecursionError):
        found = checked(_Listing, json.loads(answer), "what it offers").names
        return {_inner(path): Offer(_inner(offer.at), offer.takes) for path, offer in found.items()}
    return _NONE


def question(paths: Iterable[str]) -> dict[str, str]:
    """The environment in which `listing.py` answers for these names only, which it may list nowhere."""
    return {"HEADCOUNT_NAMES": json.dumps([f"{_PACKAGE}.{path}" for path in sorted(paths)])}


def _inner(path: str) -> str:
    return path.removeprefix(f"{_PACKAGE}.")


def _outermost(offered: Offers, offers: Offers) -> list[str]:
    """The names that are gone, without those inside others that are gone; none if either is not known."""
    gone = sorted(offered.keys() - offers.keys()) if offers else []
    return [name for name in gone if not any(name.startswith(f"{outer}.") for outer in gone)]


def _untaken(offered: Offers, offers: Offers) -> Iterator[str]:
    """The parameters that what kept its name no longer takes, each once: where it is defined, or by its shortest name.

    Under another definition of its own it is another function that takes less.
    """
    found: dict[tuple[str, str], str] = {}
    for path in sorted(offered.keys() & offers.keys(), key=len):
        before, now = offered[path], offers[path]
        for parameter in before.takes:
            if parameter not in (_ANY, *now.takes) and _ANY not in now.takes:
                where = before.at if before.at == now.at else path
                found.setdefault((now.at, parameter), f"{where}({parameter})")
    yield from sorted(found.values())


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
    path = _inner(breakage.obj.path)
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
