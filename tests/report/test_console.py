"""Progress: what is said of how long it takes."""

from rich.progress import Progress

from headcount.report.console import Steps


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
