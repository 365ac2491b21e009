"""Errors that a person can act on: what happened, to what, and what to do next."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means, in every command of Headcount."""

    CLEAN = 0
    REGRESSION = 1
    USAGE = 2
    INDETERMINATE = 3
    SETUP = 4


class HeadcountError(Exception):
    """A failure that is not a verdict. `str()` is one line: the problem, then the way on."""

    exit_code: ExitCode = ExitCode.SETUP

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)
        self.problem, self.hint = problem, hint

    def __str__(self) -> str:
        return f"{self.problem} ({self.hint})" if self.hint else self.problem


class UsageError(HeadcountError):
    """The call was wrong: an unknown release, a path that is no build, another package."""

    exit_code = ExitCode.USAGE


class SetupError(HeadcountError):
    """The machine does not do its part: no network, a full disk, a broken installer."""
