"""The public names of two builds, compared: in their source, which griffe reads, and as they are once imported."""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import griffe

from headcount.builds import Overlay
from headcount.errors import UsageError
from headcount.gate.compare import ApiBreak
from headcount.isolation import Engine
from headcount.untrusted import checked

#: The program that lists what an imported build offers.
_LISTING = Path(__file__).with_name("listing.py")

_PACKAGE = "torch_pruning"

#: Stands for a parameter that takes any name.
_ANY = "**"

#: A path, whether it is gone, and how it changed.
_Broken = tuple[str, bool, str]

logging.getLogger("griffe").setLevel(logging.CRITICAL)  # a source that it cannot read is reported by this module


@dataclass(frozen=True)
class _Offers:
    """The public names that a build offers once it is imported, from the package on, as `listing.py` answers.

    Attributes:
        at: name -> where its code is defined, which several names may share.
        takes: name -> its parameters.
    """

    at: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def api_breaks(
    engine: Engine, base: Overlay, candidate: Overlay, allowed: tuple[str, ...] = ()
) -> tuple[tuple[ApiBreak, ...], tuple[str, ...]]:
    """Return the public names that the candidate removed or changed. One that an alias keeps is not removed.

    Args:
        allowed: names, dotted paths or patterns of removals that are meant.

    Returns:
        The names, and the labels of the builds whose names cannot be listed once they are imported.

    Raises:
        UsageError: a build's source cannot be read.
    """
    before, now = (_imported(engine, build) for build in (base, candidate))
    if now.at and (unlisted := before.at.keys() - now.at.keys()):  # a module's `__getattr__` may make them
        more = _imported(engine, candidate, unlisted)
        now = _Offers({**now.at, **more.at}, {**now.takes, **more.takes})
    in_source = list(_in_source(base, candidate, now))
    found = [*_once_imported(before, now, {path for path, removed, _ in in_source if removed}), *in_source]
    unknown = tuple(build.label for build, offers in ((base, before), (candidate, now)) if not offers.at)
    return tuple(ApiBreak(*broken, _is_allowed(broken[0], allowed)) for broken in found), unknown


def _imported(engine: Engine, build: Overlay, names: Iterable[str] = ()) -> _Offers:
    """Return what a build offers; nothing if it cannot be imported, or hinders it.

    Args:
        names: look for these only, though the build may list them nowhere.
    """
    more = {"HEADCOUNT_NAMES": json.dumps(sorted(names))} if names else None
    with suppress(ValueError, RecursionError):
        answer = engine.run_script(build, _LISTING, recall=True, environment=more).answer
        return checked(_Offers, json.loads(answer), "the listing")
    return _Offers()


def _once_imported(before: _Offers, now: _Offers, known: set[str]) -> Iterator[_Broken]:
    """Yield what is gone without a trace in the source; nothing if what is offered now is unknown.

    Args:
        known: what is gone from the source. A member that its class lost is lost to the class's heirs, too.
    """
    gone = sorted(before.at.keys() - now.at.keys()) if now.at else []
    members = {path.rpartition(".")[2] for path in known}
    for path in gone:
        is_inside = any(path.startswith(f"{outer}.") for outer in gone)
        if not is_inside and path not in known and path.rpartition(".")[2] not in members:
            yield path, True, "no longer there once it is imported"
    for path in sorted(_untaken(before, now) - known):
        yield path, True, "parameter no longer taken"


def _untaken(before: _Offers, now: _Offers) -> set[str]:
    """Return the parameters that are no longer taken, each once: where it is defined, or by its shortest name.

    What has its own definition now is another function, which takes less.
    """
    found: dict[tuple[str, str], str] = {}
    for path in sorted(before.at.keys() & now.at.keys(), key=len):
        where = path if before.at[path] != now.at[path] else now.at[path]
        taken = now.takes.get(path, ())
        for parameter in {*before.takes.get(path, ())} - {*taken, _ANY} if _ANY not in taken else ():
            found.setdefault((now.at[path], parameter), f"{where}({parameter})")
    return set(found.values())


def _in_source(base: Overlay, candidate: Overlay, now: _Offers) -> Iterable[_Broken]:
    """Return what the source no longer says, and is not there by other means: `globals()`, a `__getattr__`."""
    found = {}
    for breakage in griffe.find_breaking_changes(_source(base), _source(candidate)):
        path, kind = breakage.obj.path.removeprefix(f"{_PACKAGE}."), breakage.kind
        if "PARAMETER" in kind.name and (parameter := getattr(breakage.old_value, "name", None)):
            path = f"{path}({parameter})"
        inherited = breakage.obj.is_alias and getattr(breakage.obj, "inherited", False)  # its own class is reported
        if not inherited and not (kind is griffe.BreakageKind.OBJECT_REMOVED and path in now.at):
            found[path, kind] = (path, kind.name.endswith("REMOVED"), kind.value[0].lower() + kind.value[1:])
    return found.values()


def _source(build: Overlay) -> griffe.Object | griffe.Alias:
    try:
        loaded = griffe.load(
            "torch_pruning",
            search_paths=[build.path],
            allow_inspection=False,
            resolve_aliases=True,
            resolve_external=False,
        )
        _open(loaded)
    except (griffe.GriffeError, SyntaxError, ImportError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise UsageError(f"the source of {build.label} cannot be read: {error!r}", "does it compile?") from error
    return loaded


def _open(module: griffe.Object | griffe.Alias) -> None:
    """Count a module's own functions and classes as public, though its `__all__` forgets them: people use them."""
    if isinstance(module, griffe.Alias):
        return
    if module.exports is not None:
        own = [*module.classes.values(), *module.functions.values()]
        module.exports = [*module.exports, *(o.name for o in own if not o.is_alias and not o.name.startswith("_"))]
    for inner in module.modules.values():
        _open(inner)


def _is_allowed(path: str, allowed: tuple[str, ...]) -> bool:
    names = {path, path.partition("(")[0].rpartition(".")[2], *re.findall(r"\((\w+)\)", path)}
    return any(fnmatchcase(name, pattern) for name in names for pattern in allowed)
