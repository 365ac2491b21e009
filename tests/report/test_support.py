"""The support table: what is recorded of the plain calls on each family."""

import json
from pathlib import Path

import pytest

from headcount.cli import main
from headcount.defects import versions
from headcount.errors import ExitCode
from headcount.matrix.cells import STEPPED_CALLS
from headcount.models import FAMILIES, small
from headcount.report import support
from headcount.report.support import State


@pytest.mark.parametrize(
    ("family", "bare", "release", "version", "state", "shown"),
    [
        ("vit", False, "1.6.1", "4.57.6", State.WORKS, ()),
        ("vit", False, "1.4.1", "4.57.6", State.BROKEN, ("410-total-heads",)),
        ("dinov2", False, "1.6.1", "4.57.6", State.EXTRA, ("concat-half",)),
        ("dinov3", False, "1.6.1", "5.23.0", State.UNTRACED, ("split-tokens",)),
        ("clip", True, "1.6.1", "4.57.6", State.FIXED, ()),
        ("clip", True, "1.6.1", "5.23.0", State.WORKS, ()),
        ("swin", False, "1.6.1", "5.23.0", State.BROKEN, ("per-head-table",)),
        ("dinov3", False, "1.6.1", "4.50.0", State.MISSING, ()),
    ],
)
def test_which_family_works(
    family: str, bare: bool, release: str, version: str, state: State, shown: tuple[str, ...]
) -> None:
    found = support.support(small(family, bare=bare), release, version)
    assert (found.state, found.defects) == (state, shown)


@pytest.mark.parametrize(
    ("release", "state", "shown"),
    [
        ("1.4.0", State.BROKEN, ("411-stale-groups",)),
        ("1.4.2", State.WORKS, ()),
        ("1.5.0", State.WORKS, ()),
        ("1.6.1", State.BROKEN, ("steps-compound",)),
    ],
)
def test_which_release_works_in_steps(release: str, state: State, shown: tuple[str, ...]) -> None:
    found = support.support(small("vit"), release, "5.23.0", calls=STEPPED_CALLS)
    assert (found.state, found.defects) == (state, shown)


@pytest.mark.parametrize("options", [[], ["--in-steps"]])
def test_the_support_table_has_all(capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str]) -> None:
    assert main(["support", *options, "--json", str(tmp_path / "support.json")]) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    plain = json.loads((tmp_path / "support.json").read_text())
    assert list(plain) == list(versions())
    for family in FAMILIES.values():
        assert printed.count(f"\n{family.title}  ") == len(plain)
    shown = {
        defect for models in plain.values() for by in models.values() for s in by.values() for defect in s["defects"]
    }
    assert all(f"  {defect}: " in printed for defect in shown)
    assert max(map(len, printed.splitlines())) <= 120


def test_the_support_table_of_one_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--model", "dinov2", "--transformers", "4.57.6"]) == ExitCode.CLEAN
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("DINOv2")]
    assert rows == ["DINOv2", "DINOv2, bare"]
    assert main(["support", "--model", "dino"]) == ExitCode.USAGE
    assert "no such model: dino (there are adaln, " in capsys.readouterr().err
    assert main(["support", "--transformers", "4.99"]) == ExitCode.USAGE
    assert "nothing is recorded of transformers 4.99 (there are 4.57.6, 5.23.0)" in capsys.readouterr().err
