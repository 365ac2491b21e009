"""Histories of fake builds, searched as a user does: the answer, the exit code, and the errors on bad input."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import miniatures
from headcount import bisect as bisection
from headcount.bisect import Answer, Find, Prober, Script, State
from headcount.bisect.probe import known_failure
from headcount.builds import Clone
from headcount.cli import main
from headcount.errors import ExitCode, SetupError, UsageError
from headcount.isolation import Engine
from headcount.observation import ScriptRun
from helpers import ISSUE_410 as CELL
from helpers import SETUP, git

#: A history: what each commit's package is, oldest first. "" leaves the package as it is.
WRONG = ("correct", "", "wrong-heads", "", "correct", "wrong-heads", "correct")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))


def repository(folder: Path, *packages: str) -> Path:
    """A clone with a commit and a tag `c0`, `c1`, … for each package."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "setup.py").write_text(SETUP.format(version="1.6.1"))
    for number, name in enumerate(packages):
        commit(folder, name, f"c{number}")
    return folder


def commit(folder: Path, name: str, tag: str) -> None:
    (folder / "README").write_text(tag)
    if name == "none":
        git(folder, "rm", "-q", "-r", "torch_pruning")
    elif name:
        (folder / "torch_pruning").mkdir(exist_ok=True)
        (folder / "torch_pruning" / "__init__.py").write_text(miniatures.source(name))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", f"make it {name or 'no other'}")
    git(folder, "tag", tag)


def branch(folder: Path, name: str, package: str) -> None:
    """A branch with one commit, and a tag of that name on it; main is where it was."""
    git(folder, "checkout", "-q", "-b", f"a-{name}")
    commit(folder, package, name)
    git(folder, "checkout", "-q", "main")


def merge(folder: Path, name: str, package: str, tag: str) -> None:
    """A merge of such a branch into main, whose package is the one named."""
    git(folder, "merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", f"a-{name}")
    (folder / "torch_pruning" / "__init__.py").write_text(miniatures.source(package))
    git(folder, "commit", "-q", "-a", "--amend", "--allow-empty", "-m", f"merge {name}")
    git(folder, "tag", tag)


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main(["bisect", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def sha(folder: Path, ref: str) -> str:
    return git(folder, "rev-parse", ref).strip()[:10]


def test_a_scan_finds_every_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", *WRONG)
    (clone / "README").write_text("changed, not committed")
    before = git(clone, "status", "--porcelain")
    output = tmp_path / "result.json"
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0", "--json", output)
    assert code == ExitCode.CLEAN
    wanted = [("introduced", "c2"), ("fixed", "c4"), ("introduced", "c5"), ("fixed", "c6")]
    said = ", ".join(f"{verb} by {sha(clone, ref)} (in no release yet)" for verb, ref in wanted)
    assert f"**{CELL}: {said}**" in out
    assert "..XX.X." in out
    assert "2 of 2 distinct builds: every build was run" in out
    result = json.loads(output.read_text())
    assert [(c["kind"], c["point"][:10]) for c in result["changes"]] == [(v, sha(clone, ref)) for v, ref in wanted]
    assert git(clone, "status", "--porcelain") == before


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--good", "c0", "--bad", "c2"], "introduced by {c2}"),
        (["--good", "c0", "--bad", "c3"], "introduced by {c2}"),
        (["--bad", "c3", "--good", "c4", "--find", "fixed"], "fixed by {c4}"),
    ],
)
def test_a_search_finds_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], answer: str
) -> None:
    clone = repository(tmp_path / "clone", *WRONG)
    code, out, _ = run(capsys, CELL, "--repo", clone, "--search", *options)
    assert code == ExitCode.CLEAN
    assert answer.format(c2=sha(clone, "c2"), c4=sha(clone, "c4")) in out
    assert "a binary search" in out


