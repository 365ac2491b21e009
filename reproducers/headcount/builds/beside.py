"""Packages that the base environment lacks: a folder beside it, found first by Python, kept and shared.

uv or pip finds out what is lacking, with the base's torch and transformers as they are unless others are named.
Only that is installed: the base stays as it is, and the rest comes from it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from headcount import environment, errors, scratch, untrusted
from headcount.builds import installer, kept
from headcount.builds.spec import DISTRIBUTION

_MANIFEST = "headcount-beside.json"

#: What a network's packages must not replace unasked: all that is known of releases is known with these.
_HELD = ("torch", "transformers")

#: Seconds that the import of a package may take.
_IMPORT_SECONDS = 300


@dataclass(frozen=True)
class Beside:
    """Packages beside the base environment's.

    Attributes:
        path: the folder that holds them.
        shown: package that was asked for -> its version; and a digest of all versions.
    """

    path: Path
    shown: Mapping[str, str]

    def use(self) -> None:
        """Let this process find them, before torch is imported, and all that it starts."""
        environment.stand_beside(self.path, self.shown)


def prepare_beside(
    asked: Sequence[str], cache: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Beside:
    """Install packages beside the base environment, or find the folder made before.

    Args:
        asked: requirements as pip has them: `timm==1.0.31`.
        cache: folder to keep it in; `kept.cache_folder()` unless given.
        say: called with a line when something takes time or was repaired.

    Raises:
        UsageError: one is no requirement, does not exist, does not fit the base, or cannot be imported.
        SetupError: no network, no space, no installer.
    """
    wanted = sorted({str(_requirement(text)) for text in asked})
    label = " ".join(wanted)
    with kept.folder("beside", label, cache) as folder:
        path = folder / _key(wanted)

        def mend() -> None:
            say(f"{label}: what is kept of it is not whole, installing it again")

        def make(aside: Path) -> Beside:
            say(f"{label}: installing")
            _install(wanted, aside)
            shown = _shown(wanted, aside)
            (aside / _MANIFEST).write_text(json.dumps({"shown": shown, "files": _fingerprint(aside)}), "utf-8")
            return Beside(path, shown)

        return kept.obtain(path, lambda: _kept(path), make, mend)


def _requirement(text: str) -> Requirement:
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise errors.UsageError(f"{text!r} is no package", "name one with its version: timm==1.0.31") from None
    if found.url:
        raise errors.UsageError(f"{text!r} names a place", "name a package with its version: timm==1.0.31")
    if canonicalize_name(found.name) == DISTRIBUTION:
        raise errors.UsageError(f"{text!r} is what is tested", "name builds of it with --build")
    return found


def _key(wanted: Sequence[str]) -> str:
    """Return the name of the content: what was asked for, and all that the base has."""
    base = sorted(f"{d.name}=={d.version}" for d in metadata.distributions())
    parts = (wanted, base, sys.implementation.cache_tag, sys.platform, os.uname().machine)
    return sha256(repr(parts).encode()).hexdigest()[:16]


def _kept(path: Path) -> Beside | None:
    """Return what a folder holds; None if that is not what was installed."""
    try:
        known = untrusted.checked(_Manifest, json.loads(kept.read(path / _MANIFEST)), "manifest")
    except (OSError, ValueError, RecursionError):
        return None
    return Beside(path, known.shown) if known.files == _fingerprint(path) else None


@dataclass(frozen=True)
class _Manifest:
    shown: Mapping[str, str]
    files: str


def _fingerprint(path: Path) -> str:
    """Return a digest of all files' names and sizes: to read gigabytes each time would take longer than a check."""
    files = (
        (str(Path(folder, name).relative_to(path)), Path(folder, name).lstat().st_size)
        for folder, _, names in os.walk(path)
        for name in names
        if not folder.endswith("__pycache__") and name not in (_MANIFEST, ".lock")
    )
    return sha256(repr(sorted(files)).encode()).hexdigest()


# --- the installer -----------------------------------------------------------------------------


def _install(wanted: Sequence[str], target: Path) -> None:
    """Install what the base lacks, and see that what was asked for can be imported."""
    plan = [f"{each.name} @ {each.url}" if each.url else f"{each.name}=={each.version}" for each in _plan(wanted)]
    target.mkdir()
    if plan:
        compiled = ("--compile-bytecode",) if installer.find_uv() else ()  # as pip does unasked
        _check(
            wanted,
            installer.install("--quiet", *compiled, "--no-deps", "--target", str(target), *plan, variables=_backend()),
        )
    for distribution in _asked(wanted, target):
        for module in _modules(distribution):
            _try_import(distribution, module, target)


