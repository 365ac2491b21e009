"""Overlays: a folder per build that holds it and nothing else. uv or pip puts it there, without its dependencies.

An overlay is complete or absent, and checked against its own digest each time it is used. So is its byte code, which is
made here, and made again where it is not what was made.
"""

import compileall
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from py_compile import PycInvalidationMode

from packaging.utils import canonicalize_name
from packaging.version import Version

from headcount import errors, scratch
from headcount.builds import installer, kept
from headcount.builds.git import export
from headcount.builds.spec import DISTRIBUTION, RELEASES, Build, Source

_MANIFEST = "headcount-overlay.json"

#: What installers write for themselves beside the metadata: it is no part of a build.
_INSTALLERS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")

#: How the names of this Python's byte code are.
_TAG = f".{sys.implementation.cache_tag}."
_BYTE_CODE = f"*{_TAG}*pyc"

#: What git prints, under any installer.
_NO_REF = re.compile(
    r"couldn't find remote ref|revspec|not our ref|did not match any|unknown revision|Git operation failed"
)


#: Of each file: its path, its number on the disk, its size, and when it was changed last, as the system has it.
Seal = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class Overlay:
    """An installed build: put `path` first on `sys.path` and it is the one that is imported.

    Attributes:
        version: the distribution metadata's; `torch_pruning.__version__` is not to be trusted.
        digest: SHA-256 over all its files but what installers write for themselves.
        spec: what the user wrote to name it; the label if there is no such text.
        seal: what no change of its files leaves as it is, from when they were checked; () where nothing is known.
    """

    label: str
    path: Path
    version: str
    digest: str
    spec: str = ""
    seal: Seal = field(default=(), compare=False, repr=False)


def prepare(build: Build, cache: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Overlay:
    """Install a build into an overlay, or find the overlay made before.

    Args:
        cache: folder for overlays; `kept.cache_folder()` unless given.
        say: called with a line when something takes time or was repaired.

    Raises:
        UsageError: the build does not exist, does not build, is another package, or has no head pruning.
        SetupError: no network, no space, no installer.
    """
    with kept.folder("overlays", build.label, cache) as folder, _sources(build) as (requirement, key):
        overlay = _obtain(build, folder / key, lambda target: _install(build, requirement, target), say)
    if Version(overlay.version) < Version(RELEASES[0]):
        raise errors.UsageError(
            f"{overlay.label} is {DISTRIBUTION} {overlay.version}", f"head pruning came with {RELEASES[0]}"
        )
    return overlay


def prepare_tree(clone: Path, tree: str, version: str, label: str, cache: Path | None = None) -> Overlay:
    """Return the package as a commit of a clone has it, as an overlay. No installer runs, so it takes a moment.

    Args:
        tree: git's name for the content of the package's folder.
        version: what the commit states.

    Raises:
        UsageError: the commit has no package.
        SetupError: git or the disk fails.
    """
    if not tree:
        raise errors.UsageError(f"{label} has no package torch_pruning")
    build = Build(label, Source.REF, str(clone), tree, f"{clone}@{label}")

    def fill(aside: Path) -> None:
        export(clone, tree, aside / "torch_pruning")
        info = aside / f"torch_pruning-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n", "utf-8")

    with kept.folder("overlays", build.label, cache) as folder:
        return _obtain(build, folder / f"git-{tree[:20]}-{version}", fill, lambda _: None)


def edited(base: Overlay, label: str, key: str, change: Callable[[Path], None], cache: Path | None = None) -> Overlay:
    """Return a copy of an overlay with its files changed.

    Args:
        key: names the copy's content.
        change: changes the files in the folder that it is given.

    Raises:
        SetupError: the disk fails.
    """
    build = Build(label, Source.FOLDER, str(base.path), spec=base.spec)

    def fill(aside: Path) -> None:
        shutil.copytree(base.path, aside, ignore=shutil.ignore_patterns("__pycache__", _MANIFEST, ".lock"))
        change(aside)

    with kept.folder("overlays", build.label, cache) as folder:
        return _obtain(build, folder / key, fill, lambda _: None)


