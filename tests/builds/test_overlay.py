"""How an overlay is made: complete or absent, once for all runs, without a change to what it is made of."""

import marshal
import os
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import miniatures
from headcount import builds
from headcount.errors import UsageError
from helpers import SETUP, checkout, git, make_wheel


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of a miniature, as an index would serve it."""
    return make_wheel(tmp_path)


def test_a_wheel_is_installed_once(tmp_path: Path, wheel: Path) -> None:
    said: list[str] = []
    first = builds.prepare(builds.parse(str(wheel)), tmp_path / "cache", said.append)
    second = builds.prepare(builds.parse(str(wheel)), tmp_path / "cache", said.append)
    assert first == second
    assert (first.version, said) == ("1.6.1", ["torch_pruning-1.6.1-py3-none-any: installing"])
    assert (first.path / "torch_pruning" / "__init__.py").read_text() == miniatures.CORRECT


def test_a_half_made_overlay_is_made_again(tmp_path: Path, wheel: Path) -> None:
    said: list[str] = []
    build = builds.parse(str(wheel))
    whole = builds.prepare(build, tmp_path / "cache")
    for damage in (
        lambda: (whole.path / "torch_pruning" / "__init__.py").write_text("cut off he"),
        lambda: next(whole.path.glob("*.json")).unlink(),
        lambda: shutil.rmtree(next(whole.path.glob("*.dist-info"))),
    ):
        damage()
        assert builds.prepare(build, tmp_path / "cache", said.append) == whole
    assert (
        said.count("torch_pruning-1.6.1-py3-none-any: the overlay in the cache is not whole, installing it again") == 3
    )


def test_all_that_can_be_imported_is_content(tmp_path: Path, wheel: Path) -> None:
    """Code may lie beside the metadata. What installers note for themselves is no part of a build."""
    overlay = builds.prepare(builds.parse(str(wheel)), tmp_path / "cache")
    (info,) = overlay.path.glob("*.dist-info")
    for name in ("INSTALLER", "RECORD", "direct_url.json"):
        (info / name).write_text("another")
    assert builds.is_whole(overlay)
    for place in (info, overlay.path / "torch_pruning" / "__pycache__", overlay.path):
        (place / "implementation.py").write_text("keep = len")
        assert not builds.is_whole(overlay)
        (place / "implementation.py").unlink()
        assert builds.is_whole(overlay)


def test_byte_code_is_ours(tmp_path: Path, wheel: Path) -> None:
    """Byte code under a true header, cut off, or gone, is made again; each time the source is what runs."""
    build, said = builds.parse(str(wheel)), list[str]()
    overlay = builds.prepare(build, tmp_path / "cache")
    (code,) = (overlay.path / "torch_pruning").rglob("__init__.*.pyc")
    made = code.read_bytes()
    for damaged in (made[:16] + b"another" + made[16:], made[: len(made) // 2], b""):
        code.write_bytes(damaged)
        assert builds.prepare(build, tmp_path / "cache", said.append) == overlay
        assert code.read_bytes()[:16] == made[:16]
        assert marshal.loads(code.read_bytes()[16:]).co_names == marshal.loads(made[16:]).co_names  # noqa: S302 - made here
    assert said == [f"{overlay.label}: its byte code is not what was made, making it again"] * 3
    code.unlink()
    builds.prepare(build, tmp_path / "cache")
    assert code.exists()


@pytest.mark.parametrize("name", ["headcount-overlay.json", "__init__.*.pyc", "METADATA", "__init__.py"])
@pytest.mark.parametrize("what", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_what_is_no_file_any_more_is_made_again(
    tmp_path: Path, wheel: Path, name: str, what: Callable[[Path], object]
) -> None:
    """A folder, a link to itself, or a pipe, which would be read without end."""
    build = builds.parse(str(wheel))
    overlay = builds.prepare(build, tmp_path / "cache")
    (found,) = overlay.path.rglob(name)
    found.unlink()
    what(found)
    assert builds.prepare(build, tmp_path / "cache") == overlay
    assert found.is_file()


def test_what_a_killed_run_left_half_made_is_removed(tmp_path: Path, wheel: Path) -> None:
    build = builds.parse(str(wheel))
    overlay = builds.prepare(build, tmp_path / "cache")
    left = overlay.path.with_name(f".{overlay.path.name}-abcdefgh")
    left.mkdir()
    shutil.rmtree(overlay.path)
    assert builds.prepare(build, tmp_path / "cache") == overlay
    assert not left.exists()


def test_what_is_whole_needs_no_lock(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that cannot be written has all that is in it."""
    whole = builds.prepare(builds.parse(str(wheel)), tmp_path / "cache")

    def refuses(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr("headcount.builds.kept.FileLock", refuses)
    assert builds.prepare(builds.parse(str(wheel)), tmp_path / "cache") == whole


def test_a_checkout_is_not_touched(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "tp")
    before = sorted(folder.rglob("*"))
    overlay = builds.prepare(builds.parse(str(folder)), tmp_path / "cache")
    assert sorted(folder.rglob("*")) == before
    (folder / "torch_pruning" / "__init__.py").write_text(miniatures.CORRECT + "\n# changed\n")
    changed = builds.prepare(builds.parse(str(folder)), tmp_path / "cache")
    assert changed.path != overlay.path
    assert changed.digest != overlay.digest


def test_what_of_a_checkout_is_no_content(tmp_path: Path) -> None:
    """A pipe would be read for ever, and a link to its own folder has no end."""
    folder = checkout(tmp_path / "tp")
    package = folder / "torch_pruning"
    (package / "linked").symlink_to(folder / "setup.py")
    os.mkfifo(package / "pipe")
    (package / "up").symlink_to("..")
    (package / "one").symlink_to("other")
    (package / "other").symlink_to("one")
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(folder / "s"))
        overlay = builds.prepare(builds.parse(str(folder)), tmp_path / "cache")
    assert {path.name for path in (overlay.path / "torch_pruning").iterdir()} == {"__init__.py", "__pycache__"}
    key = overlay.path.name
    (package / "pipe").unlink()
    assert builds.prepare(builds.parse(str(folder)), tmp_path / "cache").path.name == key


@pytest.mark.parametrize("name", ["a#b", "a b", "a%20b", "a\nb", "a\x1b[31mb", "a'b\"c", "a[b]", "a;b", "a@b"])
def test_a_checkout_may_be_called_anything(tmp_path: Path, name: str) -> None:
    overlay = builds.prepare(builds.parse(str(checkout(tmp_path / name))), tmp_path / "cache")
    assert overlay.version == "1.6.1"
    assert overlay.label.isprintable()


def test_a_ref_of_a_clone(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "tp", "1.5.0")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    git(folder, "tag", "v1")
    (folder / "setup.py").write_text(SETUP.format(version="2.0.0"))
    status = git(folder, "status", "--porcelain")
    overlay = builds.prepare(builds.parse(f"{folder}@v1"), tmp_path / "cache")
    assert overlay.version == "1.5.0"
    assert git(folder, "status", "--porcelain") == status
    with pytest.raises(UsageError, match="has no ref 'v2'"):
        builds.prepare(builds.parse(f"{folder}@v2"), tmp_path / "cache")


def test_two_runs_share_a_cache(tmp_path: Path, wheel: Path) -> None:
    build, found = builds.parse(str(wheel)), []
    threads = [
        threading.Thread(target=lambda: found.append(builds.prepare(build, tmp_path / "cache"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    assert len(set(found)) == 1