def test_a_good_end_is_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest is bad, too: the search goes back twice as far each time, until one is good."""
    clone = repository(tmp_path / "clone", "wrong-heads", "correct", "correct", "wrong-heads", "wrong-heads")
    git(clone, "tag", "v1.3.0", "c0")
    code, out, err = run(capsys, CELL, "--repo", clone, "--bad", "c4", "--search")
    assert code == ExitCode.CLEAN
    assert f"{sha(clone, 'c2')} is good: the search begins there" in err
    assert f"**{CELL}: introduced by {sha(clone, 'c3')} (in no release yet)**" in out
    only_bad = repository(tmp_path / "bad", "wrong-heads", "desync", "wrong-heads")
    git(only_bad, "tag", "v1.3.0", "c0")
    code, _, err = run(capsys, CELL, "--repo", only_bad, "--bad", "c2", "--search")
    assert code == ExitCode.INDETERMINATE
    assert "is good nowhere that was looked at" in err


def test_the_headline_says_where_numbers_move(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(miniatures.BROKEN, "wronger-heads", "MetaPruner.surplus = 2")
    clone = repository(tmp_path / "clone", "correct", "wrong-heads", "wronger-heads")
    _, out, _ = run(capsys, CELL.replace("vit3h", "vit"), "--repo", clone, "--good", "c0")
    assert f", heads left 3 -> 2 in {sha(clone, 'c2')}**" in out


def test_a_script_s_failure_that_looks_like_a_known_defect() -> None:
    raised = "AttributeError: 'MetaPruner' object has no attribute 'initial_total_heads'"
    failed = ScriptRun(1, "", raised, "pruner.algorithms.metapruner._prune")
    assert known_failure(failed) == ("410-total-heads",)
    assert known_failure(ScriptRun(1, "", "AssertionError: 3 heads")) == ()


def test_another_failure_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit that fails in another way hides where it began, and is named; with --any-failure it is bad."""
    clone = repository(tmp_path / "clone", "correct", "crash-step", "crash-import", "wrong-heads")
    for how in ("--scan", "--search"):
        code, out, _ = run(capsys, CELL, "--repo", clone, how, "--good", "c0", "--bad", "c3")
        assert code == ExitCode.INDETERMINATE
        assert f"introduced by one of 3, {sha(clone, 'c1')} to {sha(clone, 'c3')}" in out
        assert "not known: `crash: KeyError at step" in out
        assert "not known: `untestable: RuntimeError at import" in out
    code, out, _ = run(capsys, CELL, "--repo", clone, "--scan", "--any-failure", "--good", "c0", "--bad", "c3")
    assert code == ExitCode.CLEAN
    assert f"introduced by {sha(clone, 'c1')}" in out


def test_a_script_in_place_of_a_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", *WRONG[:4])
    script = tmp_path / "mine.py"
    script.write_text("import sys, torch_pruning\nsys.exit(torch_pruning.MetaPruner.surplus)\n")
    code, out, _ = run(capsys, script, "--repo", clone, "--search", "--good", "c0", "--bad", "c3")
    assert code == ExitCode.CLEAN
    assert f"mine.py: introduced by {sha(clone, 'c2')}" in out


def test_merges_are_followed_or_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct")
    git(clone, "checkout", "-q", "-b", "side")
    commit(clone, "wrong-heads", "side")
    git(clone, "checkout", "-q", "main")
    (clone / "other").write_text("so that there is something to merge")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "other")
    git(clone, "merge", "-q", "--no-ff", "-m", "merge", "side", "-X", "theirs")
    git(clone, "tag", "merged")
    for options, culprit in (([], "side"), (["--first-parent"], "merged")):
        for how in ("--scan", "--search"):
            _, out, _ = run(capsys, CELL, "--repo", clone, how, "--good", "c0", "--bad", "merged", *options)
            assert f"introduced by {sha(clone, culprit)}" in out


def test_a_branch_that_began_before_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It brings the failure in by a merge: the scan finds the commit on it, as the search does."""
    clone = repository(tmp_path / "clone", "correct")
    branch(clone, "side", "wrong-heads")
    commit(clone, "correct", "older")
    merge(clone, "side", "wrong-heads", "merged")
    for how in ("--scan", "--search"):
        code, out, _ = run(capsys, CELL, "--repo", clone, how, "--good", "older", "--bad", "HEAD")
        assert (code, f"introduced by {sha(clone, 'side')}" in out) == (ExitCode.CLEAN, True), out


def test_a_failure_that_is_older_than_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was there where the branch began, and was fixed on the other: the merge brings it in."""
    clone = repository(tmp_path / "clone", "wrong-heads")
    branch(clone, "side", "")
    commit(clone, "correct", "older")
    merge(clone, "side", "wrong-heads", "merged")
    commit(clone, "correct", "newer")
    for ends in (
        ["--good", "older", "--bad", "merged"],
        ["--good", "older"],
        ["--good", "older", "--find", "introduced"],
    ):
        code, out, _ = run(capsys, CELL, "--repo", clone, "--scan", *ends)
        assert (code, f"brought in by {sha(clone, 'merged')}" in out) == (ExitCode.CLEAN, True), out
    assert f"- {sha(clone, 'c0')}: bad: `wrong-heads" in out
    code, _, err = run(capsys, CELL, "--repo", clone, "--search", "--good", "older", "--bad", "merged")
    assert code == ExitCode.INDETERMINATE
    assert f"{sha(clone, 'c0')} is bad already, and {sha(clone, 'side')} was made on top of it" in err


