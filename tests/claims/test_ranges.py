"""The catalogue's ranges are those that a scan finds, and a bisect of the releases as commits finds issue 410's.

What the matrix has observed is looked up.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from headcount.bisect import run as bisection
from headcount.bisect import probe as probing
from headcount.bisect.run import Find, Prober
from headcount.bisect.search import State
from headcount.builds import RELEASES, Overlay
from headcount.builds.git import Clone
from headcount.defects import catalogue
from headcount.isolation.engine import Engine
from headcount.environment import environment
from headcount.reproduce.prove import find
from test_builds import git


@pytest.mark.parametrize("release", RELEASES)
def test_ranges_found_are_those_of_the_catalogue(
    releases: Mapping[str, Overlay], recalling: Engine, release: str
) -> None:
    """Of one release, so that each may be in another process."""
    subjects = {defect.id: probing.by_defect(defect) for defect in catalogue().defects}
    found = [id_ for id_, subject in subjects.items() if subject.ask(recalling, releases[release]).state is State.BAD]
    transformers = environment()["transformers"]
    assert found == [defect.id for defect in catalogue().defects if defect.affects(release, transformers)]


def test_issue_410_is_found_in_a_clone_of_the_releases(
    releases: Mapping[str, Overlay], recalling: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    clone = Clone(committed(tmp_path / "clone", [releases[release] for release in RELEASES]))
    subject = probing.by_defect(find("410"))

    def asked(older: str, newer: str) -> tuple[Prober, bisection.Span]:
        span = bisection.commits(clone, older, newer)
        return Prober(recalling, subject, span, lambda _title, _answer: None), span

    prober, span = asked("v1.3.0", "v1.6.1")
    scanned = bisection.scan(prober, subject, span, Find.ALL)
    assert [clone.released(change.point) for change in scanned.changes] == ["v1.4.1", "v1.4.2"]
    for ends, kind, culprit in (
        (("v1.3.0", "v1.4.1"), Find.INTRODUCED, "v1.4.1"),
        (("v1.4.1", "v1.6.1"), Find.FIXED, "v1.4.2"),
    ):
        prober, span = asked(*ends)
        (change,) = bisection.seek(prober, subject, span, kind).changes
        assert clone.released(change.point) == culprit
        assert change.suspects == (change.point,)


def committed(folder: Path, releases: Sequence[Overlay]) -> Path:
    """A repository with a commit and a tag for each release."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for overlay in releases:
        shutil.rmtree(folder / "torch_pruning", ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(overlay.path / "torch_pruning", folder / "torch_pruning", ignore=ignored)
        (folder / "setup.py").write_text(f'version = "{overlay.version}"\n')
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", f"release {overlay.version}")
        git(folder, "tag", f"v{overlay.version}")
    return folder
