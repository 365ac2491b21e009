"""What a person sees on a terminal: verdicts in colour, lines that fit, and progress.

Progress goes to stderr, so that a command's output can go to a file: a bar, or a line now and then. A file or a
pipe gets no colour, and lines are not broken.
"""

import re
import signal
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from typing import ClassVar, TextIO

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.theme import Theme

from headcount import oracle

#: Seconds between two lines where no one sees a bar.
BEAT = 10.0


#: The widest line on a terminal, which may be narrower.
WIDEST = 120

_GOOD = ("ok", "right", "good", "fit for release", "no regression", "nothing new", "works")
_BAD = (
    *(kind.value for kind in oracle.Kind if oracle.Verdict(kind).is_failure),
    *("REGRESSED", "FAIL", "bad", "no release does it right", "regressions?"),
)
_DOUBTFUL = ("untestable", "not-applicable", "not judged", "DOUBT", "skip", "CHANGED")


def _words(words: Iterable[str]) -> str:
    return rf"(?<![\w./-])(?:{'|'.join(words)})(?![\w./-])"


class _Verdicts(RegexHighlighter):
    """Colours verdicts, options and a command's headings, wherever they stand."""

    base_style = "headcount."
    highlights: ClassVar[list[str]] = [
        rf"(?P<good>{_words(_GOOD)})",
        rf"(?P<bad>{_words(_BAD)})",
        rf"(?P<doubtful>{_words(_DOUBTFUL)})",
        r"(?m)^(?P<title>usage|options|examples|exit codes|positional arguments):",
        r"(?<![\w-])(?P<option>--?[a-z][\w-]*)",
        r"(?m)^(?P<taken>take [\d.]+)",
    ]


_THEME = Theme(
    {
        "headcount.good": "green",
        "headcount.bad": "bold red",
        "headcount.doubtful": "yellow",
        "headcount.title": "bold",
        "headcount.option": "cyan",
        "headcount.taken": "bold green",
    }
)


def tell(text: str, end: str = "\n", stream: TextIO | None = None) -> None:
    """Print a command's answer: on a terminal in colour, and with lines that fit; else as it is."""
    out = stream or sys.stdout
    console = Console(file=out, theme=_THEME, highlighter=_Verdicts(), markup=False, emoji=False)
    if console.is_terminal:
        console.print(fitted(text, min(console.width, WIDEST)), end=end, soft_wrap=True)
    else:
        print(text, end=end, file=out, flush=True)


def fitted(text: str, width: int) -> str:
    """Break long lines between words. The rest of a line goes below its last column."""
    return "\n".join(_fitted(line, width) for line in text.split("\n"))


def _fitted(line: str, width: int) -> str:
    if len(line) <= width or line.startswith(("nox ", "headcount ", "    nox ")):  # to be pasted
        return line
    columns = re.match(r"(?:.{0,40}\S)? {2,}(?=\S)", line)
    begins = len(columns[0]) if columns else 0
    is_item = not (columns and columns[0].strip())  # of a list, or a line by itself
    indent = " " * min(begins + 2 * is_item, width // 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


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