def test_a_line_that_was_left_before_the_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was bad, and a merge took the other side: nothing was bad in the range, and nothing mended."""
    clone = repository(tmp_path / "clone", "wrong-heads")
    branch(clone, "older", "correct")
    git(clone, "merge", "-q", "--no-ff", "-m", "merge", "a-older")
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "older")
    assert (code, "mended" in out, "good throughout" in out) == (ExitCode.CLEAN, False, True), out


def test_a_relapse_by_a_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    branch(clone, "side", "")
    commit(clone, "correct", "c2")
    merge(clone, "side", "wrong-heads", "merged")
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0")
    assert code == ExitCode.CLEAN
    for words in (
        f"introduced by {sha(clone, 'c1')}",
        f"fixed by {sha(clone, 'c2')}",
        f"brought in by {sha(clone, 'merged')}",
    ):
        assert words in out


def test_a_branch_of_which_nothing_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may have been bad before: that another line is known does not help."""
    clone = repository(tmp_path / "clone", "crash-import")
    branch(clone, "side", "wrong-heads")
    commit(clone, "correct", "older")
    merge(clone, "side", "correct", "merged")
    for good in ("older", "c0"):
        git(clone, "tag", "-f", "v1.3.0", good)
        code, out, _ = run(capsys, CELL, "--repo", clone, "--find", "introduced")
        assert (code, f"before {sha(clone, 'side')} it is not known" in out) == (ExitCode.INDETERMINATE, True)
    with_line = ["--good", "side", "--bad", "merged", "--first-parent"]
    code, _, err = run(capsys, CELL, "--repo", clone, *with_line)
    assert (code, "side is not on the line of merged's first parents" in err) == (ExitCode.USAGE, True)


def test_failures_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a bad end, every change of the verdict is reported, and none is merged with another."""
    clone = repository(tmp_path / "clone", "correct", "crash-step", "wrong-heads", "correct")
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0")
    assert code == ExitCode.CLEAN
    assert f"introduced by {sha(clone, 'c1')} (in no release yet) as crash: KeyError: 'step': \\<lambda>" in out
    assert f"becomes another failure by {sha(clone, 'c2')} (in no release yet) as wrong-heads: " in out
    assert f"fixed by {sha(clone, 'c3')}" in out
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0", "--any-failure")
    assert f"introduced by {sha(clone, 'c1')} (in no release yet), fixed by {sha(clone, 'c3')}" in out
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0", "--bad", "c2")
    assert (code, "introduced by one of 2" in out) == (ExitCode.INDETERMINATE, True)


@pytest.mark.parametrize(
    ("packages", "options", "code", "says"),
    [
        (
            ("crash-import", "wrong-heads", ""),
            [],
            ExitCode.INDETERMINATE,
            "to HEAD ({c2}), before {c1} it is not known",
        ),
        (
            ("correct", "", "crash-import"),
            [],
            ExitCode.INDETERMINATE,
            "good throughout, {c0} to {c1}, after {c1} it is not known",
        ),
        (("correct", "", "crash-import"), ["--find", "fixed"], ExitCode.CLEAN, "good throughout"),
        (("crash-import", "wrong-heads", "correct"), ["--find", "fixed"], ExitCode.CLEAN, "fixed by {c2}"),
        (("crash-import", "wrong-heads", "correct"), [], ExitCode.INDETERMINATE, "before {c1} it is not known"),
    ],
)
def test_ends_that_cannot_be_tested_hide_changes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    packages: Sequence[str],
    options: Sequence[str],
    code: int,
    says: str,
) -> None:
    clone = repository(tmp_path / "clone", *packages)
    git(clone, "tag", "v1.3.0", "c0")
    named = {"c0": f"v1.3.0 ({sha(clone, 'c0')})", "c1": sha(clone, "c1"), "c2": sha(clone, "c2")}
    found, out, err = run(capsys, CELL, "--repo", clone, "--scan", *options)
    assert (found, says.format(**named) in out) == (code, True), out + err


def test_one_tree_with_two_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A build is not given what its version never promised: the tree alone does not tell builds apart."""
    clone = repository(tmp_path / "clone", "correct")
    for number, version in enumerate(("1.2.0", "1.6.1"), 1):
        (clone / "setup.py").write_text(SETUP.format(version=version))
        commit(clone, "", f"c{number}")
    _, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0", "--bad", "c2")
    assert out == ""
    _, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0")
    assert "2 of 2 distinct builds" in out


def test_a_build_that_exits_while_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "wrong-heads", "exit-import", "correct")
    script = tmp_path / "mine.py"
    script.write_text("import sys, torch_pruning; sys.exit(torch_pruning.MetaPruner.surplus)")
    code, out, _ = run(capsys, script, "--repo", clone, "--bad", "c0", "--find", "fixed")
    assert (code, "X?." in out) == (ExitCode.INDETERMINATE, True)


