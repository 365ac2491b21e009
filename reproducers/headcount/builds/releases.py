"""Which releases there are: the recorded ones, and newer ones on the package index.

The installer asks the index, so that whatever is found can be installed. The answer is kept for an hour, with its day.
Without an index the last answer holds. If there is none, the recorded releases are all.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path

from packaging.version import InvalidVersion, Version

from headcount import errors, scratch, untrusted
from headcount.builds import installer, kept
from headcount.builds.spec import DISTRIBUTION, RECORDED_ON, RELEASES

#: The variable that keeps the index from being asked.
OFFLINE = "HEADCOUNT_OFFLINE"

#: Seconds that the index may take for one answer, and for all of them.
_ANSWER_SECONDS, _ALL_SECONDS = 5, 20

#: Seconds that an answer is kept, and seconds to wait after the index gave none.
_HOLDS, _WAITS = 3600, 600

#: Versions beyond the recorded that are looked at, the newest first.
_MOST = 30

#: What the installers say of versions that they pass over, one by one and in a list.
_VERSION = r"(\d[\w.!+]*)"
_YANKED = re.compile(rf"{DISTRIBUTION}=={_VERSION} was yanked")
_YANKED_LISTED = re.compile(rf"yanked versions: ({_VERSION}(?:, {_VERSION})*)")
_PYTHON = re.compile(rf"{DISTRIBUTION}=={_VERSION} depends on Python\s?([\d.*<>=!~,]*\d)")
_PYTHON_LISTED = re.compile(rf"{_VERSION} Requires-Python ([\d.*<>=!~,]*\d)")


@dataclass(frozen=True)
class Released:
    """The releases with head pruning.

    Attributes:
        new: those beyond the recorded, oldest first.
        left_out: version -> why it is no release to use: yanked, a pre-release, for another Python.
        day: when the index last gave this list, an ISO day.
        asked: when it was last asked, seconds since 1970; 0 if it never was.
        problem: why it gave no answer when it was last asked; "" if it did.
    """

    new: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    day: str = RECORDED_ON
    asked: float = 0.0
    problem: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Recorded and new ones, oldest first."""
        return ordered(self.new)

    @property
    def newest(self) -> str:
        """The newest of all."""
        return self.all[-1]


def ordered(labels: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the recorded releases, and those of these labels that are versions, each once, oldest first."""
    return tuple(sorted({*RELEASES, *filter(_is_version, labels)}, key=Version))


def _is_version(label: str) -> bool:
    try:
        return bool(Version(label))
    except InvalidVersion:
        return False


@cache
def released() -> Released:
    """Return the releases. A process asks once. It takes a moment each hour, and never fails."""
    known = _kept(file := kept.cache_folder() / "releases" / f"{_places()}.json")
    if os.environ.get(OFFLINE):
        return known
    if 0 <= time.time() - known.asked < (_WAITS if known.problem else _HOLDS):
        return known
    try:
        found = _asked()
    except (errors.SetupError, OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        why = "it takes too long" if isinstance(error, subprocess.TimeoutExpired) else untrusted.clean(str(error))
        found = replace(known, asked=time.time(), problem=why[:200])
    _keep(file, found)
    return found


def _asked() -> Released:
    """Ask the index for the newest release, then for the next, until all new ones are found.

    Raises:
        SetupError: it does not answer, or not with releases.
        TimeoutExpired: it takes too long.
    """
    until = time.monotonic() + _ALL_SECONDS
    found: list[str] = []
    version, said = _newest((), until)
    if not version:
        raise errors.SetupError(installer.reason(said))
    while version and version not in found and len(found) < _MOST:
        found += [version] * (version not in RELEASES)
        version, said = _newest((*RELEASES, *found), until)
    left_out = {version: "a pre-release" for version in found if Version(version).is_prerelease} | _passed_over(said)
    new = sorted((version for version in found if version not in left_out), key=Version)
    return Released(tuple(new), left_out, datetime.now(UTC).date().isoformat(), time.time())


def _newest(besides: Sequence[str], until: float) -> tuple[str, str]:
    """Return the newest version with head pruning that is not among these, or ""; and what the installer said."""
    wanted = ",".join([f"{DISTRIBUTION}>={RELEASES[0]}", *(f"!={version}" for version in besides)])
    pre = ("--prerelease", "allow") if installer.find_uv() else ("--pre",)
    seconds = str(_ANSWER_SECONDS)
    variables = {"UV_HTTP_TIMEOUT": seconds, "UV_HTTP_RETRIES": "0", "PIP_TIMEOUT": seconds, "PIP_RETRIES": "0"}
    with scratch.folder() as folder:
        # A target, so that what is installed here does not matter. Nothing is written to it.
        arguments = (*pre, "--no-deps", "--target", str(folder / "none"))
        planned, done = installer.plan(
            [wanted], *arguments, variables=variables, timeout=max(until - time.monotonic(), 1)
        )
    versions = [each.version for each in planned]
    return (str(Version(versions[0])) if versions else ""), done.stdout + done.stderr


def _passed_over(said: str) -> dict[str, str]:
    """Return the versions of interest that an installer says it passed over, and why."""
    words = " ".join(said.split())
    listed = _YANKED_LISTED.search(words)
    yanked = [*_YANKED.findall(words), *(listed[1].split(", ") if listed else ())]
    needed = [*_PYTHON.findall(words), *_PYTHON_LISTED.findall(words)]
    found = dict.fromkeys(yanked, "yanked") | {version: f"for Python {python}" for version, python in needed}
    return {version: why for version, why in sorted(found.items()) if _is_beyond(version)}


def _is_beyond(version: str) -> bool:
    """Return whether a version has head pruning, and is not recorded."""
    return _is_version(version) and version not in RELEASES and Version(version) > Version(RELEASES[0])


# --- what is kept ------------------------------------------------------------------------------


def _places() -> str:
    """Return a key of the places that packages come from: settings, and files of local folders."""
    settings = {
        name: value for name, value in installer.installer_environment().items() if name.startswith(("UV_", "PIP_"))
    }
    places = re.split(r"[,\s]+", f"{settings.get('UV_FIND_LINKS', '')} {settings.get('PIP_FIND_LINKS', '')}")
    lying = sorted(
        path.name
        for place in places
        if place and Path(place.removeprefix("file://")).is_dir()
        for path in Path(place.removeprefix("file://")).iterdir()
        if re.match(r"torch[-_.]pruning", path.name, re.IGNORECASE)
    )
    return sha256(repr((sorted(settings.items()), lying, bool(installer.find_uv()))).encode()).hexdigest()[:16]


def _kept(file: Path) -> Released:
    """Return the answer that a file keeps; the recorded releases if it keeps none."""
    try:
        return untrusted.checked(Released, json.loads(file.read_text("utf-8")), "list of releases")
    except (OSError, ValueError, RecursionError):
        return Released()


def _keep(file: Path, found: Released) -> None:
    """Keep an answer, whole or not at all. If it cannot be written, the next process asks again."""
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(untrusted.plain(found)), "utf-8")
        aside.replace(file)
    except OSError:
        with suppress(OSError):
            aside.unlink()
