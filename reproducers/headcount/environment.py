"""What an observation depends on beside the build and the cell: the base environment, and this harness."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

#: The variable that names the device that cells run on, for this process and all that it starts.
DEVICE = "HEADCOUNT_DEVICE"
CPU = "cpu"

#: The variable that says what stands beside the base environment, for this process and all that it starts.
BESIDE = "HEADCOUNT_BESIDE"


def device() -> str:
    """Return where cells run: `cpu`, also for `cpu:0`, or another device of torch's."""
    found = os.environ.get(DEVICE, CPU)
    return CPU if found.partition(":")[0] == CPU else found


def environment() -> Mapping[str, str]:
    """Return the versions of the base environment, without importing it; what stands beside; the device if no CPU."""
    beside = json.loads(os.environ.get(BESIDE, "{}"))
    return {**_versions(), **beside} if device() == CPU else {**_versions(), **beside, "device": device()}


def stand_beside(path: Path | str, shown: Mapping[str, str]) -> None:
    """Let this process, and all that it starts from now on, find packages in a folder before the base's.

    Args:
        shown: what `environment` says of them.
    """
    sys.path.insert(0, str(path))
    os.environ |= {"PYTHONPATH": first_on_path(path), BESIDE: json.dumps(shown)}
    _versions.cache_clear()


def first_on_path(path: Path | str) -> str:
    """Return Python's path variable with a folder before what it has."""
    return os.pathsep.join(filter(None, (str(path), os.environ.get("PYTHONPATH"))))


@cache
def _versions() -> Mapping[str, str]:
    return {"python": platform.python_version()} | {
        name: next((d.version for d in distributions(name=name)), "none") for name in ("torch", "transformers", "numpy")
    }


def interpreter() -> tuple[object, ...]:
    """Return what else may change an observation: how Python was started, and what the processor can do."""
    flags = sys.flags
    return flags.optimize, flags.dev_mode, flags.utf8_mode, tuple(sys.warnoptions), _processor()


@cache
def _processor() -> tuple[str, ...]:
    """Return the kinds of vector instructions that torch chooses its code by, where the system tells them."""
    try:
        found = Path("/proc/cpuinfo").read_text("utf-8", "replace").partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        found = [platform.processor()]
    return tuple(sorted(flag for flag in found if flag.startswith(("avx", "amx", "asimd", "sve"))))


#: What untrusted code may see of the environment: where things are, and how torch and transformers behave.
_HARMLESS = re.compile(
    r"(PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|PYTHONPATH|LD_LIBRARY_PATH|DYLD_\w+|VIRTUAL_ENV"
    r"|HF_HUB_OFFLINE|HEADCOUNT_DEVICE|TRANSFORMERS_VERBOSITY|CUDA_VISIBLE_DEVICES|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT)$",
    re.IGNORECASE,
)


def harmless_environment() -> dict[str, str]:
    """Return the environment without what may be a secret."""
    return {name: value for name, value in os.environ.items() if _HARMLESS.match(name)}


@cache
def git_environment() -> Mapping[str, str]:
    """Return the environment for git, in which a folder names its repository: a hook's variables name another."""
    local = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=False)  # noqa: S607 - git is on PATH
    return {name: value for name, value in os.environ.items() if name not in local.stdout.split()}


#: What of this package the isolated process imports, in files and folders: nothing else changes an observation.
OBSERVING = (
    "__init__.py",
    "environment.py",
    "isolation/__init__.py",
    "isolation/landlock.py",
    "isolation/orphans.py",
    "isolation/preload.py",
    "isolation/process.py",
    "isolation/redirect.py",
    "isolation/script.py",
    "isolation/shared.py",
    "isolation/tampering.py",
    "matrix/__init__.py",
    "matrix/cell.py",
    "matrix/config.py",
    "models",
    "observation.py",
    "pruning",
    "untrusted.py",
)


@cache
def observing_digest() -> str:
    """Return SHA-256 over the source that the isolated process imports, as it was when this process first looked."""
    return source_digest(OBSERVING)


@cache
def harness_digest() -> str:
    """Return SHA-256 over the harness's source, as it was when this process first looked."""
    return source_digest()


def source_digest(places: Iterable[str] = ("",)) -> str:
    """Return SHA-256 over the harness's source, or these files and folders of it, as it is now."""
    root, total = Path(__file__).parent, sha256()
    for place in places:
        for path in [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.py")):
            if path.parent.name == "reproducers":  # a wheel has them, and nothing here imports them
                continue
            total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()