def test_a_hook_s_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    (clone / "docs").mkdir()
    other = repository(tmp_path / "other", "correct", "")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    for named in (clone, clone / "docs"):
        _, out, _ = run(capsys, CELL, "--repo", named, "--good", "HEAD~1")
        monkeypatch.delenv("GIT_DIR", raising=False)
        assert f"introduced by {sha(clone, 'c1')}" in out


def test_what_was_not_tested_is_blank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", *["correct", "desync"] * 6, "wrong-heads")
    script, count = tmp_path / "mine.py", tmp_path / "count"
    script.write_text(
        f"import sys, torch_pruning; open({str(count)!r}, 'a').write('x')\nsys.exit(torch_pruning.MetaPruner.surplus)"
    )
    _, out, _ = run(capsys, script, "--repo", clone, "--search", "--good", "c0", "--bad", "c12")
    assert "blank not tested" in out
    assert f"- c0 ({sha(clone, 'c0')}): good" in out
    assert count.read_text() == "xxx"  # there are three builds


def test_failures_of_one_text_are_told_apart_by_where_they_arise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script's exception, with its own hook or without, is another if another function of the build raises it."""
    clone = repository(tmp_path / "clone", "correct", "raises-here", "raises-there")
    script = tmp_path / "mine.py"
    uncaught = "import torch_pruning\ngetattr(torch_pruning, 'fails', int)()\n"
    hooked = "import sys, traceback\ndef status(_, error, __): traceback.print_exception(error); sys.exit(1)\n"
    for text in (uncaught, f"{hooked}sys.excepthook = status\n{uncaught}"):
        script.write_text(text)
        code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0", "--bad", "c2")
        assert (code, f"introduced by one of 2, {sha(clone, 'c1')}" in out) == (ExitCode.INDETERMINATE, True), out
        code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
        assert (code, f"becomes another failure by {sha(clone, 'c2')}" in out) == (ExitCode.CLEAN, True), out
        assert "out of range in there" in out


def test_failures_of_one_text_at_two_lines_are_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bare assert says nothing but where it stands, and where it was called from."""
    clone = repository(tmp_path / "clone", "correct", "crash-step", "wrong-heads")
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch_pruning\n"
        "def check(fine):\n"
        "    assert fine\n"
        "check('<lambda>' not in repr(torch_pruning.MetaPruner.step))\n"
        "check(not torch_pruning.MetaPruner.surplus)\n"
    )
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0", "--bad", "c2")
    assert (code, "introduced by one of 2" in out) == (ExitCode.INDETERMINATE, True), out
    assert f"- {sha(clone, 'c1')}: skip: `AssertionError at line 4, 3" in out


def test_what_is_raised_beside_is_not_what_ended_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads", "correct")
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch_pruning\n"
        "class Odd:\n"
        "    def __del__(self): raise KeyError('while it goes')\n"
        "def fail():\n"
        "    odd = Odd()\n"
        "    raise ValueError('A' if torch_pruning.MetaPruner.surplus else 'B')\n"
        "fail()\n"
    )
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c1", "--any-failure", "--find", "fixed", "--bad", "c0")
    script.write_text(script.read_text().replace("fail()\n", "fail() if torch_pruning.MetaPruner.surplus else 0\n"))
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert f"- {sha(clone, 'c1')}: bad: `ValueError: A at line" in out


def test_what_a_script_starts_sees_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a process of its own, and by multiprocessing, however that starts them."""
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    script = tmp_path / "mine.py"
    script.write_text(
        "import subprocess, sys\n"
        "code = 'import sys, torch_pruning; sys.exit(torch_pruning.MetaPruner.surplus)'\n"
        "sys.exit(subprocess.run([sys.executable, '-c', code]).returncode)\n"
    )
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert (code, f"introduced by {sha(clone, 'c1')}" in out) == (ExitCode.CLEAN, True), out
    script.write_text(
        "import multiprocessing, sys, torch_pruning\n"
        "def surplus(_):\n"
        "    return torch_pruning.MetaPruner.surplus\n"
        "if __name__ == '__main__':\n"
        "    for method in ('spawn', 'forkserver', 'fork', None):\n"
        "        with multiprocessing.get_context(method).Pool(1) as pool:\n"
        "            found = pool.map(surplus, [0])\n"
        "    assert multiprocessing.get_start_method() == multiprocessing.get_all_start_methods()[0]\n"
        "    sys.exit(found[0])\n"
    )
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert (code, f"introduced by {sha(clone, 'c1')}" in out) == (ExitCode.CLEAN, True), out


