"""A clone is read and never changed: its commits, and the package as each has it."""

from pathlib import Path

import pytest

from headcount import builds
from headcount.builds import Clone
from headcount.builds.git import export
from headcount.errors import SetupError, UsageError
from helpers import checkout, git


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Three commits: the package, another file, and the package gone."""
    folder = checkout(tmp_path / "clone")
    git(folder, "init", "--quiet")
    for subject in ("make it", "add a line \x85 to the notes", "remove it"):
        if subject.startswith("add"):
            (folder / "notes").write_text("a line")
        if subject.startswith("remove"):
            git(folder, "rm", "-r", "--quiet", "torch_pruning")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", f"--message={subject}")
    git(folder, "tag", "v1.6.1", "HEAD~1")
    git(folder, "tag", "v1.10.0", "HEAD~1")
    git(folder, "tag", "nightly", "HEAD")
    return folder


def test_commits(clone: Path) -> None:
    read = Clone(clone)
    first, *later = read.commits("HEAD~2", "HEAD")
    assert [commit.subject for commit in (first, *later)] == ["add a line \x85 to the notes", "remove it"]
    assert first.tree == read.commit("HEAD~2").tree != ""
    assert later[0].tree == ""
    assert first.version == "1.6.1"
    assert read.boundary([first, *later]) == [read.commit("HEAD~2")]
    assert read.is_ancestor("HEAD~2", "HEAD")
    assert not read.is_ancestor("HEAD", "HEAD~2")


def test_the_first_release_that_has_a_commit(clone: Path) -> None:
    read = Clone(clone)
    assert read.released(read.commit("HEAD~2").sha) == "v1.6.1"
    assert read.released(read.commit("HEAD").sha) == ""


def test_a_ref_that_is_not_there(clone: Path) -> None:
    read = Clone(clone)
    assert (read.has("v1.6.1"), read.has("1.6.1")) == (True, False)
    with pytest.raises(UsageError, match="there is no commit '1.6.1' in .*did you mean v1.6.1"):
        read.resolve("1.6.1")
    with pytest.raises(UsageError, match="there is no commit 'nowhere' in .*git tag list"):
        read.resolve("nowhere")


def test_a_folder_that_is_no_clone(tmp_path: Path, clone: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        Clone(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is no git repository that can be read: not a git repository"):
        Clone(tmp_path / "empty")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{clone}", str(tmp_path / "shallow"))
    with pytest.raises(UsageError, match="is a shallow clone.*unshallow"):
        Clone(tmp_path / "shallow")


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SetupError, match="only be read with git"):
        Clone(tmp_path)
    with pytest.raises(SetupError, match="only be read with git"):
        export(tmp_path, "HEAD", tmp_path / "out")


def test_the_package_at_a_commit(tmp_path: Path, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes an overlay, also in a cache that is named by a relative path."""
    commit = Clone(clone).commit("v1.6.1")
    monkeypatch.chdir(tmp_path)
    overlay = builds.prepare_tree(clone, commit.tree, commit.version, "clone@v1.6.1", Path("cache"))
    assert (overlay.version, builds.is_whole(overlay)) == ("1.6.1", True)
    assert sorted(path.name for path in overlay.path.iterdir() if path.is_dir()) == [
        "torch_pruning",
        "torch_pruning-1.6.1.dist-info",
    ]
    assert not list(overlay.path.rglob("*.tar"))
    assert builds.prepare_tree(clone, commit.tree, commit.version, "clone@v1.6.1", Path("cache")) == overlay
    with pytest.raises(UsageError, match="nothing has no package"):
        builds.prepare_tree(clone, "", "1.6.1", "nothing")


def test_uncommitted_changes(clone: Path) -> None:
    assert not builds.has_changes(clone)
    (clone / "untracked").touch()
    assert not builds.has_changes(clone)
    (clone / "notes").write_text("another line")
    git(clone, "rm", "--quiet", "setup.py")
    assert builds.has_changes(clone)
