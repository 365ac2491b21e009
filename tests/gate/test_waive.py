"""What may get worse: a reason and a day for each, and none that is of no use."""

from datetime import date
from pathlib import Path

import pytest

from headcount.errors import UsageError
from headcount.gate import Change, Difference, waive
from headcount.gate.compare import failure_of
from rows import row

TODAY = date(2026, 11, 28)
WORSE = Difference("vit-local-steps2", row("ok"), row("crash"), Change.REGRESSED)
CAUSE = str(failure_of(row("crash")))


def read(folder: Path, text: str) -> tuple[waive.Waiver, ...]:
    path = folder / "waivers.toml"
    path.write_text(text)
    return waive.read(path, TODAY)


@pytest.mark.parametrize("what", ['cells = "vit-*-steps2"', f'cause = "{CAUSE}"', f'cells = "vit*"\ncause = "{CAUSE}"'])
def test_a_waiver_covers_cells_or_a_cause(tmp_path: Path, what: str) -> None:
    waivers = read(tmp_path, f'[[waiver]]\n{what}\nreason = "rewritten"\nuntil = 2026-11-28\n')
    assert waive.waived(waivers, [WORSE]) == {WORSE.cell: "rewritten (until 2026-11-28)"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no waivers"),
        ("waiver = 3", "holds no waivers"),
        ("[[waiver]]\n", "it needs a reason"),
        ('[[waiver]]\nreason = "r"\nuntil = 2027-01-01', "a waiver of everything is none"),
        ('[[waiver]]\ncells = "*"\nuntil = 2027-01-01', "it needs a reason"),
        ('[[waiver]]\ncells = "*"\nreason = "r"', "it needs a day"),
        ('[[waiver]]\ncells = "*"\nreason = "r"\nuntil = "soon"', "it needs a day"),
        ('[[waiver]]\ncells = "*"\nreason = "r"\nuntil = 2027-01-01T00:00:00', "it needs a day"),
        ('[[waiver]]\ncell = "*"\nreason = "r"\nuntil = 2027-01-01', "no waiver: cell"),
        ('[[waiver]]\ncells = "*"\nreason = "old"\nuntil = 2026-11-27', "'old' ended on 2026-11-27"),
    ],
)
def test_what_is_no_waiver(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(tmp_path, text)


def test_one_that_covers_nothing_is_an_error(tmp_path: Path) -> None:
    waivers = read(tmp_path, '[[waiver]]\ncells = "swin*"\nreason = "mended"\nuntil = 2027-01-01')
    with pytest.raises(UsageError, match="'mended' covers no cell"):
        waive.waived(waivers, [WORSE])