_ANOTHER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('torch_pruning', sys.argv[0] + '.d/torch_pruning/__init__.py')
sys.modules['torch_pruning'] = importlib.util.module_from_spec(spec)
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import torch_pruning\nprint(undefined)", "NameError: name 'undefined' is not defined"),
        ("import torch_prunning", "ModuleNotFoundError: No module named 'torch_prunning'"),
        ("from torch_pruning import Nonsense", "ImportError: cannot import name 'Nonsense'"),
        ("print('fine')", "the script never imported torch_pruning"),
        ("raise SystemExit(1)", "the script never imported torch_pruning"),
        ("raise ValueError('early')", "ValueError: early: the script never imported torch_pruning"),
        ("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'])\nsys.exit(1)", "never imported"),
        (
            _ANOTHER,
            "mine.py.d/torch_pruning, which is not the build",
        ),
        ("import torch_pruning\n{}['slip']", "fails on every build, and never inside torch_pruning: KeyError: 'slip'"),
    ],
)
def test_a_script_that_is_at_fault_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    script = tmp_path / "mine.py"
    script.write_text(text)
    miniatures.build(tmp_path).path.rename(tmp_path / "mine.py.d")
    git(clone, "tag", "v1.3.0", "c0")
    code, out, err = run(capsys, script, "--repo", clone)
    assert (code, out) == (ExitCode.INDETERMINATE, ""), err
    assert says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import torch_pruning\nassert False, 'never right'", "bad throughout"),
        ("import torch_pruning, sys\nsys.exit(1)", "bad throughout"),
        ("import torch_pruning\ntorch_pruning.MetaPruner(None, None, None)", "bad throughout"),
        (
            "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import torch_pruning'])\nsys.exit(1)",
            "bad throughout",
        ),
    ],
)
def test_a_script_that_fails_on_every_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    """By what it says itself, inside the build, or by a process of its own: that is an answer."""
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    git(clone, "tag", "v1.3.0", "c0")
    script = tmp_path / "mine.py"
    script.write_text(text)
    code, out, err = run(capsys, script, "--repo", clone)
    assert (code, says in out) == (ExitCode.CLEAN, True), out + err


def test_what_differs_is_shown_though_it_is_one_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads", "wrong-selection", "crash-step", "correct")
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch_pruning, sys, warnings\n"
        "print('happened:', 2 + torch_pruning.MetaPruner.surplus, 'heads')\n"
        "warnings.warn('that is the last line')\n"
        "sys.exit(1)"
    )
    git(clone, "tag", "v1.3.0", "c0")
    _, out, _ = run(capsys, script, "--repo", clone)
    assert "bad throughout" in out
    for words in (f"({sha(clone, 'c0')}): bad: `happened: 2 heads", f"- {sha(clone, 'c1')}: bad: `happened: 3 heads"):
        assert words in out
    _, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0", "--any-failure")
    assert f"- {sha(clone, 'c1')}: bad: `wrong-heads" in out
    assert f"- {sha(clone, 'c3')}: bad: `crash" in out
    script.write_text(
        f"import torch_pruning, sys, time, pathlib\ncount = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "count.write_text((count.read_text() if count.exists() else '') + 'x')\n"
        "print('happened: after', len(count.read_text()), 's'); sys.exit(1)"
    )
    many = repository(tmp_path / "many", "correct", "wrong-heads", "none", "correct")
    for number in range(10):
        (many / "torch_pruning" / "__init__.py").write_text(f"{miniatures.source('correct')}\n# {number}\n")
        commit(many, "", f"d{number}")
    git(many, "tag", "v1.3.0", "c3")
    _, out, _ = run(capsys, script, "--repo", many)
    assert "bad: `happened: after " in out
    assert "(and 10 other wordings)" in out


def test_a_script_that_hangs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a failure after --timeout. Until then a line now and then says what is waited for."""
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    script = tmp_path / "mine.py"
    script.write_text("import torch_pruning, time\ntime.sleep(1e6 * torch_pruning.MetaPruner.surplus)")
    monkeypatch.setattr("headcount.report.console.BEAT", 0.2)
    code, out, err = run(capsys, script, "--repo", clone, "--good", "c0", "--timeout", "2")
    assert code == ExitCode.CLEAN
    assert "killed: no end within 2 s" in out
    assert "1 of 2 after " in err
    assert f": testing HEAD ({sha(clone, 'c1')})" in err


def test_each_reason_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "crash-import", "exit-import", "wrong-heads")
    script = tmp_path / "mine.py"
    script.write_text("import sys, torch_pruning; sys.exit(torch_pruning.MetaPruner.surplus)")
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert f"- {sha(clone, 'c1')}: skip: `exits with 125: RuntimeError: no import today" in out
    assert f"- {sha(clone, 'c2')}: skip: `exits with 125: the build cannot be imported`" in out


def test_what_a_script_reads_may_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it did before is taken from the cache on demand only: a helper beside it is imported, and may be another."""
    clone = repository(tmp_path / "clone", *WRONG[:4])
    script, helper = tmp_path / "mine.py", tmp_path / "helper.py"
    script.write_text("import sys, helper, torch_pruning\nsys.exit(helper.bad(torch_pruning.MetaPruner.surplus))\n")
    helper.write_text("def bad(n): return n")
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert f"introduced by {sha(clone, 'c2')}" in out
    helper.write_text("def bad(n): return 0  # never")
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0", "--resume")
    assert f"introduced by {sha(clone, 'c2')}" in out
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert "good throughout" in out


