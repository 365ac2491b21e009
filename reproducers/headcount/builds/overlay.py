"""Overlays: a folder per build that holds it and nothing else.

An overlay is complete or absent: it is made aside, then renamed, and checked against its own digest
each time it is used. Two runs may share one cache.
"""

import compileall
import errno
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from packaging.version import Version

from headcount.builds.git import export
from headcount.builds.install import install, installed_version
from headcount.builds.spec import DISTRIBUTION, RELEASES, Build, Source
from headcount.errors import SetupError, UsageError

_MANIFEST = "headcount-overlay.json"
_LOCK_SECONDS = 600
_NEVER_PART_OF_A_BUILD = shutil.ignore_patterns(".git", "__pycache__", "*.egg-info")
_BESIDE_A_BUILD = ("build", "dist", ".nox", ".venv")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Overlay:
    """An installed build: put `path` first on `sys.path` and it is the one that is imported.

    Attributes:
        version: the distribution metadata's; `torch_pruning.__version__` is not to be trusted.
        digest: SHA-256 over the package's files.
        spec: what the user wrote to name it; the label if nobody did.
    """

    label: str
    path: Path
    version: str
    digest: str
    spec: str = ""

    @property
    def places(self) -> tuple[str, str]:
        """Its folder, as it is named and as it is resolved."""
        return str(self.path), str(self.path.resolve())


def cache_folder() -> Path:
    """Return where overlays and observations are kept: `$HEADCOUNT_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("HEADCOUNT_CACHE") or platformdirs.user_cache_path("headcount"))


def prepare(build: Build, cache: Path | None = None, say: Say = lambda _: None) -> Overlay:
    """Install a build into an overlay, or find the overlay made before.

    Args:
        cache: folder for overlays; `cache_folder()` unless given.
        say: called with a line when something takes time or was repaired.

    Raises:
        UsageError: the build does not exist, does not build, is another package, or has no head pruning.
        SetupError: no network, no space, no installer.
    """
    with _overlays(build, cache) as folder, _sources(build) as (requirement, key):

        def fill(aside: Path) -> None:
            say(f"{build.label}: installing")
            install(build, requirement, aside)

        overlay = _obtain(build, folder / key, fill, say)
    if Version(overlay.version) < Version(RELEASES[0]):
        raise UsageError(
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
        raise UsageError(f"{label} has no package torch_pruning")
    build = Build(label, Source.REF, str(clone), tree, f"{clone}@{label}")

    def fill(aside: Path) -> None:
        export(clone, tree, aside / "torch_pruning")
        info = aside / f"torch_pruning-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n", "utf-8")

    with _overlays(build, cache) as folder:
        return _obtain(build, folder / f"git-{tree[:20]}-{version}", fill, lambda _: None)


@contextmanager
def _overlays(build: Build, cache: Path | None) -> Iterator[Path]:
    """Give the folder of all overlays. What fails meanwhile is an error about this build.

    Raises:
        SetupError: another run holds it, or the disk fails.
    """
    folder = (cache or cache_folder()) / "overlays"
    problem = f"cannot install {build.label}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except Timeout:
        raise SetupError(
            f"another run has held the lock on {build.label} for {_LOCK_SECONDS} s", f"end it, or delete {folder}"
        ) from None
    except (OSError, subprocess.SubprocessError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            way = "free some, or point HEADCOUNT_CACHE elsewhere"
            raise SetupError(f"{problem}: no space left for {folder}", way) from error
        raise SetupError(f"{problem}: {error}", "HEADCOUNT_CACHE names the folder for overlays") from error


@contextmanager
def _sources(build: Build) -> Iterator[tuple[str, str]]:
    """Give what to install, and the key of its content. Checkouts are copied first: building one writes into it."""
    if build.source is Source.RELEASE:
        yield build.requirement, build.requirement.replace("==", "-")
    elif build.source is Source.FILE:
        yield build.requirement, f"file-{_digest([Path(build.requirement)], Path(build.requirement).parent)[:16]}"
    elif build.source is Source.URL:
        # What a URL points at may change: the key is new each time, and the overlay's digest is compared.
        yield f"{DISTRIBUTION} @ {build.requirement}", f"url-{os.urandom(8).hex()}"
    else:
        with tempfile.TemporaryDirectory(prefix="headcount-") as scratch:
            copy = Path(scratch) / "source"
            if build.source is Source.FOLDER:
                # What a link leads to is copied: the key must know its content.
                shutil.copytree(build.requirement, copy, ignore=_left_out, ignore_dangling_symlinks=True)
            else:
                export(Path(build.requirement), build.ref, copy)
            files = sorted(path for path in copy.rglob("*") if path.is_file() and path.suffix != ".pyc")
            yield str(copy), f"tree-{_digest(files, copy)[:16]}"


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return what of a checkout's folder is no part of the build; at its top, where other things lie, more."""
    top = "setup.py" in names or "pyproject.toml" in names
    return set(_NEVER_PART_OF_A_BUILD(folder, names)) | (set(_BESIDE_A_BUILD) & set(names) if top else set())


def _obtain(build: Build, path: Path, fill: Callable[[Path], None], say: Say) -> Overlay:
    """Return the overlay at `path`, made by `fill` if there is none that is whole, under a lock."""
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_SECONDS):
        if path.exists():
            with suppress(OSError, ValueError, KeyError, RecursionError, UsageError):
                known = json.loads((path / _MANIFEST).read_text())
                if (known["digest"], known["version"]) == (package_digest(path), installed_version(build, path)):
                    return Overlay(build.label, path, known["version"], known["digest"], build.spec)
            say(f"{build.label}: the overlay in the cache is not whole, installing it again")
            shutil.rmtree(path)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
            aside = Path(scratch) / "overlay"
            fill(aside)
            version = installed_version(build, aside)
            for shipped in list(aside.rglob("__pycache__")):  # Python would use it, whatever the source says
                shutil.rmtree(shipped)
            compileall.compile_dir(aside, quiet=2)
            digest = package_digest(aside)
            (aside / _MANIFEST).write_text(json.dumps({"build": build.label, "version": version, "digest": digest}))
            aside.replace(path)
        return Overlay(build.label, path, version, digest, build.spec)


def is_whole(overlay: Overlay) -> bool:
    """Return whether its package still is what was installed."""
    try:
        return package_digest(overlay.path) == overlay.digest
    except OSError:
        return False


def package_digest(overlay: Path) -> str:
    """Return SHA-256 over all that can be imported. Metadata is the installer's, and byte code is made here."""

    def counts(path: Path) -> bool:
        top = path.relative_to(overlay).parts[0]
        return not (top.endswith(".dist-info") or top in (".lock", _MANIFEST) or "__pycache__" in path.parts)

    return _digest(sorted(path for path in overlay.rglob("*") if path.is_file() and counts(path)), overlay)


def _digest(files: Iterable[Path], root: Path) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