def _plan(wanted: Sequence[str]) -> list[installer.Planned]:
    """Return what the base lacks."""
    constraints = [f"{name}=={Version(_base(name)).public}" for name in _HELD if name not in _names(wanted)]
    with scratch.folder() as folder:
        file = folder / "constraints.txt"
        file.write_text("\n".join(constraints), "utf-8")
        found, done = installer.plan(wanted, "--constraint", str(file), variables=_backend())
    _check(wanted, done)
    # A package may need Torch-Pruning: each build takes its place.
    return [each for each in found if canonicalize_name(each.name) != DISTRIBUTION]


def _check(wanted: Sequence[str], done: "subprocess.CompletedProcess[str]") -> None:
    """Check that the installer did what it was told.

    Raises:
        UsageError: it finds no way.
        SetupError: no network.
    """
    if not done.returncode:
        return
    label, output = " ".join(wanted), done.stdout + done.stderr
    if installer.NO_NETWORK.search(output):
        raise errors.SetupError(
            f"cannot install {label}: the package index does not answer",
            "go online once, or name a folder of wheels in PIP_FIND_LINKS; what was installed before works offline",
        )
    held = " and ".join(f"{name} {_base(name)}" for name in _HELD if name not in _names(wanted))
    raise errors.UsageError(
        f"cannot install {label}{f' beside {held}' * bool(held)}: {installer.reason(output)}",
        "name other versions, and where they need it a torch of their own: --with torch==VERSION",
    )


def _backend() -> dict[str, str]:
    """Let uv take builds for the base's kind of torch, unless it is told where to look."""
    told = {"UV_TORCH_BACKEND", "UV_FIND_LINKS", "PIP_FIND_LINKS"} & os.environ.keys()
    kind = Version(_base("torch")).local
    return {"UV_TORCH_BACKEND": kind} if kind and not told else {}


def _base(name: str) -> str:
    return next((d.version for d in metadata.distributions(name=name)), "0")


def _names(wanted: Sequence[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in wanted}


# --- what was installed ------------------------------------------------------------------------


def _asked(wanted: Sequence[str], path: Path) -> list[metadata.Distribution]:
    """Return what was asked for, as far as the base lacked it."""
    return [d for d in metadata.distributions(path=[str(path)]) if canonicalize_name(d.name) in _names(wanted)]


def _shown(wanted: Sequence[str], path: Path) -> dict[str, str]:
    everything = sorted(f"{d.name}=={d.version}" for d in metadata.distributions(path=[str(path)]))
    asked: dict[str, str] = {canonicalize_name(d.name): d.version for d in _asked(wanted, path)}
    return {**asked, "beside": sha256(repr(everything).encode()).hexdigest()[:8]}


def _modules(distribution: metadata.Distribution) -> list[str]:
    """Return the module that has a distribution's name; if none has, it is not known which it is for."""
    name = canonicalize_name(distribution.name).replace("-", "_")
    tops = {file.parts[0].removesuffix(".py") for file in distribution.files or ()}
    return [top for top in tops if top.lower() == name and top.isidentifier()]


def _try_import(distribution: metadata.Distribution, module: str, path: Path) -> None:
    """Import a package once, beside the base's.

    Raises:
        UsageError: it cannot be.
    """
    done = subprocess.run(  # noqa: S603 - Python, and no shell
        [sys.executable, "-c", f"import {module}"],
        capture_output=True,
        text=True,
        env=environment.harmless_environment() | {"PYTHONPATH": environment.first_on_path(path)},
        timeout=_IMPORT_SECONDS,
        check=False,
    )
    if done.returncode:
        said = untrusted.clean((done.stderr.strip().splitlines() or ["Python died of it"])[-1])
        raise errors.UsageError(
            f"{distribution.name} {distribution.version} cannot be imported beside torch {_torch(path)}: {said}",
            "name with it what it was built for: --with torch==VERSION",
        )


def _torch(path: Path) -> str:
    return next((d.version for d in metadata.distributions(name="torch", path=[str(path)])), _base("torch"))