@contextmanager
def _sources(build: Build) -> Iterator[tuple[str, str]]:
    """Give what to install, and the key of its content. Checkouts are copied first: building one writes into it."""
    match build.source:
        case Source.RELEASE:
            yield build.requirement, build.requirement.replace("==", "-")
        case Source.FILE:
            yield build.requirement, f"file-{_digest([Path(build.requirement)], Path(build.requirement).parent)[:16]}"
        case Source.URL:
            # What a URL points at may change: the key is new each time, and the overlay's digest is compared.
            yield f"{DISTRIBUTION} @ {build.requirement}", f"url-{os.urandom(8).hex()}"
        case Source.FOLDER | Source.REF:
            with scratch.folder() as aside:
                copy = aside / "source"
                if build.source is Source.FOLDER:
                    # What a link leads to is copied: the key must know its content.
                    shutil.copytree(build.requirement, copy, ignore=_left_out, ignore_dangling_symlinks=True)
                else:
                    export(Path(build.requirement), build.ref, copy)
                files = sorted(path for path in copy.rglob("*") if path.is_file() and path.suffix != ".pyc")
                yield str(copy), f"tree-{_digest(files, copy)[:16]}"


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return what of a checkout's folder is no part of the build; at its top, where other things lie, more."""
    beside = ("build", "dist", ".nox", ".venv") if {"setup.py", "pyproject.toml"} & set(names) else ()
    odd = {name for name in names if not _is_content(Path(folder, name))}
    return odd | shutil.ignore_patterns(".git", "__pycache__", "*.egg-info", *beside)(folder, names)


def _is_content(path: Path) -> bool:
    """Return whether a path is a file, or a folder that does not hold itself; no pipe, socket or link to nowhere."""
    try:
        around = path.parent.resolve()
        return path.is_file() or (path.is_dir() and not around.is_relative_to(path.resolve()))
    except (OSError, RuntimeError):  # a loop of links
        return False


def _obtain(build: Build, path: Path, fill: Callable[[Path], None], say: Callable[[str], None]) -> Overlay:
    """Return the overlay at `path`, made by `fill` if there is none that is whole."""

    def mend() -> Overlay | None:
        found = _healed(build, path, say)
        if found is None:
            say(f"{build.label}: the overlay in the cache is not whole, installing it again")
        return found

    def make(aside: Path) -> Overlay:
        say(f"{build.label}: installing")
        fill(aside)
        version = _installed_version(build, aside)
        for shipped in list(aside.rglob("__pycache__")):  # Python would use it in place of the source
            shutil.rmtree(shipped)
        digest = package_digest(aside)
        _compile(aside, {"build": build.label, "version": version, "digest": digest})
        return Overlay(build.label, path, version, digest, build.spec, _seal(aside))

    return kept.obtain(path, lambda: _known(build, path), make, mend)


def _known(build: Build, path: Path, *, byte_code: bool = True) -> Overlay | None:
    """Return the overlay at `path` if it is whole, with its byte code unless that does not matter."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError, errors.UsageError):
        known, seal = json.loads(kept.read(path / _MANIFEST)), _seal(path)
        # In this order: files are read only if the digest holds.
        whole = known["digest"] == package_digest(path) and known["version"] == _installed_version(build, path)
        if whole and (not byte_code or known["byte code"].get(sys.implementation.cache_tag) == _byte_code_digest(path)):
            return Overlay(build.label, path, known["version"], known["digest"], build.spec, seal)
    return None


def _healed(build: Build, path: Path, say: Callable[[str], None]) -> Overlay | None:
    """Return the overlay at `path` with its byte code made anew, if all else of it is whole."""
    if not (known := _known(build, path, byte_code=False)):
        return None
    manifest = json.loads(kept.read(path / _MANIFEST))
    if sys.implementation.cache_tag in (manifest.get("byte code") or {}):  # else it is of another Python
        say(f"{build.label}: its byte code is not what was made, making it again")
    _compile(path, manifest)
    return replace(known, seal=_seal(path))


def _compile(path: Path, manifest: dict[str, object]) -> None:
    """Make the byte code, which Python holds against its source, and then write down what it is."""
    for old in list(path.rglob(_BYTE_CODE)):
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    compileall.compile_dir(path, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    known = manifest.get("byte code")
    others = known if isinstance(known, dict) else {}
    manifest["byte code"] = others | {sys.implementation.cache_tag: _byte_code_digest(path)}
    aside = path / f"{_MANIFEST}.new"
    aside.write_text(json.dumps(manifest))
    aside.replace(path / _MANIFEST)


def is_whole(overlay: Overlay) -> bool:
    """Return whether its package still is what was installed."""
    try:
        return package_digest(overlay.path) == overlay.digest
    except OSError:
        return False


def has_changed(overlay: Overlay) -> bool:
    """Return whether a file was changed since the overlay was checked, even if it is as before again. Takes no time."""
    try:
        return overlay.seal != () and _seal(overlay.path) != overlay.seal
    except OSError:
        return True


def _seal(folder: Path) -> Seal:
    return tuple(sorted(_sealed(str(folder), "")))


def _sealed(folder: str, inside: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield what seals a folder: all files but our own notes, and other Pythons' byte code."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{inside}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _sealed(entry.path, name)
            elif not name.startswith(f"/{_MANIFEST}") and (not name.endswith(".pyc") or _TAG in name):
                state = entry.stat(follow_symlinks=False)
                yield name, state.st_ino, state.st_size, state.st_ctime_ns


def package_digest(overlay: Path) -> str:
    """Return SHA-256 over all that can be imported: every file but the installer's own notes and the byte code."""
    own = {overlay / ".lock", overlay / _MANIFEST, overlay / f"{_MANIFEST}.new"}
    own |= {path for name in _INSTALLERS for path in overlay.glob(f"*.dist-info/{name}")}
    files = sorted(path for path in overlay.rglob("*") if path.is_file() and not _is_byte_code(path))
    return _digest((path for path in files if path not in own), overlay)


