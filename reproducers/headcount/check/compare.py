"""A user's files on two builds: what a candidate does worse with a network, or better, than the build before it."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from headcount import builds, canary, errors
from headcount.check.file import File, named
from headcount.check.run import PRELOADED, TIMEOUT, Checked, check
from headcount.oracle import Kind, Verdict


class Became(StrEnum):
    """What a file's answer became."""

    SAME = "as before"
    WORSE = "worse"
    BETTER = "better"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Compared:
    """A user's file on two builds."""

    file: File
    base: Checked
    candidate: Checked

    @property
    def new(self) -> tuple[Verdict, ...]:
        """The ways in which the candidate fails, and the base does not."""
        before = {_likeness(verdict) for verdict in self.base.judgement.verdicts}
        failing = (verdict for verdict in self.candidate.judgement.verdicts if verdict.is_failure)
        return tuple(verdict for verdict in failing if _likeness(verdict) not in before)

    @property
    def became(self) -> Became:
        """What the answer became. The same failure on both builds is none of the candidate's."""
        before, after = self.base.judgement, self.candidate.judgement
        if self.new:
            return Became.WORSE
        if after.verdict.kind is Kind.UNTESTABLE or len(after.undecided) > len(before.undecided):
            return Became.UNDECIDED
        return Became.BETTER if len(after.verdicts) < len(before.verdicts) else Became.SAME


def files(paths: Sequence[Path]) -> list[File]:
    """Return the files that these name: of a folder, every Python file in it, without those that begin with `_`.

    Raises:
        UsageError: there is no such file, or a folder has none.
    """
    found: list[File] = []
    for path in paths:
        inside = sorted(path.glob("[!_]*.py")) if path.is_dir() else []
        if path.is_dir() and not inside:
            raise errors.UsageError(f"{path} has no Python file", "name a folder of files for headcount check")
        found += [named(str(each)) for each in inside or [path]]
    return found


def compare(
    base: builds.Overlay, candidate: builds.Overlay, networks: Sequence[File], timeout: float = TIMEOUT
) -> Iterator[Compared]:
    """Yield what two builds do with each file.

    Raises:
        FileFaultError: a file itself is at fault.
    """
    with canary.Engine(also=PRELOADED) as engine:
        for file in networks:
            yield Compared(file, *(check(engine, build, file, timeout) for build in (base, candidate)))


def _likeness(verdict: Verdict) -> Hashable:
    """Return what two failures have in common that are one: the promise and the place, and no numbers."""
    if verdict.finding is not None:
        found = verdict.finding
        return found.rule, found.problem, found.dimension, found.where
    return verdict.signature.unplaced
