"""Remedies: copies of a build in which known defects are mended. No line of upstream's is stored here."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from headcount import builds, errors
from headcount.defects.catalogue import DEFECTS
from headcount.defects.defect import Defect, Edit
from headcount.defects.surgery import edited

PACKAGE = "torch_pruning"


class NoPlaceError(errors.HeadcountError):
    """A remedy does not fit a build: its source has nothing that it would change."""

    exit_code = errors.ExitCode.INDETERMINATE


def remedied(build: builds.Overlay) -> list[Defect]:
    """Return the defects whose remedies find a place in a build."""
    return [defect for defect in DEFECTS if fitting(build, defect)]


def cured(build: builds.Overlay, defects: Collection[Defect]) -> builds.Overlay:
    """Return a copy of a build with defects mended: an overlay like any other, made once.

    Raises:
        NoPlaceError: a remedy does not fit.
    """
    texts = {name: after for name, (_, after) in patched(build, defects).items()}
    if not texts:
        return build

    def change(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")

    names = "+".join(sorted(defect.id for defect in defects))
    key = sha256(repr((build.digest, sorted(texts.items()))).encode()).hexdigest()[:20]
    return builds.edited(build, f"{build.label}+{names}", f"cured-{key}", change)


def patched(build: builds.Overlay, defects: Iterable[Defect]) -> Mapping[str, tuple[str, str]]:
    """Return path -> a file's text before and after the remedies of defects, in the catalogue's order.

    Raises:
        NoPlaceError: a remedy does not fit.
    """
    defects = sorted(defects, key=DEFECTS.index)
    for defect in defects:
        if not fitting(build, defect):
            raise NoPlaceError(f"{build.label} has nothing that the remedy for {defect.id} would change")
    edits = dict.fromkeys(edit for defect in defects for edit in defect.remedy)  # some are shared
    both = {
        name: (text, edited(text, _of(name, edits))[0]) for name, text in _sources(build.path, build.digest).items()
    }
    return {name: (before, after) for name, (before, after) in both.items() if before != after}


def fitting(build: builds.Overlay, defect: Defect) -> tuple[Edit, ...]:
    """Return the edits of a remedy that find a place in a build: of each file, in their order."""
    return _made(build.path, build.digest, defect.remedy)


@cache
def _made(path: Path, digest: str, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    texts = _sources(path, digest).items() if edits else ()
    return tuple(edit for name, text in texts for edit in edited(text, _of(name, edits))[1])


def _of(name: str, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    return tuple(edit for edit in edits if Path(name).match(edit.module))


@cache
def _sources(path: Path, _digest: str) -> Mapping[str, str]:
    return {str(file.relative_to(path)): file.read_text("utf-8") for file in sorted((path / PACKAGE).rglob("*.py"))}
