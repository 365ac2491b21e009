"""A user's file: what is wrong with it is said with its line, and is never a verdict on a build."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headcount import check
from headcount.builds import Overlay
from headcount.errors import UsageError
from headcount.isolation import Engine
from headcount.observation import Ending
from headcount.oracle import Kind, Problem

FILES = Path(__file__).parent / "files"
VIT = (FILES / "vit.py").read_text("utf-8")

#: What is done to the plain ViT's file -> what is said of it.
FAULTS = {
    "raises": (
        "net = ViT",
        "net = []\n    net[1]\n    net = ViT",
        r"file\.py, line \d+: IndexError: list index out of",
    ),
    "syntax": ("def check():", "def check(:", r"file\.py, line \d+: SyntaxError"),
    "returns-two": (", torch.randn(1, 3, 32, 32), call", ", call", "must return the network, .*, not a tuple of 2"),
    "no-network": ("return net,", "return 3,", "the first is a int, no torch.nn.Module"),
    "no-inputs": ("torch.randn(1, 3, 32, 32), call", "3, call", "the second is a int"),
    "no-call": ("32), call", "32), 3", "the third is a int"),
    "no-heads": ('"num_heads": {', '"num_heads": {} and {', "lists no layer in num_heads"),
    "a-stranger": (
        '": [net.classifier]',
        '": [torch.nn.Linear(2, 2)]',
        "ignored_layers lists a Linear that is no layer",
    ),
    "fails-dense": ("torch.randn(1, 3,", "torch.randn(1, 7,", "fails before anything is pruned: ValueError"),
    "too-large": (
        "    return net",
        "    net.huge = torch.nn.Linear(20_000, 20_000)\n    return net",
        "1.6 GB of weights",
    ),
    "another-device": ("    return net", '    net.to("meta")\n    return net', "is on meta"),
    "doubles": ("    return net", "    net.double()\n    return net", r"is of torch\.float64"),
    "ends": ("    return net", "    raise SystemExit(3)\n    return net", "ends the process with 3"),
}


def _check(engine: Engine, build: Overlay, path: Path, text: str, timeout: float = 60.0) -> check.Checked:
    path = path / "file.py"
    path.write_text(text, "utf-8")
    return check.check(engine, build, check.named(str(path)), timeout)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_file(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path, name: str) -> None:
    before, after, said = FAULTS[name]
    assert before in VIT
    with pytest.raises(check.FileFaultError, match=said):
        _check(engine, miniature("correct"), tmp_path, VIT.replace(before, after, 1))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="there is no file nowhere.py"):
        check.named("nowhere.py")


def test_a_script_without_a_pruner(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    with pytest.raises(check.FileFaultError, match="calls no pruner's constructor"):
        _check(engine, miniature("correct"), tmp_path, "print(1)")


def test_shared_and_half_weights(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    blocks = "    first, second = net.vit.encoder.layer\n"
    tied = "    second.layernorm_before = first.layernorm_before\n"
    shared = VIT.replace("    return net", f"{blocks}{tied}    return net")
    assert _right(_check(engine, miniature("correct"), tmp_path, shared))
    half = VIT.replace(
        "    return net, torch.randn(1, 3, 32, 32)", "    return net.bfloat16(), torch.ones(1, 3, 32, 32).bfloat16()"
    )
    assert _right(_check(engine, miniature("correct"), tmp_path, half))


def test_a_correct_build_is_right(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    found = _check(engine, miniature("correct"), tmp_path, VIT)
    assert _right(found), found.judgement
    assert [attention.heads for pruned in found.sight.pruned for attention in pruned.attentions] == [6, 6]


#: A broken miniature -> how it is found.
BROKEN = {
    "wrong-heads": (Kind.WRONG_HEADS, Problem.COUNT),
    "wrong-channels": (Kind.WRONG_SHAPE, Problem.COUNT),
    "wrong-selection": (Kind.WRONG_SELECTION, Problem.HEAD_RANKING),
    "desync": (Kind.DESYNC, Problem.REPORTED),
    "partial-heads": (Kind.WRONG_HEADS, Problem.UNEVEN_HEADS),
    "altered-weight": (Kind.WRONG_SHAPE, Problem.UNKNOWN_VALUES),
    "crash-construct": (Kind.CRASH, None),
    "crash-step": (Kind.CRASH, None),
    "segfault": (Kind.KILLED, None),
    "exit-zero": (Kind.KILLED, None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_build(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path, name: str) -> None:
    kind, problem = BROKEN[name]
    found = _check(engine, miniature(name), tmp_path, VIT)
    problems = {verdict.finding.problem for verdict in found.judgement.verdicts if verdict.finding}
    assert found.judgement.verdict.is_failure
    assert kind in {verdict.kind for verdict in found.judgement.verdicts}
    assert problem is None or problem in problems


def test_a_hang_is_a_failure(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    found = _check(engine, miniature("hang"), tmp_path, VIT, timeout=8.0)
    assert found.sight.observation.ending is Ending.TIMEOUT
    assert found.judgement.verdict.kind is Kind.TIMEOUT


def test_a_parameter_that_a_release_lacks(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    found = _check(engine, miniature("correct"), tmp_path, VIT.replace('"pruning_ratio"', '"prooning_ratio"'))
    assert found.judgement.verdict.kind in (Kind.NOT_APPLICABLE, Kind.WRONG_SHAPE)


def test_two_builds(miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(VIT, "utf-8")
    (tmp_path / "_helper.py").write_text("1 / 0", "utf-8")
    files = check.files([tmp_path])
    assert [file.name for file in files] == ["mine.py"]
    for base, candidate, became in (
        ("correct", "correct", check.Became.SAME),
        ("correct", "desync", check.Became.WORSE),
        ("desync", "desync", check.Became.SAME),
        ("desync", "correct", check.Became.BETTER),
        ("correct", "crash-import", check.Became.UNDECIDED),
    ):
        (found,) = check.compare(miniature(base), miniature(candidate), files)
        assert (found.became, bool(found.new)) == (became, became is check.Became.WORSE)


def test_a_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no Python file"):
        check.files([tmp_path])


def _right(found: check.Checked) -> bool:
    return found.judgement.is_right
