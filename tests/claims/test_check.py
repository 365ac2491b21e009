"""Networks of kinds that people prune, on real releases: each is answered as upstream's documentation would have it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from headcount import check
from headcount.builds import Overlay
from headcount.cli import main
from headcount.environment import environment
from headcount.errors import ExitCode
from headcount.isolation import Engine
from headcount.oracle import Kind

FILES = Path(__file__).parents[1] / "check" / "files"

RELEASES = ("1.4.0", "1.5.3", "1.6.1")

#: A file -> the kind of verdict of each release. None: what is left fits together, and the network's own code does not
#: run with it, whatever the pruner.
EXPECTED: dict[str, tuple[Kind | None, Kind | None, Kind | None]] = {
    "vit.py": (Kind.OK, Kind.OK, Kind.OK),
    "segformer.py": (Kind.OK, Kind.OK, Kind.OK),
    "output_sum.py": (Kind.OK, Kind.CRASH, Kind.CRASH),
    "history.py": (Kind.DESYNC, Kind.DESYNC, Kind.DESYNC),
    "round_to_zero.py": (Kind.WRONG_SHAPE, Kind.WRONG_SHAPE, Kind.WRONG_SHAPE),
    # Locally, one record of a layer takes the place of another: attention's, of the width's.
    "own.py:fused": (Kind.OK, Kind.WRONG_SHAPE, Kind.WRONG_SHAPE),
    "own.py:functional": (Kind.WRONG_SHAPE, Kind.WRONG_SHAPE, Kind.WRONG_SHAPE),
    "own.py:pooled": (Kind.CRASH, Kind.WRONG_HEADS, Kind.WRONG_HEADS),
    "own.py:gated": (Kind.WRONG_SHAPE, Kind.WRONG_SHAPE, Kind.WRONG_SHAPE),
    "own.py:projected": (Kind.WRONG_SHAPE, Kind.OK, Kind.OK),
    "own.py:restorer": (Kind.TIMEOUT, Kind.TIMEOUT, Kind.TIMEOUT),
    "transformers_models.py:swiglu": (Kind.CRASH, Kind.CRASH, Kind.CRASH),
    "transformers_models.py:bert": (Kind.OK, Kind.OK, Kind.OK),
    "transformers_models.py:llama": (Kind.DESYNC, Kind.OK, Kind.OK),
    "transformers_models.py:detr": (None, None, None),
    "transformers_models.py:segformer": (None, None, None),
}


#: With transformers 5, whose SwiGLU has two layers, and which hands grouped keys to torch as they are.
LATER: dict[str, tuple[Kind | None, Kind | None, Kind | None]] = {
    "transformers_models.py:swiglu": (Kind.OK, Kind.OK, Kind.OK),
    "transformers_models.py:llama": (Kind.CRASH, Kind.CRASH, Kind.CRASH),
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(also=check.PRELOADED)


@pytest.mark.parametrize("name", EXPECTED)
def test_kinds(engine: Engine, releases: Mapping[str, Overlay], name: str) -> None:
    file, _, function = name.partition(":")
    subject = check.File(FILES / file, function)
    is_later = int(environment()["transformers"].partition(".")[0]) >= 5
    expected = LATER.get(name, EXPECTED[name]) if is_later else EXPECTED[name]
    timeout = 15.0 if Kind.TIMEOUT in expected else check.TIMEOUT
    for release, kind in zip(RELEASES, expected, strict=True):
        judgement = check.check(engine, releases[release], subject, timeout).judgement
        if kind is None:
            assert judgement.verdict.kind is Kind.OK, (release, judgement.verdicts)
            assert "the network's own code does not run" in "".join(judgement.undecided)
        else:
            assert (judgement.verdict.kind, judgement.undecided) == (kind, ()), (release, judgement.verdicts)


def test_the_example_is_right_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    assert main(["check", "--new", str(file)]) == ExitCode.CLEAN
    assert main(["check", str(file), "--build", "1.4.1", "--build", "1.6.1", "--build", "1.4.0"]) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    assert "looks like 410-total-heads" in printed
    assert "take 1.6.1: the newest that prunes it right" in printed
    assert main(["check", "--new", str(file)]) == ExitCode.USAGE, "it is there already"
