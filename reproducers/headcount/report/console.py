"""What a command says while it works: lines and a bar on stderr, so that its output can go to a file."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def say(line: str) -> None:
    """Progress, or an error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress and errors


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar with an estimate, where someone is looking; each call is one of the total, and says what it was."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("asking", total=total)
        yield lambda description: bar.update(task, advance=1, description=description)
