"""uv or pip: how it is called, what it sees of this process's environment, and what it says when it fails."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util

from headcount import environment, errors, scratch, untrusted

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


#: A line of uv's plan: what it would install, and where that comes from.
_PLANNED = re.compile(r"^ \+ (?P<name>[\w.-]+)==(?P<version>\S+)(?: \(from (?P<url>\S+)\))?$", re.MULTILINE)


@dataclass(frozen=True)
class Planned:
    """One distribution that an installer would install; `url` is set if it comes from no index."""

    name: str
    version: str
    url: str = ""


def install(
    *arguments: str, variables: Mapping[str, str] | None = None, timeout: float = TIMEOUT
) -> "subprocess.CompletedProcess[str]":
    """Run the installer. It raises nothing of its own, but for a full disk.

    Args:
        variables: more than the installers' environment.
        timeout: seconds that it may take.

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
        timeout=timeout,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode and ("No space left on device" in said or "Disk quota" in said):
        raise OSError(errno.ENOSPC, "No space left on device")
    return done


def plan(
    wanted: Sequence[str], *arguments: str, variables: Mapping[str, str] | None = None, timeout: float = TIMEOUT
) -> "tuple[list[Planned], subprocess.CompletedProcess[str]]":
    """Return what would be installed for requirements, and what the installer said. Nothing is installed.

    Raises:
        SetupError: there is no installer.
        OSError: no space is left.
        TimeoutExpired: it takes too long.
    """
    with scratch.folder() as folder:
        if find_uv():
            done = install(*arguments, "--dry-run", *wanted, variables=variables, timeout=timeout)
            found = [
                Planned(each["name"], each["version"], each["url"] or "") for each in _PLANNED.finditer(done.stderr)
            ]
            return found if not done.returncode else [], done
        report = folder / "report.json"
        more = ("--quiet", "--dry-run", "--report", str(report))
        done = install(*arguments, *more, *wanted, variables=variables, timeout=timeout)
        listed = json.loads(report.read_text("utf-8"))["install"] if not done.returncode else []
        return [Planned(each["metadata"]["name"], each["metadata"]["version"]) for each in listed], done


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

    uv looks where pip looks: it does not read pip's variables itself.
    """
    needed = {name: value for name, value in os.environ.items() if _VARIABLES.match(name)}
    return environment.harmless_environment() | for_uv(needed) | needed


def for_uv(variables: Mapping[str, str]) -> dict[str, str]:
    """Translate pip's variables for uv. pip separates folders of wheels by spaces, uv by commas."""
    found = {}
    if links := variables.get("PIP_FIND_LINKS"):
        found["UV_FIND_LINKS"] = ",".join(links.split())
    if "PIP_INDEX_URL" in variables and "UV_INDEX_URL" not in variables:
        found["UV_DEFAULT_INDEX"] = variables["PIP_INDEX_URL"]
    return found


def find_uv() -> str | None:
    """Return nox's uv (`$HEADCOUNT_UV`), else the one that started this (`$UV`), else the one on PATH."""
    return os.environ.get("HEADCOUNT_UV") or os.environ.get("UV") or shutil.which("uv")


def command() -> list[str]:
    """Return what installs into the base environment, which `--target` and `--dry-run` keep it from.

    Raises:
        SetupError: there is neither uv nor pip.
    """
    if uv := find_uv():
        # uv has no variable for this.
        alone = ["--no-index"] * (os.environ.get("PIP_NO_INDEX", "").lower() in ("1", "true", "yes", "on", "y", "t"))
        return [uv, "pip", "install", *alone, "--python", sys.executable]
    if util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    raise errors.SetupError("there is neither uv nor pip to install builds with", 'python -m pip install "nox[uv]"')
