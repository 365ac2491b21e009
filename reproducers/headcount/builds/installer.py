"""uv or pip: how it is called, what it sees of this process's environment, and what it says when it fails."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import util

from headcount import environment, errors, untrusted

_VARIABLES = re.compile(
    r"(UV_(?!PUBLISH)|PIP_|SSL_|REQUESTS_CA_|CURL_CA_|XDG_|(HTTPS?|ALL|NO)_PROXY$|HOME$|USERPROFILE$|APPDATA$|LOCALAPPDATA$)",
    re.IGNORECASE,
)

#: Seconds that one call may take: a build of torch has gigabytes.
TIMEOUT = 1800

NO_NETWORK = re.compile(
    r"failed to fetch|connection (error|refused|reset)|newconnectionerror|name resolution|dns error|timed out"
    r"|unreachable|error sending request|network connectivity|nameresolutionerror|proxyerror|offline"
    r"|network was disabled",
    re.IGNORECASE,
)


def install(*arguments: str, variables: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the installer. It raises nothing of its own, but for a full disk.

    Args:
        variables: more than the installers' environment.

    Raises:
        SetupError: there is none.
        OSError: no space is left.
        TimeoutExpired: it takes too long.
    """
    done = subprocess.run(  # noqa: S603 - an installer, and no shell
        [*command(), *arguments],
        capture_output=True,
        text=True,
        env={**installer_environment(), **(variables or {})},
        timeout=TIMEOUT,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode and ("No space left on device" in said or "Disk quota" in said):
        raise OSError(errno.ENOSPC, "No space left on device")
    return done


def reason(output: str) -> str:
    """Return the line of a failed installer's output that tells the most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["the installer gave no reason"]
    telling = [
        line
        for line in lines
        if re.search(r"error|no version|╰─▶|cause:", line, re.IGNORECASE) and "ResolutionImpossible" not in line
    ]
    return untrusted.clean(re.sub(r"^(╰─▶|cause:) ", "", (telling or lines)[-1]))[:300]


def installer_environment() -> dict[str, str]:
    """Return the installers' environment: where packages are, and no tokens, since a build's own code may run there.

    uv finds the wheels that pip finds: it does not read pip's variable itself.
    """
    needed = {name: value for name, value in os.environ.items() if _VARIABLES.match(name)}
    for_uv = {"UV_FIND_LINKS": needed["PIP_FIND_LINKS"]} if "PIP_FIND_LINKS" in needed else {}
    return environment.harmless_environment() | for_uv | needed


def find_uv() -> str | None:
    """Return the uv that nox brought (`$HEADCOUNT_UV`), else the one on PATH."""
    return os.environ.get("HEADCOUNT_UV") or shutil.which("uv")


def command() -> list[str]:
    """Return what installs into the base environment, which `--target` and `--dry-run` keep it from.

    Raises:
        SetupError: there is neither uv nor pip.
    """
    if uv := find_uv():
        return [uv, "pip", "install", "--python", sys.executable]
    if util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    raise errors.SetupError("there is neither uv nor pip to install builds with", 'python -m pip install "nox[uv]"')
