"""A command's progress, on stderr, so that its output can go to a file: a bar, or a line now and then."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Seconds between two lines where no one sees a bar.
BEAT = 10.0


def say(line: str) -> None:
    """Print progress, or an error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress and errors


def heed_signals() -> None:
    """Let a request to end, and a terminal that is closed, interrupt this process as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL and current_thread() is main_thread():
            signal.signal(number, interrupt)


class Steps:
    """How far a command has come: steps begun and done, of a total; None where time decides it."""

    def __init__(self, total: int | None, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=total)
        self._worked = 0

    def begin(self, what: str) -> None:
        """Show what is being done now."""
        self._bar.update(self._task, description=what)

    def done(self, what: str, *, known: bool = False) -> None:
        """Count one more as done; one that was known before says nothing of how long the others take."""
        self._worked += not known
        self._bar.update(self._task, advance=1, description=what)

    def more(self, count: int) -> None:
        """Add to what there is to do."""
        self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + count)

    def line(self) -> str:
        """Return all of it in a line."""
        task = self._bar.tasks[0]
        elapsed = task.elapsed or 0
        if task.total is None:
            return f"{task.completed:.0f} after {elapsed:.0f} s: {task.description}"
        total = task.total
        left = f", about {elapsed / self._worked * (total - task.completed):.0f} s to go" if self._worked else ""
        return f"{task.completed:.0f} of {total:.0f} after {elapsed:.0f} s{left}: {task.description}"


@contextmanager
def progress(total: int | None, stream: TextIO | None = None) -> Iterator[Steps]:
    """Show what is done: a bar with an estimate on a terminal, else a line every few seconds.

    Args:
        total: steps that are to come; None where time decides how many.
        stream: where to; stderr unless given.
    """
    out = stream or sys.stderr
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=out),
        transient=True,
        disable=not out.isatty(),
    )
    with bar:
        steps, ended = Steps(total, bar), Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                print(steps.line(), file=out, flush=True)

        if bar.disable:
            Thread(target=beat, daemon=True).start()
        try:
            yield steps
        finally:
            ended.set()
