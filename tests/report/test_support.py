"""The support table: what is recorded of the plain calls on each family."""

import json
from pathlib import Path

import pytest

from headcount.cli import main
from headcount.defects import versions
from headcount.defects.expectations import Expectations, Token
from headcount.errors import ExitCode
from headcount.matrix.cells import STEPPED_CALLS
from headcount.matrix.examples import EXAMPLES
from headcount.models import ENDING, small
from headcount.report import support
from headcount.report.examples import lines
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
    examples = [] if options else [one.model.traits for one in EXAMPLES]
    for family in ENDING.values():
        assert printed.count(f"\n{family.title}  ") == len(plain) * (2 if family in examples else 1)
    shown = {
        defect for models in plain.values() for by in models.values() for s in by.values() for defect in s["defects"]
    }
    assert all(f"  {defect}: " in printed for defect in shown)
    assert max(map(len, printed.splitlines())) <= 80


def test_upstreams_examples_have_rows_and_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support"]) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    told = " ".join(printed.split())
    assert all(f" {example.file}, on {example.model.traits.title} " in told for example in EXAMPLES)
    rows = printed.split("as upstream's example, transformers 5.23.0\n")[1].split("\n\n")[0].splitlines()[2:]
    assert {row.split("  ")[0] for row in rows} == {one.model.traits.title for one in EXAMPLES}
    assert "   --bottleneck           right; crash (summed-output) in 1.5.3 to 1.6.0\n" in printed
    assert main(["support", "--model", "vit"]) == ExitCode.CLEAN
    of_one = capsys.readouterr().out
    assert [one.file in of_one for one in EXAMPLES] == [one.model.family == "vit" for one in EXAMPLES]


@pytest.mark.parametrize("words", [["--in-steps"], ["--model", "vit_bare"], ["--model", "deit"]])
def test_no_example_is_told_where_it_says_nothing(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """In steps the calls are others, a bare model has none of its own, and so has a family that no example is about."""
    assert main(["support", *words]) == ExitCode.CLEAN
    assert "upstream's example" not in capsys.readouterr().out.replace("as in upstream's examples", "")


def test_an_example_that_differs_between_versions_is_told_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded of one version alone, and there the newest release crashes."""
    example = EXAMPLES[0]
    tokens = {
        "4.57.6": {example.older.id: {"1.3.0": Token("ok")}, example.cell.id: {"1.6.1": Token("crash", "no-gradient")}},
        "5.23.0": {},
    }
    monkeypatch.setattr("headcount.defects.recorded", lambda version: Expectations(version, tokens[version]))
    said = " ".join(lines({"4.57.6": [example], "5.23.0": [example]}).split())
    assert "transformers 4.57.6: crash (no-gradient); right in 1.3.0; not recorded in 1.3.1 to 1.6.0;" in said
    assert said.endswith("transformers 5.23.0: not recorded")


def test_the_support_table_of_one_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--model", "dinov2", "--transformers", "4.57.6"]) == ExitCode.CLEAN
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("DINOv2")]
    assert rows == ["DINOv2", "DINOv2, bare"]
    assert main(["support", "--model", "dino"]) == ExitCode.USAGE
    assert "no such model: dino (there are adaln, " in capsys.readouterr().err
    assert main(["support", "--transformers", "4.99"]) == ExitCode.USAGE
    assert "nothing is recorded of transformers 4.99 (there are 4.57.6, 5.23.0)" in capsys.readouterr().err
