"""What a terminal shows, and what a pipe gets; what is said of how long it takes."""

import io
import re

import pytest
from rich.progress import Progress

from headcount import defects, environment
from headcount.report import support, timeline
from headcount.report.console import Steps, fitted, progress, tell


class Terminal(io.StringIO):
    """What is written to it goes to a person."""

    def isatty(self) -> bool:
        return True


LINE = "1.4.1            crash           AttributeError at step in pruner.algorithms.metapruner._prune: it has none"


@pytest.fixture(autouse=True)
def _eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(terminal: io.StringIO, text: str) -> str:
    tell(text, stream=terminal)
    return terminal.getvalue()


def test_verdicts_are_coloured_and_lines_fit_on_a_terminal() -> None:
    shown = printed(Terminal(), LINE)
    assert "\x1b[1;31mcrash\x1b[0m" in shown
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert all(len(line) <= 80 for line in plain.splitlines())
    assert plain.split() == LINE.split()
    assert plain.splitlines()[1].startswith(" " * 33), "below the last column"


def test_colour_may_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in printed(Terminal(), LINE)


def test_a_pipe_gets_the_text_as_it_is() -> None:
    text = f"{LINE}\ta tab, [bold]no markup[/bold], ok"
    assert printed(io.StringIO(), text) == f"{text}\n"


def test_what_is_to_be_pasted_is_not_broken() -> None:
    command = f"nox -s headcount -- emit {'x' * 90} --build 1.6.1"
    assert fitted(command, 80) == command


def test_no_bar_is_left_behind() -> None:
    terminal = Terminal()
    with progress(2, terminal) as steps:
        steps.done("one")
    assert re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue()).splitlines()[-1].strip() == ""


def test_the_tables_of_all_releases_fit() -> None:
    version = environment.environment()["transformers"]
    history = timeline.table(timeline.of_releases(defects.DEFECTS, version), version)
    for text in (history, support.tables()):
        assert [line for line in text.splitlines() if len(line) > 80] == []


def test_what_was_known_says_nothing_of_what_is_to_come() -> None:
    """Half of it is looked up at once; the one step that took four seconds tells how long the others take."""
    now = 0.0
    steps = Steps(10, Progress(get_time=lambda: now, disable=True))
    assert steps.line() == "0 of 10 after 0 s: starting"
    for _ in range(5):
        steps.done("recalled", known=True)
    assert steps.line() == "5 of 10 after 0 s: recalled"
    now = 4.0
    steps.done("asked")
    assert steps.line() == "6 of 10 after 4 s, about 16 s to go: asked"
    steps.more(5)
    assert steps.line() == "6 of 15 after 4 s, about 36 s to go: asked"


def test_no_total_is_shown_where_time_decides() -> None:
    steps = Steps(None, Progress(get_time=lambda: 4.0, disable=True))
    steps.done("asked")
    assert steps.line() == "1 after 0 s: asked"