def test_how_a_script_may_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception is a failure, and told from others; but not while the build is being imported."""
    clone = repository(tmp_path / "clone", "correct", "crash-import", "wrong-heads", "crash-step")
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch_pruning\n"
        "assert torch_pruning.MetaPruner.surplus == 0, f'surplus {torch_pruning.MetaPruner.surplus}'\n"
        "torch_pruning.MetaPruner.step() if 'lambda' in repr(torch_pruning.MetaPruner.step) else None\n"
    )
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert code == ExitCode.INDETERMINATE
    assert "skip: `exits with 125: RuntimeError: no import today" in out
    assert f"introduced by one of 2, {sha(clone, 'c1')} to {sha(clone, 'c2')} as AssertionError: surplus N" in out
    assert f"becomes another failure by {sha(clone, 'c3')}" in out
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0", "--bad", "c3")
    assert f"introduced by one of 3, {sha(clone, 'c1')} to {sha(clone, 'c3')}" in out
    script.write_text(
        "import torch_pruning, multiprocessing\n"
        "child = multiprocessing.get_context('fork').Process(target=int)\n"
        "child.start(); child.join()\n"
        "if torch_pruning.MetaPruner.surplus: raise ValueError('one\\nsee the manual')\n"
        "if '<lambda>' in repr(torch_pruning.MetaPruner.step): raise TypeError('other\\nsee the manual')\n"
    )
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert "as ValueError: one" in out
    assert f"becomes another failure by {sha(clone, 'c3')} (in no release yet) as TypeError: other" in out
    script.write_text("import torch_pruning\nif torch_pruning.MetaPruner.surplus: raise MemoryError('no more')\n")
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0", "--bad", "c2")
    assert code == ExitCode.INDETERMINATE
    script.write_text("import torch_pruning, sys; sys.exit(7)")
    code, _, err = run(capsys, script, "--repo", clone, "--good", "c0")
    assert (code, "exits with 7, which says nothing" in err) == (ExitCode.INDETERMINATE, True)


def test_a_cell_as_it_fails_on_a_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test's id may name the build; then what it shows there is looked for."""
    clone = repository(tmp_path / "clone", "correct", "crash-step")
    code, _, err = run(capsys, f"nosuch-{CELL}", "--repo", clone, "--good", "c0")
    assert (code, "'nosuch' is no build" in err) == (ExitCode.USAGE, True)


def test_a_commit_that_git_shows_oddly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct")
    commit(clone, "wrong-heads", "c1")
    git(clone, "commit", "-q", "--amend", "-m", "one\u2028line\x1f of two\x0b or three")
    (clone / "setup.py").write_text(SETUP.format(version="1.4.x"))
    commit(clone, "", "c2")
    git(clone, "config", "log.showSignature", "true")
    code, out, err = run(capsys, CELL, "--repo", clone, "--good", "c0", "--bad", "HEAD~1")
    assert (code, "introduced by" in out) == (ExitCode.CLEAN, True), err
    code, out, err = run(capsys, CELL, "--repo", clone, "--good", "c0")
    assert (code, "introduced by" in out) == (ExitCode.CLEAN, True), err


def test_the_call_is_checked_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, tests = tmp_path / "there.json", tmp_path / "test_mine.py"
    output.write_text("{}")
    tests.write_text("import torch_pruning\ndef test_it(): assert False\n")
    for words, says in (
        ((CELL, "--json", output), "there.json exists, and is left as it is"),
        ((CELL, "--json", tmp_path / "nowhere" / "new.json"), "there is no folder"),
        ((CELL, "--first-parent"), "--first-parent is for commits"),
        ((CELL, "--search", "--find", "all"), "a binary search finds one change"),
        (("x" * 300,), "is no cell, no known defect, and no file"),
        ((tmp_path / "none.py",), "cannot be read: No such file"),
        ((CELL, "--good", "1.4.1", "--bad", "1.4.1"), "both ends are 1.4.1"),
        (("steps-compund",), "is no cell, no known defect, and no file (near are the defects steps-compound"),
        ((tests,), "test_mine.py defines tests, and calls none of them (end it with import sys, pytest;"),
        ((CELL, "--resume"), "--resume is for scripts"),
        ((CELL, "--timeout", "3"), "--timeout is for files"),
        (("total-heads",), "(near are the defects 410-total-heads; "),
        (("#409",), "(near are the defects 410, 411"),
        (("410", "--bad", "v1.4.1"), "v1.4.1 is no release with head pruning (1.4.1 is)"),
        (("#410", "--bad", "master"), "a commit, tag or branch needs --repo CLONE"),
    ):
        code, out, err = run(capsys, *words)
        assert (code, out, says in err) == (ExitCode.USAGE, "", True), err
    with pytest.raises(SystemExit) as ended:
        run(capsys, CELL, "--good", "")
    assert ended.value.code == ExitCode.USAGE
    broken = tmp_path / "script.sh"
    broken.write_text("if true; then exit 1; fi")
    code, _, err = run(capsys, broken)
    assert (code, "is not Python" in err) == (ExitCode.USAGE, True)


