"""What changed between two sources: what does something else, and nothing more."""

from pathlib import Path
from textwrap import dedent

import pytest

from headcount.builds import Overlay
from headcount.gate import source
from headcount.gate.source import Kind

BEFORE = '''
"""A module."""
LIMIT = 3

class Pruner:
    rate: float = 0.5

    def step(self, ratio=0.5, *, heads=None):
        """Prune."""
        for head in range(LIMIT):
            if head > ratio:
                self.prune(head)
        return self._left(heads)

    def _left(self, heads):
        return heads
'''


def build(folder: Path, text: str, name: str = "a") -> Overlay:
    """An overlay with one file."""
    path = folder / name / "torch_pruning"
    path.mkdir(parents=True)
    (path / "pruner.py").write_text(dedent(text))
    return Overlay(name, path.parent, "1.6.1", f"{folder}{name}{hash(text)}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Prune."""', '"""Prune heads."""'),
        ("        for head", "        # each of them\n        for head"),
        ("self, heads):", "self, heads: int) -> int:"),
        ("rate: float = 0.5", "rate: int = 0.5"),
        ("range(LIMIT)", "range( LIMIT )"),
        ("        return heads", "        count: int\n        return heads"),
    ],
)
def test_what_does_nothing_is_no_change(tmp_path: Path, old: str, new: str) -> None:
    assert old in BEFORE
    assert not source.changes(build(tmp_path, BEFORE), build(tmp_path, BEFORE.replace(old, new), "b"))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("head > ratio", "head >= ratio", [(Kind.STATEMENT, "Pruner.step", 11)]),
        ("                self.prune(head)", "                pass", []),
        ("ratio=0.5, *", "ratio=0.6, *", [(Kind.DEFAULT, "Pruner.step", 8)]),
        ("heads=None", "heads=1", [(Kind.DEFAULT, "Pruner.step", 8)]),
        ("self, heads):", "self, heads, more):", [(Kind.SIGNATURE, "Pruner._left", 15)]),
        ("LIMIT = 3", "LIMIT = 4", [(Kind.OUTER, "", 3)]),
        ("rate: float = 0.5", "rate: float = 0.6", [(Kind.OUTER, "Pruner", 6)]),
        ("class Pruner:", "class Pruner(dict):", [(Kind.CLASS, "Pruner", 5)]),
        (
            "        return self._left(heads)",
            "    def more(self):\n        return 1",
            [(Kind.SIGNATURE, "Pruner.more", 13), (Kind.STATEMENT, "Pruner.more", 14)],
        ),
    ],
)
def test_what_does_something_else_is_a_change(
    tmp_path: Path, old: str, new: str, found: list[tuple[Kind, str, int]]
) -> None:
    assert old in BEFORE
    changes = source.changes(build(tmp_path, BEFORE), build(tmp_path, BEFORE.replace(old, new), "b"))
    assert [(piece.kind, piece.place[1], piece.first) for piece in changes.new] == found
    assert changes


def test_a_statement_that_moves_out_of_a_condition_is_a_change(tmp_path: Path) -> None:
    moved = BEFORE.replace("                self.prune(head)", "                pass\n            self.prune(head)")
    (new,) = source.changes(build(tmp_path, BEFORE), build(tmp_path, moved, "b")).new
    assert (new.first, new.place[1]) == (13, "Pruner.step")


@pytest.mark.parametrize(("name", "text"), [("broken.py", "def f(:"), ("fast.so", ""), ("old.pyc", "")])
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, text: str) -> None:
    base, candidate = build(tmp_path, BEFORE), build(tmp_path, BEFORE, "b")
    (candidate.path / "torch_pruning" / name).write_text(text)
    changes = source.changes(base, candidate)
    assert list(changes.unread) == [f"torch_pruning/{name}"]
    assert changes
