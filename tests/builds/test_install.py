"""What the installer gets, and what each of its failures says."""

import errno
from pathlib import Path

import pytest

from headcount import builds
from headcount.builds.installer import command
from headcount.errors import SetupError, UsageError
from helpers import checkout, make_wheel, no_leftovers


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of a miniature, as an index would serve it."""
    return make_wheel(tmp_path)


def installer(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """An installer that fails with these words."""
    monkeypatch.setattr("headcount.builds.installer.command", lambda: ["sh", "-c", f"echo {output!r} >&2; exit 1"])


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
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SetupError, match="neither uv nor pip"):
        command()


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
