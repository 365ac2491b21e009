"""Candidates that try to look fit: none is green."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headcount.builds import Overlay, installer_environment, is_whole, package_digest
from headcount.errors import ExitCode
from headcount.gate import Change
from headcount.isolation import landlock
from headcount.report.gate import what
from helpers import ISSUE_410, gated


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("exit-zero", Change.REGRESSED, "exited with status 0"),
        ("garbage", Change.REGRESSED, "garbage"),
        ("answers-twice", Change.REGRESSED, ""),
        ("floods", Change.REGRESSED, "OSError"),
        ("forks", Change.REGRESSED, "left, "),
        ("hoards", Change.REGRESSED, "MemoryError"),
        ("hides-log", Change.REGRESSED, "exited with status 0"),
        ("tells-secrets", Change.REGRESSED, "no token"),
        ("kills-server", Change.REGRESSED, ""),
        ("forges-store", Change.REGRESSED, "left, "),
    ],
)
def test_a_hostile_candidate_is_not_green(
    tmp_path: Path, made: Callable[..., Overlay], monkeypatch: pytest.MonkeyPatch, name: str, change: Change, says: str
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    verdict = gated(tmp_path, made("correct", "1.6.1"), made(name))
    assert verdict.exit_code is not ExitCode.CLEAN
    (difference,) = (d for d in verdict.differences if d.cell == ISSUE_410)
    assert difference.change is change
    assert says in what(difference)
    assert "hunter2" not in "".join(d.candidate.to_json() for d in verdict.differences if d.candidate)


@pytest.mark.parametrize("name", ["edits-itself", "edits-others"])
def test_a_candidate_that_edits_files(tmp_path: Path, made: Callable[..., Overlay], name: str) -> None:
    """Where Linux has Landlock it cannot; elsewhere it is noticed."""
    candidate = made(name)
    verdict = gated(tmp_path, made("correct", "1.6.1"), candidate)
    assert verdict.exit_code is not ExitCode.CLEAN
    assert is_whole(candidate) or any("was edited while it ran" in doubt for doubt in verdict.ending.doubts)
    assert is_whole(candidate) or not landlock.version()


def test_byte_code_is_not_a_candidate_s_to_write(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    """What is run is what its source says: twice, since what was written once would be there the next time."""
    base, candidate = made("correct", "1.6.1"), made("writes-byte-code")
    for _ in range(2):
        verdict = gated(tmp_path, base, candidate)
        assert verdict.exit_code is ExitCode.REGRESSION
        assert ISSUE_410 in {d.cell for d in verdict.of(Change.REGRESSED)}


def test_what_is_beside_the_package_counts(made: Callable[..., Overlay]) -> None:
    """Two builds that differ in another package of theirs, or in byte code without a source, are two."""
    overlay = made("correct")
    digests = {overlay.digest}
    for name in ("helper/__init__.py", "torch_pruning/fast.pyc", "extension.so"):
        (overlay.path / name).parent.mkdir(exist_ok=True)
        (overlay.path / name).write_text("anything")
        digests.add(package_digest(overlay.path))
    assert len(digests) == 4
    (overlay.path / "torch_pruning-1.6.2.dist-info" / "INSTALLER").write_text("anyone")
    assert package_digest(overlay.path) in digests


def test_a_build_s_own_code_sees_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    seen = installer_environment()
    assert "SECRET_TOKEN" not in seen
    assert seen["UV_FIND_LINKS"] == "wheels"