def test_a_full_disk_is_no_defect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headcount.cli.shared.cell_named", full)
    code, _, err = run(capsys, CELL)
    assert (code, "No space left on device" in err) == (ExitCode.SETUP, True)


def test_a_commit_without_the_package_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "none", "correct", "wrong-heads")
    code, out, _ = run(capsys, CELL, "--repo", clone, "--good", "c0", "--bad", "c3")
    assert code == ExitCode.CLEAN
    assert ".?.X" in out
    assert "has no package torch_pruning" in out


def test_what_was_run_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an interrupted run goes on where it was."""
    clone = repository(tmp_path / "clone", *WRONG)
    _, first, _ = run(capsys, CELL, "--repo", clone, "--good", "c0")

    def observe(*_: object, **__: object) -> None:
        raise AssertionError

    output = tmp_path / "there.json"
    monkeypatch.setattr("headcount.isolation.engine.Engine.observe", observe)
    _, second, _ = run(capsys, CELL, "--repo", clone, "--json", output, "--good", "c0")
    assert second == first
    assert output.is_file()
    _, second, _ = run(capsys, CELL, "--repo", clone, "--good", "c0")
    assert second == first
    code, _, err = run(capsys, CELL, "--repo", clone, "--good", "c0", "--fresh")
    assert (code, "AssertionError: please report it" in err) == (ExitCode.SETUP, True)


def test_an_end_that_cannot_be_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "crash-import", "correct", "wrong-heads")
    code, _, err = run(capsys, CELL, "--repo", clone, "--good", "c0", "--bad", "c2")
    assert code == ExitCode.INDETERMINATE
    assert "cannot be an end: untestable: RuntimeError at import" in err
    commit(clone, "none", "c3")
    code, _, err = run(capsys, CELL, "--repo", clone, "--good", "c1", "--bad", "c3")
    assert (code, "cannot be an end: " in err) == (ExitCode.INDETERMINATE, True)


def test_nothing_testable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "crash-import", "exit-import", "crash-import")
    git(clone, "tag", "v1.3.0", "c0")
    code, _, err = run(capsys, CELL, "--repo", clone)
    assert code == ExitCode.INDETERMINATE
    assert "nothing in the range can be tested" in err
    assert "no import today" in err


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--good", "c3", "--bad", "c0"], ExitCode.USAGE, "c3 is newer than c0 (--good names the older end"),
        (["--good", "c0", "--bad", "c0"], ExitCode.USAGE, "are the same commit"),
        (["--good", "c0", "--bad", "nosuch"], ExitCode.USAGE, "there is no commit 'nosuch'"),
        (["--good", "apart", "--bad", "c3"], ExitCode.USAGE, "apart is not an ancestor of c3"),
        (["--good", "c0", "--bad", "c1"], ExitCode.USAGE, "should be bad for"),
        (["--scan", "--good", "c2", "--bad", "c3"], ExitCode.USAGE, "should be good for"),
        (["--search", "--good", "c2", "--bad", "c3"], ExitCode.USAGE, "should be good for"),
    ],
)
def test_wrong_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], code: int, says: str
) -> None:
    clone = repository(tmp_path / "clone", *WRONG[:4])
    git(clone, "checkout", "-q", "--orphan", "elsewhere")
    commit(clone, "correct", "apart")
    found, _, err = run(capsys, CELL, "--repo", clone, *options)
    assert (found, says in err) == (code, True), err


def test_what_is_no_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, CELL, "--repo", tmp_path)
    assert (code, "is no git repository that can be read: not a git repository" in err) == (ExitCode.USAGE, True)
    clone = repository(tmp_path / "clone", *WRONG[:3])
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{clone}", str(tmp_path / "shallow")], check=True)
    code, _, err = run(capsys, CELL, "--repo", tmp_path / "shallow")
    assert (code, "is a shallow clone" in err) == (ExitCode.USAGE, True)


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SetupError, match="only be read with git"):
        Clone(tmp_path)


def test_releases_out_of_order() -> None:
    with pytest.raises(UsageError, match="1.5.0 is not older than 1.4.1"):
        bisection.releases("1.5.0", "1.4.1")
    with pytest.raises(UsageError, match="1.2.0 is no release with head pruning"):
        bisection.releases("1.2.0", "1.4.1")


def test_what_a_commit_says_of_itself(tmp_path: Path) -> None:
    clone = Clone(repository(tmp_path / "clone", "correct", "", "none"))
    git(clone.path, "tag", "v1.6.1", "c1")
    commits = clone.commits("c0", "c2")
    assert [c.subject for c in commits] == ["make it no other", "make it none"]
    assert commits[0].tree == clone.commit("c0").tree != ""
    assert commits[1].tree == ""
    assert commits[0].version == "1.6.1"
    assert clone.released(clone.commit("c0").sha) == "v1.6.1"
    assert clone.released(commits[1].sha) == ""


def test_each_build_is_tested_once(tmp_path: Path) -> None:
    """However many commits have it."""
    clone = Clone(repository(tmp_path / "clone", *WRONG))
    span = bisection.commits(clone, "c0", "c6")
    script = tmp_path / "mine.py"
    script.write_text("import torch_pruning, sys; sys.exit(torch_pruning.MetaPruner.surplus)")
    reported: list[Answer] = []
    with Engine() as engine:
        prober = Prober(engine, Script(script), span, lambda _, answer: reported.append(answer) if answer else None)
        result = bisection.scan(prober, Find.INTRODUCED)
    assert [answer.state for answer in reported] == [State.GOOD, State.BAD]
    assert [span.commits[c.point].subject for c in result.changes] == ["make it wrong-heads"] * 2


_TEST = """
import sys, pytest
def test_it():
    import torch_pruning
    assert torch_pruning.MetaPruner.surplus == 0
