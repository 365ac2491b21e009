"""Which Torch-Pruning: anything pip can install, as an overlay folder that holds it and nothing else.

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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from headcount.environment import git_environment, harmless_environment
from headcount.errors import HeadcountError, SetupError, UsageError
from headcount.untrusted import clean

DISTRIBUTION = canonicalize_name("torch-pruning")

#: Every release with head pruning, oldest first.
RELEASES = (
    *(f"1.3.{n}" for n in range(8)),
    *(f"1.4.{n}" for n in range(4)),
    *(f"1.5.{n}" for n in range(4)),
    "1.6.0",
    "1.6.1",
)

_MANIFEST = "headcount-overlay.json"
_LOCK_SECONDS = 600

#: Seconds that an installer may take.
_INSTALL_SECONDS = 900
_NEVER_PART_OF_A_BUILD = shutil.ignore_patterns(".git", "__pycache__", "*.egg-info")
_BESIDE_A_BUILD = ("build", "dist", ".nox", ".venv")


class Source(Enum):
    """Where a build comes from."""

    RELEASE = "release"
    FILE = "wheel or sdist"
    FOLDER = "checkout"
    REF = "ref of a local clone"
    URL = "URL"


@dataclass(frozen=True)
class Build:
    """One Torch-Pruning as the user named it.

    Attributes:
        label: its name in test ids and tables.
        requirement: what the installer is given; for REF, the clone's path.
        ref: for REF, the commit, tag or branch.
        spec: what the user wrote, so that a command to run it again can be given.
    """

    label: str
    source: Source
    requirement: str
    ref: str = ""
    spec: str = field(default="", compare=False)


@dataclass(frozen=True)
class Overlay:
    """An installed build: put `path` first on `sys.path` and it is the one that is imported.

    Attributes:
        version: the distribution metadata's; `torch_pruning.__version__` is not to be trusted.
        digest: SHA-256 over the package's files.
        spec: what the user wrote to name it; the label if no one did.
    """

    label: str
    path: Path
    version: str
    digest: str
    spec: str = ""

    @property
    def places(self) -> tuple[str, str]:
        """Its folder, as it is named and as it is."""
        return str(self.path), str(self.path.resolve())


def parse(spec: str) -> Build:
    """The build that `spec` names: `1.4.1`, a wheel, an sdist, a checkout, `CLONE@REF` or a URL.

    Raises:
        UsageError: it names none.
    """
    return replace(_parsed(spec), spec=spec)


def _parsed(spec: str) -> Build:
    path = Path(spec).expanduser()
    if path.is_file():
        return Build(_label(path.name.removesuffix(".whl").removesuffix(".tar.gz")), Source.FILE, str(path.resolve()))
    if path.is_dir():
        return _checkout(path.resolve())
    if "://" in spec:
        return Build(_label(spec.rpartition("/")[2]), Source.URL, spec)
    clone, at, ref = spec.rpartition("@")
    if at and Path(clone).expanduser().is_dir():
        root = Path(clone).expanduser().resolve()
        return Build(_label(f"{root.name}@{ref}"), Source.REF, str(root), ref)
    try:
        version = Version(spec)
    except InvalidVersion:
        raise UsageError(
            f"{spec!r} is no build: there is no such file or folder, and it is no version",
            "give a release like 1.4.1, a wheel, an sdist, a checkout, CLONE@REF or a URL",
        ) from None
    return Build(spec, Source.RELEASE, f"{DISTRIBUTION}=={version}")


def parse_all(specs: Iterable[str]) -> list[Build]:
    """The named builds, each label once; a label that comes twice is numbered.

    Raises:
        UsageError: a spec names no build.
    """
    builds: dict[str, Build] = {}
    for build in dict.fromkeys(map(parse, specs)):
        label, number = build.label, 1
        while label in builds:
            number += 1
            label = f"{build.label}~{number}"
        builds[label] = replace(build, label=label)
    return list(builds.values())


def cache_folder() -> Path:
    """Where overlays are kept: `$HEADCOUNT_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("HEADCOUNT_CACHE") or platformdirs.user_cache_path("headcount"))


def prepare(build: Build, cache: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Overlay:
    """Install a build into an overlay, or find the overlay made before.

    Args:
        cache: folder for overlays; `cache_folder()` unless given.
        say: called with a line when something takes time or was mended.

    Raises:
        UsageError: the build does not exist, does not build, is another package, or has no head pruning.
        SetupError: no network, no space, no installer.
    """
    with _overlays(build, cache) as folder, _sources(build) as (requirement, key), _held(folder / key) as path:
        overlay = _find(build, path, say) or _install(build, requirement, path, say)
    return _with_heads(overlay)


@contextmanager
def _overlays(build: Build, cache: Path | None) -> Iterator[Path]:
    """The folder of all overlays, while one is looked for or made there; what fails is told of that one.

    Raises:
        SetupError: another run holds it, or the disk fails.
    """
    folder = (cache or cache_folder()) / "overlays"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except Timeout:
        raise SetupError(
            f"another run has held the lock on {build.label} for {_LOCK_SECONDS} s", f"end it, or delete {folder}"
        ) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise _cannot_write(build, folder, error) from error


@contextmanager
def _held(path: Path) -> Iterator[Path]:
    """The place of one overlay, which no other run changes meanwhile."""
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_SECONDS):
        yield path


def _with_heads(overlay: Overlay) -> Overlay:
    if Version(overlay.version) < Version(RELEASES[0]):
        raise UsageError(
            f"{overlay.label} is {DISTRIBUTION} {overlay.version}", f"head pruning came with {RELEASES[0]}"
        )
    return overlay


def prepare_tree(clone: Path, tree: str, version: str, label: str, cache: Path | None = None) -> Overlay:
    """The package as a commit of a clone has it, as an overlay: no installer runs, so it takes a moment.

    Args:
        tree: git's name for the content of the package's folder.
        version: what the commit says it is.

    Raises:
        UsageError: the commit has no package.
        SetupError: git or the disk fails.
    """
    if not tree:
        raise UsageError(f"{label} has no package torch_pruning")
    build = Build(label, Source.REF, str(clone), tree, f"{clone}@{label}")
    with _overlays(build, cache) as folder, _held(folder / f"git-{tree[:20]}-{version}") as path:
        return _find(build, path, lambda _: None) or _lay_out(build, version, path)


def _lay_out(build: Build, version: str, path: Path) -> Overlay:
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        aside = Path(scratch) / "overlay"
        _export(build, aside / "torch_pruning")
        info = aside / f"torch_pruning-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n", "utf-8")
        return _finish(build, version, aside, path)


def _finish(build: Build, version: str, aside: Path, path: Path) -> Overlay:
    """Compile, seal and put in place an overlay that was made aside."""
    for shipped in list(aside.rglob("__pycache__")):  # it would be believed, whatever the source says
        shutil.rmtree(shipped)
    compileall.compile_dir(aside, quiet=2)
    digest = package_digest(aside)
    (aside / _MANIFEST).write_text(json.dumps({"build": build.label, "version": version, "digest": digest}))
    aside.replace(path)
    return Overlay(build.label, path, version, digest, build.spec)


def is_whole(overlay: Overlay) -> bool:
    """Whether its package still is what was installed."""
    try:
        return package_digest(overlay.path) == overlay.digest
    except OSError:
        return False


def _checkout(path: Path) -> Build:
    if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        raise UsageError(
            f"{path} is no build: it has no pyproject.toml, setup.py or setup.cfg",
            "name the folder that you would give to pip install",
        )
    return Build(_label(path.name), Source.FOLDER, str(path))


def _label(text: str) -> str:
    """`text` fit for a test id: printable ASCII without brackets, colons or spaces."""
    return re.sub(r"[^A-Za-z0-9._@+-]+", "_", text) or "build"


@contextmanager
def _sources(build: Build) -> Iterator[tuple[str, str]]:
    """What to install, and the key of its content. Checkouts are copied first: building one writes into it."""
    if build.source is Source.RELEASE:
        yield build.requirement, build.requirement.replace("==", "-")
    elif build.source is Source.FILE:
        yield build.requirement, f"file-{_digest([Path(build.requirement)], Path(build.requirement).parent)[:16]}"
    elif build.source is Source.URL:
        # What a URL points at may change: the key is new each time, the overlay's digest tells.
        yield f"{DISTRIBUTION} @ {build.requirement}", f"url-{os.urandom(8).hex()}"
    else:
        with tempfile.TemporaryDirectory(prefix="headcount-") as scratch:
            copy = Path(scratch) / "source"
            if build.source is Source.FOLDER:
                # What a link leads to is copied: the key must know its content.
                shutil.copytree(build.requirement, copy, ignore=_left_out, ignore_dangling_symlinks=True)
            else:
                _export(build, copy)
            yield str(copy), f"tree-{_digest(_files(copy), copy)[:16]}"


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What of a checkout's folder is no part of the build; at its top, where other things lie, more than below."""
    top = "setup.py" in names or "pyproject.toml" in names
    return set(_NEVER_PART_OF_A_BUILD(folder, names)) | (set(_BESIDE_A_BUILD) & set(names) if top else set())


def _export(build: Build, target: Path) -> None:
    """The tree of a ref, by git's plumbing: the clone is neither checked out nor changed."""
    target.mkdir(parents=True)
    git = ["git", "-C", build.requirement]
    if not (shutil.which("git")):
        raise SetupError(f"{build.label} is a ref of a clone, and git is not installed", "install git")
    known = subprocess.run(  # noqa: S603 - git or an installer, and no shell
        [*git, "rev-parse", "--verify", "--quiet", f"{build.ref}^{{tree}}"],
        capture_output=True,
        text=True,
        env=git_environment(),
        check=False,
    )
    if known.returncode:
        raise UsageError(f"{build.requirement} has no ref {build.ref!r}", "git branch --all and git tag list them")
    archive = subprocess.run(  # noqa: S603 - see above
        [*git, "archive", known.stdout.strip()], capture_output=True, env=git_environment(), check=False
    )
    if archive.returncode:
        raise SetupError(f"git cannot export {build.label}: {_last_line(archive.stderr.decode('utf-8', 'replace'))}")
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)  # noqa: S603, S607 - tar is where git is


def _find(build: Build, path: Path, say: Callable[[str], None]) -> Overlay | None:
    """The finished overlay at `path`, if it is whole. One that is not is removed."""
    if not path.exists():
        return None
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        if manifest["digest"] == package_digest(path) and manifest["version"] == _installed_version(build, path):
            return Overlay(build.label, path, manifest["version"], manifest["digest"], build.spec)
    except (OSError, ValueError, KeyError, RecursionError, UsageError):
        pass
    say(f"{build.label}: the overlay in the cache is not whole, installing it again")
    shutil.rmtree(path)
    return None


def _install(build: Build, requirement: str, path: Path, say: Callable[[str], None]) -> Overlay:
    say(f"{build.label}: installing")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        aside = Path(scratch) / "overlay"
        _run_installer(build, requirement, aside)
        return _finish(build, _installed_version(build, aside), aside, path)


def _run_installer(build: Build, requirement: str, target: Path) -> None:
    command = [*_installer(), "--quiet", "--no-deps", "--target", str(target), requirement]
    done = subprocess.run(  # noqa: S603 - see above
        command, capture_output=True, text=True, env=installer_environment(), timeout=_INSTALL_SECONDS, check=False
    )
    if done.returncode:
        raise _installer_failed(build, done.stdout + done.stderr)


def installer_environment() -> dict[str, str]:
    """The installers' environment: where packages are, and no tokens, since a build's own code may run there.

    In it uv finds the wheels that pip finds: it does not read pip's variable.
    """
    needed = {name: value for name, value in os.environ.items() if _INSTALLERS.match(name)}
    if "UV_FIND_LINKS" not in needed and "PIP_FIND_LINKS" in needed:
        needed["UV_FIND_LINKS"] = needed["PIP_FIND_LINKS"]
    return harmless_environment() | needed


_INSTALLERS = re.compile(
    r"(UV_(?!PUBLISH)|PIP_|SSL_|REQUESTS_CA_|CURL_CA_|XDG_|(HTTPS?|ALL|NO)_PROXY$|HOME$|USERPROFILE$|APPDATA$|LOCALAPPDATA$)",
    re.IGNORECASE,
)


def find_uv() -> str | None:
    """The uv that nox brought (`$HEADCOUNT_UV`), else the one on PATH."""
    return os.environ.get("HEADCOUNT_UV") or shutil.which("uv")


def _installer() -> list[str]:
    """Uv if there is one, else pip."""
    uv = find_uv()
    if uv:
        # Copied, not linked: a build that writes to its own files must not write to uv's cache.
        return [uv, "pip", "install", "--python", sys.executable, "--link-mode", "copy"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    raise SetupError("there is neither uv nor pip to install builds with", 'python -m pip install "nox[uv]"')


#: What git says of its own, in whatever an installer makes of it.
_NO_REF = re.compile(
    r"couldn't find remote ref|revspec|not our ref|did not match any|unknown revision|Git operation failed"
)

_NO_NETWORK = re.compile(
    r"failed to fetch|connection (error|refused|reset)|newconnectionerror|name resolution|dns error|timed out"
    r"|unreachable|error sending request|network connectivity|nameresolutionerror|proxyerror|offline"
    r"|network was disabled",
    re.IGNORECASE,
)


def _installer_failed(build: Build, output: str) -> HeadcountError:
    if "No space left on device" in output or "Disk quota" in output:
        return _cannot_write(build, cache_folder(), OSError(errno.ENOSPC, "No space left on device"))
    if _NO_REF.search(output):
        return UsageError(f"cannot install {build.label}: {_last_line(output)}", "does it have that commit or branch?")
    if _NO_NETWORK.search(output):
        return SetupError(
            f"cannot install {build.label}: the package index does not answer",
            "go online once, or name a folder of wheels in PIP_FIND_LINKS; builds installed before work offline",
        )
    if build.source is Source.RELEASE:
        return UsageError(
            f"cannot install {build.requirement}: {_last_line(output)}",
            f"releases with head pruning are {RELEASES[0]} to {RELEASES[-1]}",
        )
    return UsageError(f"cannot install {build.label}: {_last_line(output)}", f"try pip install {build.requirement}")


def _cannot_write(build: Build, folder: Path, error: OSError | subprocess.SubprocessError) -> SetupError:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return SetupError(
            f"cannot install {build.label}: no space left for {folder}", "free some, or point HEADCOUNT_CACHE elsewhere"
        )
    return SetupError(f"cannot install {build.label}: {error}", "HEADCOUNT_CACHE names the folder for overlays")


def _installed_version(build: Build, path: Path) -> str:
    """The version that the metadata states.

    Raises:
        UsageError: the folder holds another package, or another version than the one asked for.
    """
    found = {canonicalize_name(d.name): d.version for d in importlib.metadata.distributions(path=[str(path)])}
    if DISTRIBUTION not in found:
        raise UsageError(
            f"{build.label} is {', '.join(found) or 'nothing'}, not {DISTRIBUTION}", "name a build of torch-pruning"
        )
    if not (path / "torch_pruning").is_dir():
        raise UsageError(f"{build.label} holds no package torch_pruning", "name a complete build of torch-pruning")
    version = found[DISTRIBUTION]
    if build.source is Source.RELEASE and Version(version) != Version(build.requirement.partition("==")[2]):
        raise UsageError(
            f"{build.label} was asked for, but {version} was installed", "look at the index or wheels you use"
        )
    return version


def package_digest(overlay: Path) -> str:
    """Of all that can be imported; metadata differs with the installer and the day, and byte code is made here."""
    files = (path for path in overlay.rglob("*") if path.is_file())
    return _digest(sorted(path for path in files if not _is_beside(path.relative_to(overlay))), overlay)


def _is_beside(path: Path) -> bool:
    """Whether it is the installer's, or this harness's own."""
    top = path.parts[0]
    return top.endswith(".dist-info") or top in (".lock", _MANIFEST) or "__pycache__" in path.parts


def _files(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted, but byte code."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _digest(files: Iterable[Path], root: Path) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "no version" in line.lower() or "╰─▶" in line]
    return clean((errors or lines or ["the installer gave no reason"])[-1].removeprefix("╰─▶ "))[:300]
