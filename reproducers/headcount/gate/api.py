"""The public names of two builds, compared: in their source, which griffe reads, and as they are once imported."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import griffe

from headcount import builds, errors, isolation, untrusted
from headcount.gate.compare import ApiBreak

#: The program that lists what an imported build offers.
_LISTING = Path(__file__).with_name("listing.py")

#: Stands for a parameter that takes any name.
_ANY = "**"

griffe.logger.setLevel("CRITICAL")  # a source that it cannot read is reported by this module


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
    engine: isolation.Engine, base: builds.Overlay, candidate: builds.Overlay, allowed: tuple[str, ...] = ()
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
    in_source = _in_source(base, candidate, now)
    found = [*_once_imported(before, now, {each.path for each in in_source if each.removed}), *in_source]
    return (
        tuple(replace(each, allowed=_is_allowed(each.path, allowed)) for each in found),
        tuple(build.label for build, offers in ((base, before), (candidate, now)) if not offers.at),
    )


def _imported(engine: isolation.Engine, build: builds.Overlay, names: Iterable[str] = ()) -> _Offers:
    """Return what a build offers; nothing if it cannot be imported, or hinders it.

    Args:
        names: look for these only, though the build may list them nowhere.
    """
    wanted = {"HEADCOUNT_NAMES": json.dumps(sorted(names))} if names else None
    try:
        run = engine.run_script(build, _LISTING, recall=True, environment=wanted)
        return untrusted.checked(_Offers, json.loads(run.answer), "the listing")
    except (ValueError, RecursionError):
        return _Offers()


def _once_imported(before: _Offers, now: _Offers, known: set[str]) -> list[ApiBreak]:
    """Return what is gone without a trace in the source; nothing if what is offered now is unknown.

    Args:
        known: what is gone from the source. A member that its class lost is lost to the class's heirs, too.
    """
    gone = before.at.keys() - now.at.keys() if now.at else set()
    members = {path.rpartition(".")[2] for path in known}
    found = {
        path: "no longer there once it is imported"
        for path in sorted(gone)
        if path.rpartition(".")[2] not in members and not any(path.startswith(f"{outer}.") for outer in gone)
    }
    found |= dict.fromkeys(sorted(_untaken(before, now) - known), "parameter no longer taken")
    return [ApiBreak(path, removed=True, what=what) for path, what in found.items()]


def _untaken(before: _Offers, now: _Offers) -> set[str]:
    """Return the parameters that are no longer taken, each once: where it is defined, or by its shortest name.

    A name that is now defined elsewhere is another function, which takes less.
    """
    found: dict[tuple[str, str], str] = {}
    for path in sorted(before.at.keys() & now.at.keys(), key=lambda path: (len(path), path)):
        where, taken = now.at[path], {*now.takes.get(path, ())}
        for parameter in {*before.takes.get(path, ())} - {*taken, _ANY} if _ANY not in taken else ():
            found.setdefault((where, parameter), f"{where if where == before.at[path] else path}({parameter})")
    return set(found.values())


def _in_source(base: builds.Overlay, candidate: builds.Overlay, now: _Offers) -> Collection[ApiBreak]:
    """Return what the source no longer says, and is not there by other means: `globals()`, a `__getattr__`."""
    found = {}
    for breakage in griffe.find_breaking_changes(_source(base), _source(candidate)):
        path, kind = breakage.obj.path.removeprefix("torch_pruning."), breakage.kind
        if "PARAMETER" in kind.name and (parameter := getattr(breakage.old_value, "name", None)):
            path = f"{path}({parameter})"
        inherited = breakage.obj.is_alias and getattr(breakage.obj, "inherited", False)  # its own class is reported
        if not inherited and not (kind is griffe.BreakageKind.OBJECT_REMOVED and path in now.at):
            found[path, kind] = ApiBreak(path, kind.name.endswith("REMOVED"), kind.value[0].lower() + kind.value[1:])
    return found.values()


def _source(build: builds.Overlay) -> griffe.Object | griffe.Alias:
    try:
        return _opened(
            griffe.load(
                "torch_pruning",
                search_paths=[build.path],
                allow_inspection=False,
                resolve_aliases=True,
                resolve_external=False,
            )
        )
    except (griffe.GriffeError, SyntaxError, ImportError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise errors.UsageError(f"the source of {build.label} cannot be read: {error!r}", "does it compile?") from error


def _opened(module: griffe.Object | griffe.Alias) -> griffe.Object | griffe.Alias:
    """Count a module's own functions and classes as public, though its `__all__` forgets them: people use them."""
    if not isinstance(module, griffe.Alias):
        if module.exports is not None:
            own = module.classes | module.functions
            module.exports += [name for name, each in own.items() if not each.is_alias and not name.startswith("_")]
        for inner in module.modules.values():
            _opened(inner)
    return module


def _is_allowed(path: str, allowed: tuple[str, ...]) -> bool:
    names = {path, path.partition("(")[0].rpartition(".")[2], path.rpartition("(")[2].removesuffix(")")}
    return any(fnmatchcase(name, pattern) for name in names for pattern in allowed)
