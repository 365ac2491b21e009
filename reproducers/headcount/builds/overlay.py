"""Overlays: a folder per build that holds it and nothing else. uv or pip puts it there, without its dependencies.

An overlay is complete or absent: it is made aside, then renamed, and checked against its own digest
each time it is used. Two runs may share one cache.
"""

import compileall
import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from packaging.utils import canonicalize_name
from packaging.version import Version

from headcount import environment, errors, untrusted
from headcount.builds.git import export
from headcount.builds.spec import DISTRIBUTION, RELEASES, Build, Source

_MANIFEST = "headcount-overlay.json"
_LOCK_SECONDS = 600
_NEVER_PART_OF_A_BUILD = shutil.ignore_patterns(".git", "__pycache__", "*.egg-info")
_BESIDE_A_BUILD = ("build", "dist", ".nox", ".venv")

#: Seconds that an installer may take.
_PATIENCE = 900

_VARIABLES = re.compile(
    r"(UV_(?!PUBLISH)|PIP_|SSL_|REQUESTS_CA_|CURL_CA_|XDG_|(HTTPS?|ALL|NO)_PROXY$|HOME$|USERPROFILE$|APPDATA$|LOCALAPPDATA$)",
    re.IGNORECASE,
)

#: What git prints, under any installer.
_NO_REF = re.compile(
    r"couldn't find remote ref|revspec|not our ref|did not match any|unknown revision|Git operation failed"
)

_NO_NETWORK = re.compile(
    r"failed to fetch|connection (error|refused|reset)|newconnectionerror|name resolution|dns error|timed out"
    r"|unreachable|error sending request|network connectivity|nameresolutionerror|proxyerror|offline"
    r"|network was disabled",
    re.IGNORECASE,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Overlay:
    """An installed build: put `path` first on `sys.path` and it is the one that is imported.

    Attributes:
        version: the distribution metadata's; `torch_pruning.__version__` is not to be trusted.
        digest: SHA-256 over the package's files.
        spec: what the user wrote to name it; the label if there is no such text.
    """

    label: str
    path: Path
    version: str
    digest: str
    spec: str = ""


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
        overlay = _obtain(build, folder / key, partial(_install, build, requirement), say)
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
        raise errors.SetupError(
            f"another run has held the lock on {build.label} for {_LOCK_SECONDS} s", f"end it, or delete {folder}"
        ) from None
    except (OSError, subprocess.SubprocessError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            way = "free some, or point HEADCOUNT_CACHE elsewhere"
            raise errors.SetupError(f"{problem}: no space left for {folder}", way) from error
        raise errors.SetupError(f"{problem}: {error}", "HEADCOUNT_CACHE names the folder for overlays") from error


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
            with suppress(OSError, ValueError, KeyError, RecursionError, errors.UsageError):
                known = json.loads((path / _MANIFEST).read_text())
                if (known["digest"], known["version"]) == (package_digest(path), _installed_version(build, path)):
                    return Overlay(build.label, path, known["version"], known["digest"], build.spec)
            say(f"{build.label}: the overlay in the cache is not whole, installing it again")
            shutil.rmtree(path)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
            aside = Path(scratch) / "overlay"
            say(f"{build.label}: installing")
            fill(aside)
            version = _installed_version(build, aside)
            for shipped in list(aside.rglob("__pycache__")):  # Python would use it in place of the source
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


# --- the installer -----------------------------------------------------------------------------


def _install(build: Build, requirement: str, target: Path) -> None:
    command = [*_installer(), "--quiet", "--no-deps", "--target", str(target), requirement]
    done = subprocess.run(  # noqa: S603 - an installer, and no shell
        command, capture_output=True, text=True, env=installer_environment(), timeout=_PATIENCE, check=False
    )
    if done.returncode:
        raise _failed(build, done.stdout + done.stderr)


def installer_environment() -> dict[str, str]:
    """Return the installers' environment: where packages are, and no tokens, since a build's own code may run there.

    uv finds the wheels that pip finds: it does not read pip's variable itself.
    """
    needed = {name: value for name, value in os.environ.items() if _VARIABLES.match(name)}
    if "PIP_FIND_LINKS" in needed:
        needed.setdefault("UV_FIND_LINKS", needed["PIP_FIND_LINKS"])
    return environment.harmless_environment() | needed


def find_uv() -> str | None:
    """Return the uv that nox brought (`$HEADCOUNT_UV`), else the one on PATH."""
    return os.environ.get("HEADCOUNT_UV") or shutil.which("uv")


def _installer() -> list[str]:
    """Return uv's command if there is one, else pip's."""
    if uv := find_uv():
        # Copied, not linked: a build that writes to its own files must not write to uv's cache.
        return [uv, "pip", "install", "--python", sys.executable, "--link-mode", "copy"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    raise errors.SetupError("there is neither uv nor pip to install builds with", 'python -m pip install "nox[uv]"')


def _failed(build: Build, output: str) -> errors.HeadcountError | OSError:
    """Return what an installer's output means."""
    if "No space left on device" in output or "Disk quota" in output:
        return OSError(errno.ENOSPC, "No space left on device")
    reason = _last_line(output)
    if _NO_REF.search(output):
        return errors.UsageError(f"cannot install {build.label}: {reason}", "does it have that commit or branch?")
    if _NO_NETWORK.search(output):
        return errors.SetupError(
            f"cannot install {build.label}: the package index does not answer",
            "go online once, or name a folder of wheels in PIP_FIND_LINKS; builds installed before work offline",
        )
    if build.source is Source.RELEASE:
        hint = f"releases with head pruning are {RELEASES[0]} to {RELEASES[-1]}"
        return errors.UsageError(f"cannot install {build.requirement}: {reason}", hint)
    return errors.UsageError(f"cannot install {build.label}: {reason}", f"try pip install {build.requirement}")


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "no version" in line.lower() or "╰─▶" in line]
    return untrusted.clean((errors or lines or ["the installer gave no reason"])[-1].removeprefix("╰─▶ "))[:300]


def _installed_version(build: Build, path: Path) -> str:
    """Return the version that the metadata in a folder states.

    Raises:
        UsageError: the folder holds another package, or another version than the build names.
    """
    found = {canonicalize_name(d.name): d.version for d in importlib.metadata.distributions(path=[str(path)])}
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