def _is_byte_code(path: Path) -> bool:
    return path.parent.name == "__pycache__" and path.suffix == ".pyc"


def _byte_code_digest(overlay: Path) -> str:
    return _digest(sorted(path for path in overlay.rglob(_BYTE_CODE) if path.is_file()), overlay)


def _digest(files: Iterable[Path], root: Path) -> str:
    entries = (
        str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest() for path in files
    )
    return hashlib.sha256(b"".join(entries)).hexdigest()


# --- the installer -----------------------------------------------------------------------------


def _install(build: Build, requirement: str, target: Path) -> None:
    # Copied, not linked: a build that writes to its own files must not write to uv's cache.
    copied = ("--link-mode", "copy") if installer.find_uv() else ()
    done = installer.install(*copied, "--quiet", "--no-deps", "--target", str(target), requirement)
    if done.returncode:
        raise _failed(build, done.stdout + done.stderr)


def _failed(build: Build, output: str) -> errors.HeadcountError:
    reason = installer.reason(output)
    if _NO_REF.search(output):
        return errors.UsageError(f"cannot install {build.label}: {reason}", "does it have that commit or branch?")
    if installer.NO_NETWORK.search(output):
        return errors.SetupError(
            f"cannot install {build.label}: the package index does not answer",
            "go online once, or name a folder of wheels in PIP_FIND_LINKS; builds installed before work offline",
        )
    if build.source is Source.RELEASE:
        return errors.UsageError(
            f"cannot install {build.requirement}: {reason}",
            f"releases with head pruning are {RELEASES[0]} to {RELEASES[-1]}",
        )
    return errors.UsageError(f"cannot install {build.label}: {reason}", f"try pip install {build.requirement}")


def _installed_version(build: Build, path: Path) -> str:
    """Return the version that the metadata in a folder states.

    Raises:
        UsageError: the folder holds another package, or another version than the build names.
    """
    found: dict[str, str] = {
        canonicalize_name(d.name): d.version for d in metadata.distributions(path=[str(path)]) if d.name
    }
    if DISTRIBUTION not in found:
        raise errors.UsageError(
            f"{build.label} is {', '.join(found) or 'nothing'}, not {DISTRIBUTION}", "name a build of torch-pruning"
        )
    if not (path / "torch_pruning").is_dir():
        raise errors.UsageError(
            f"{build.label} holds no package torch_pruning", "name a complete build of torch-pruning"
        )
    version = found[DISTRIBUTION]
    if build.source is Source.RELEASE and Version(version) != Version(build.requirement.partition("==")[2]):
        raise errors.UsageError(
            f"{version} was installed in place of {build.label}", "look at the index or wheels you use"
        )
    return version
