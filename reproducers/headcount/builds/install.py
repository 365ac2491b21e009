"""The installer: uv or pip puts a build into a folder of its own, without its dependencies."""

import errno
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from headcount.builds.spec import DISTRIBUTION, RELEASES, Build, Source
from headcount.environment import harmless_environment
from headcount.errors import HeadcountError, SetupError, UsageError
from headcount.untrusted import clean

#: Seconds that an installer may take.
_PATIENCE = 900

_VARIABLES = re.compile(
    r"(UV_(?!PUBLISH)|PIP_|SSL_|REQUESTS_CA_|CURL_CA_|XDG_|(HTTPS?|ALL|NO)_PROXY$|HOME$|USERPROFILE$|APPDATA$|LOCALAPPDATA$)",
    re.IGNORECASE,
)

#: What git prints, whatever installer runs it.
_NO_REF = re.compile(
    r"couldn't find remote ref|revspec|not our ref|did not match any|unknown revision|Git operation failed"
)

_NO_NETWORK = re.compile(
    r"failed to fetch|connection (error|refused|reset)|newconnectionerror|name resolution|dns error|timed out"
    r"|unreachable|error sending request|network connectivity|nameresolutionerror|proxyerror|offline"
    r"|network was disabled",
    re.IGNORECASE,
)


def install(build: Build, requirement: str, target: Path) -> None:
    """Install a build into a folder.

    Raises:
        UsageError: there is no such build, or it does not build.
        SetupError: there is no network, or no installer.
        OSError: there is no space left.
    """
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
    return harmless_environment() | needed


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
    raise SetupError("there is neither uv nor pip to install builds with", 'python -m pip install "nox[uv]"')


def _failed(build: Build, output: str) -> HeadcountError | OSError:
    """Return what an installer's output means."""
    if "No space left on device" in output or "Disk quota" in output:
        return OSError(errno.ENOSPC, "No space left on device")
    problem, hint = f"cannot install {build.label}: {_last_line(output)}", f"try pip install {build.requirement}"
    if _NO_REF.search(output):
        return UsageError(problem, "does it have that commit or branch?")
    if _NO_NETWORK.search(output):
        return SetupError(
            f"cannot install {build.label}: the package index does not answer",
            "go online once, or name a folder of wheels in PIP_FIND_LINKS; builds installed before work offline",
        )
    if build.source is Source.RELEASE:
        problem = f"cannot install {build.requirement}: {_last_line(output)}"
        hint = f"releases with head pruning are {RELEASES[0]} to {RELEASES[-1]}"
    return UsageError(problem, hint)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "no version" in line.lower() or "╰─▶" in line]
    return clean((errors or lines or ["the installer gave no reason"])[-1].removeprefix("╰─▶ "))[:300]


def installed_version(build: Build, path: Path) -> str:
    """Return the version that the metadata in a folder states.

    Raises:
        UsageError: the folder holds another package, or another version than the build names.
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
        raise UsageError(f"{version} was installed in place of {build.label}", "look at the index or wheels you use")
    return version