if __name__ == '__main__':
    sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', __file__]))
"""
_PROGRAM = "import sys, torch_pruning; sys.exit(torch_pruning.MetaPruner.surplus != 0)"


@pytest.mark.parametrize(
    "text",
    [
        _PROGRAM,
        f"import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-c', {_PROGRAM!r}]))",
        "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, 'program.py']))",
        "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n" + _PROGRAM,
        _TEST,
    ],
)
def test_a_script_in_a_checkout_has_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Whatever stands beside it, and whatever it starts."""
    clone = repository(tmp_path / "clone", "correct", "wrong-heads", "correct")
    (clone / "program.py").write_text(_PROGRAM)
    (clone / "mine.py").write_text(text)
    monkeypatch.chdir(clone)
    code, out, err = run(capsys, "mine.py", "--repo", clone, "--good", "c0")
    assert code == ExitCode.CLEAN, out + err
    assert f"introduced by {sha(clone, 'c1')}" in out
    assert f"fixed by {sha(clone, 'c2')}" in out


@pytest.mark.parametrize(
    "fails",
    [
        "raise RuntimeError(f'{torch_pruning} is wrong')",
        "assert False, torch_pruning",
        "open(torch_pruning.__file__ + 'x')",
        "raise type('Odd', (BaseException,), {})('as it is')",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    ],
)
def test_where_a_build_lies_is_nothing_that_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: str
) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads", "wrong-selection")
    for name in ("wrong-heads", "wrong-selection"):
        assert miniatures.source(name)
    (clone / "torch_pruning" / "__init__.py").write_text(miniatures.source("wrong-heads") + "\n# otherwise the same\n")
    commit(clone, "", "c3")
    script = tmp_path / "mine.py"
    script.write_text(f"import torch_pruning\nif torch_pruning.MetaPruner.surplus: {fails}\n")
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert "cache" not in out
    if "SIGSEGV" in fails:
        assert "skip: `killed: SIGSEGV`" in out
    else:
        assert code == ExitCode.CLEAN, out
        assert out.startswith(f"**mine.py: introduced by {sha(clone, 'c1')} (in no release yet), fixed by"), out


def test_an_interruption_of_its_own_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    script = tmp_path / "mine.py"
    script.write_text("import torch_pruning\nif torch_pruning.MetaPruner.surplus: raise KeyboardInterrupt\n")
    code, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert "skip: `exits with 125: KeyboardInterrupt" in out
    assert code == ExitCode.INDETERMINATE


def test_what_a_script_prints_is_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = repository(tmp_path / "clone", "correct", "wrong-heads")
    git(clone, "commit", "-q", "--amend", "-m", "make it *bold* `tick` <b>")
    git(clone, "tag", "-f", "c1")
    script = tmp_path / "mine.py"
    script.write_text("import sys, torch_pruning as t\nprint('\\x1b[31mred `<b>')\nsys.exit(t.MetaPruner.surplus != 0)")
    _, out, _ = run(capsys, script, "--repo", clone, "--good", "c0")
    assert "\x1b" not in out
    assert "good: `` [31mred `<b> ``" in out
    assert "make it \\*bold\\* \\`tick\\` \\<b>" in out
