"""Which Torch-Pruning the user names: a release, a wheel, a checkout, a ref of a clone, a URL."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from packaging.version import InvalidVersion, Version

from headcount.errors import UsageError

DISTRIBUTION = "torch-pruning"

#: Every release with head pruning that is recorded, oldest first. `releases.released` knows what is newer, too.
RELEASES = (
    *(f"1.3.{n}" for n in range(8)),
    *(f"1.4.{n}" for n in range(4)),
    *(f"1.5.{n}" for n in range(4)),
    "1.6.0",
    "1.6.1",
)

#: The day on which these were all that the index had.
RECORDED_ON = "2026-11-28"


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
        requirement: what the installer gets; for REF, the clone's path.
        ref: for REF, the commit, tag or branch.
        spec: what the user wrote, so that a command to run it again can be given.
    """

    label: str
    source: Source
    requirement: str
    ref: str = ""
    spec: str = field(default="", compare=False)


def parse(spec: str) -> Build:
    """Return the build that `spec` names: `1.4.1`, a wheel, an sdist, a checkout, `CLONE@REF` or a URL.

    Raises:
        UsageError: it names none.
    """
    path = Path(spec).expanduser()
    clone, at, ref = spec.rpartition("@")
    if path.is_file():
        label = _label(path.name.removesuffix(".whl").removesuffix(".tar.gz"))
        return Build(label, Source.FILE, str(path.resolve()), spec=spec)
    if path.is_dir():
        if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
            raise UsageError(
                f"{path.resolve()} is no build: it has no pyproject.toml, setup.py or setup.cfg",
                "name the folder that you would give to pip install",
            )
        return Build(_label(path.resolve().name), Source.FOLDER, str(path.resolve()), spec=spec)
    if "://" in spec:
        return Build(_label(spec.rpartition("/")[2]), Source.URL, spec, spec=spec)
    if at and Path(clone).expanduser().is_dir():
        root = Path(clone).expanduser().resolve()
        return Build(_label(f"{root.name}@{ref}"), Source.REF, str(root), ref, spec)
    try:
        return Build(spec, Source.RELEASE, f"{DISTRIBUTION}=={Version(spec)}", spec=spec)
    except InvalidVersion:
        raise UsageError(
            f"{spec!r} is no build: there is no such file or folder, and it is no version",
            "give a release like 1.4.1, a wheel, an sdist, a checkout, CLONE@REF or a URL",
        ) from None


def _label(text: str) -> str:
    """Return `text` fit for a test id: printable ASCII without brackets, colons or spaces."""
    return re.sub(r"[^A-Za-z0-9._@+-]+", "_", text) or "build"


def parse_all(specs: Iterable[str]) -> list[Build]:
    """Return the named builds, each once. A label that comes twice gets a number.

    Raises:
        UsageError: a spec names no build.
    """
    builds = list(dict.fromkeys(map(parse, specs)))
    labels = [build.label for build in builds]
    numbers = [labels[: index + 1].count(label) for index, label in enumerate(labels)]
    return [
        build if number == 1 else replace(build, label=f"{build.label}~{number}")
        for build, number in zip(builds, numbers, strict=True)
    ]
