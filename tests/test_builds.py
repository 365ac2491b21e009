"""Builds: what a spec names, how an overlay is made, and what each kind of bad input says."""

import errno
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

import miniatures
from headcount import builds
from headcount.builds import Source
from headcount.errors import SetupError, UsageError

SETUP = "from setuptools import setup; setup(name='torch-pruning', version='{version}', packages=['torch_pruning'])"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of a miniature, as an index would serve it."""
    return make_wheel(tmp_path)


def make_wheel(
    folder: Path, *, name: str = "torch_pruning", version: str = "1.6.1", code: str = miniatures.CORRECT
) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def checkout(folder: Path, version: str = "1.6.1", code: str = miniatures.CORRECT) -> Path:
    (folder / "torch_pruning").mkdir(parents=True)
    (folder / "torch_pruning" / "__init__.py").write_text(code)
    (folder / "setup.py").write_text(SETUP.format(version=version))
    return folder


def git(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *command], capture_output=True, text=True, check=True
    ).stdout


def test_specs(tmp_path: Path, wheel: Path) -> None:
    folder = checkout(tmp_path / "my checkout")
    assert builds.parse("1.4.1") == builds.Build("1.4.1", Source.RELEASE, "torch-pruning==1.4.1")
    assert builds.parse(str(wheel)).source is Source.FILE
    assert (builds.parse(str(folder)).source, builds.parse(str(folder)).label) == (Source.FOLDER, "my_checkout")
    assert builds.parse(f"{folder}@v1.0") == builds.Build("my_checkout@v1.0", Source.REF, str(folder), "v1.0")
    assert builds.parse("git+https://example.org/a/b@main").source is Source.URL


def test_labels_are_unique(tmp_path: Path) -> None:
    one, two = checkout(tmp_path / "a" / "tp"), checkout(tmp_path / "b" / "tp")
    assert [b.label for b in builds.parse_all([str(one), str(two), str(one), "1.4.1"])] == ["tp", "tp~2", "1.4.1"]


@pytest.mark.parametrize("spec", ["no-such-thing", "1.4.x", "../nowhere"])
def test_a_spec_that_names_nothing(spec: str) -> None:
    with pytest.raises(UsageError, match="is no build.*give a release like"):
        builds.parse(spec)


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no pyproject.toml"):
        builds.parse(str(tmp_path))


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


def test_a_checkout_is_not_touched(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "tp")
    before = sorted(folder.rglob("*"))
    overlay = builds.prepare(builds.parse(str(folder)), tmp_path / "cache")
    assert sorted(folder.rglob("*")) == before
    (folder / "torch_pruning" / "__init__.py").write_text(miniatures.CORRECT + "\n# changed\n")
    changed = builds.prepare(builds.parse(str(folder)), tmp_path / "cache")
    assert changed.path != overlay.path
    assert changed.digest != overlay.digest


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


def test_another_package(tmp_path: Path) -> None:
    other = make_wheel(tmp_path, name="not_pruning")
    with pytest.raises(UsageError, match="is not-pruning, not torch-pruning"):
        builds.prepare(builds.parse(str(other)), tmp_path / "cache")
    assert no_leftovers(tmp_path / "cache")


def test_a_release_from_before_head_pruning(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, version="1.2.5")
    with pytest.raises(UsageError, match="is torch-pruning 1.2.5 .head pruning came with 1.3.0"):
        builds.prepare(builds.parse(str(wheel)), tmp_path / "cache")


def test_a_checkout_that_does_not_build(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "tp")
    (folder / "setup.py").write_text("raise RuntimeError('not today')")
    with pytest.raises(UsageError, match="cannot install tp: .*try pip install"):
        builds.prepare(builds.parse(str(folder)), tmp_path / "cache")
    assert no_leftovers(tmp_path / "cache")


def installer(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """An installer that fails with these words."""
    monkeypatch.setattr(builds, "_installer", lambda: ["sh", "-c", f"echo {output!r} >&2; exit 1"])


def test_an_unknown_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(monkeypatch, "Because there is no version of torch-pruning==9.9.9")
    with pytest.raises(UsageError, match=r"cannot install torch-pruning==9.9.9: .*1.3.0 to 1.6.1"):
        builds.prepare(builds.parse("9.9.9"), tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        "error: Failed to fetch: `https://index.example/simple/torch-pruning/`",
        "error: No solution found\n\nhint: Packages were unavailable because the network was disabled.",
    ],
)
def test_no_network_and_a_cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    installer(monkeypatch, said)
    with pytest.raises(SetupError, match="the package index does not answer .*builds installed before work offline"):
        builds.prepare(builds.parse("1.4.1"), tmp_path)
    assert no_leftovers(tmp_path)


def test_no_network_and_a_warm_cache(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = builds.parse(str(wheel))
    warm = builds.prepare(build, tmp_path / "cache")
    installer(monkeypatch, "error: Failed to fetch")
    assert builds.prepare(build, tmp_path / "cache") == warm


def test_no_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("HEADCOUNT_UV", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SetupError, match="neither uv nor pip"):
        builds._installer()  # noqa: SLF001 - what it finds depends on the machine


def test_a_full_disk(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(SetupError, match="no space left for .*HEADCOUNT_CACHE elsewhere"):
        builds.prepare(builds.parse(str(wheel)), tmp_path / "cache")
    monkeypatch.undo()
    assert no_leftovers(tmp_path / "cache")
    installer(monkeypatch, "error: failed to write: No space left on device (os error 28)")
    with pytest.raises(SetupError, match="no space left for"):
        builds.prepare(builds.parse("1.4.1"), tmp_path / "cache")


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


def no_leftovers(cache: Path) -> bool:
    """Whether nothing but locks is left in a cache."""
    return {path.suffix for path in (cache / "overlays").iterdir()} <= {".lock"}
