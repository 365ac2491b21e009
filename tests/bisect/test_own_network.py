"""A user's own network is searched for as cells are; a file that has no end is bad where a time was given."""

from collections.abc import Callable
from pathlib import Path

from headcount import bisect, check
from headcount.bisect import State
from headcount.builds import Overlay
from headcount.isolation import Engine

VIT = Path(__file__).parents[1] / "check" / "files" / "vit.py"


def test_good_bad_and_skip(engine: Engine, miniature: Callable[[str], Overlay]) -> None:
    subject = bisect.OwnNetwork(check.named(str(VIT)))
    assert subject.answer(engine, miniature("correct")).state is State.GOOD
    bad = subject.answer(engine, miniature("desync"))
    assert (bad.state, bad.label.partition(":")[0]) == (State.BAD, "desync")
    assert subject.answer(engine, miniature("crash-import")).state is State.SKIP
    other = bisect.OwnNetwork(check.named(str(VIT)), sought=bad.label)
    assert other.answer(engine, miniature("crash-step")).state is State.SKIP


def test_a_script_without_an_end(miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("import time, torch_pruning\ntime.sleep(60)\n", "utf-8")
    with Engine(script_timeout=6.0) as engine:
        assert bisect.Script(script, limited=True).answer(engine, miniature("correct")).state is State.BAD
        assert bisect.Script(script).answer(engine, miniature("correct")).state is State.SKIP
