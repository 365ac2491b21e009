"""What an observation depends on besides the build and the cell: the base environment, and this harness."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("torch", "transformers", "numpy")


#: The variable that names the device that cells run on, for this process and all that it starts.
DEVICE = "HEADCOUNT_DEVICE"
CPU = "cpu"


def device() -> str:
    """Where cells run: `cpu`, by whatever number, or another device of torch's."""
    found = os.environ.get(DEVICE, CPU)
    return CPU if found.partition(":")[0] == CPU else found


def environment() -> Mapping[str, str]:
    """The versions of the base environment, without importing anything of it; and the device, if it is another."""
    return _versions() if device() == CPU else {**_versions(), "device": device()}


@cache
def _versions() -> Mapping[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    return versions


#: What foreign code may see of the environment: where things are, and how torch and transformers behave.
_HARMLESS = re.compile(
    r"(PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|PYTHON\w*|LD_LIBRARY_PATH|DYLD_\w+|VIRTUAL_ENV"
    r"|HF_HUB_OFFLINE|HEADCOUNT_DEVICE|TRANSFORMERS_VERBOSITY|CUDA_VISIBLE_DEVICES|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT)$",
    re.IGNORECASE,
)


def harmless_environment() -> dict[str, str]:
    """The environment without whatever may be a secret."""
    return {name: value for name, value in os.environ.items() if _HARMLESS.match(name)}


@cache
def git_environment() -> Mapping[str, str]:
    """Git's environment, in which a folder names its repository: a hook's variables would name another."""
    local = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=False)  # noqa: S607 - git is on PATH
    return {name: value for name, value in os.environ.items() if name not in local.stdout.split()}


@cache
def harness_digest() -> str:
    """SHA-256 over the harness's own source as it was: another harness may see other things."""
    return source_digest()


def source_digest() -> str:
    """SHA-256 over the harness's own source as it is now."""
    root = Path(__file__).parent
    total = sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()
