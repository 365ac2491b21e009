"""The recorded ranges are those that a scan finds, and a bisect of the releases as commits finds issue 410's.

What the matrix has observed is taken from the cache.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from headcount import bisect as bisection
from headcount.bisect import Find, Prober, State, by_defect
from headcount.builds import RELEASES, Clone, Overlay
from headcount.defects import DEFECTS, defect, recorded
from headcount.environment import environment
from headcount.isolation import Engine
from headcount.matrix import Cell
from helpers import git

#: All defects but those whose calls never end. Such a call takes a minute, so few releases are asked.
ASKED = [known for known in DEFECTS if not Cell.parse(known.examples[0]).model.traits.endless]


@pytest.mark.parametrize("release", RELEASES)
def test_ranges_found_are_those_of_the_catalogue(
    releases: Mapping[str, Overlay], recalling: Engine, release: str
) -> None:
    """Of one release, so that each may be in another process."""
    subjects = {known.id: by_defect(known) for known in ASKED}
    answers = {id_: subject.answer(recalling, releases[release]) for id_, subject in subjects.items()}
    shown = recorded(environment()["transformers"]).releases
    assert [id_ for id_, answer in answers.items() if answer.state is State.BAD] == [
        known.id for known in ASKED if release in shown.get(known.id, ())
    ]


def test_issue_410_is_found_in_a_clone_of_the_releases(
    releases: Mapping[str, Overlay], recalling: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    clone = Clone(committed(tmp_path / "clone", [releases[release] for release in RELEASES]))
    subject = by_defect(defect("410-total-heads"))

    def prober(older: str, newer: str) -> Prober:
        return Prober(recalling, subject, bisection.commits(clone, older, newer))

    scanned = bisection.scan(prober("v1.3.0", "v1.6.1"), Find.ALL)
    assert [clone.released(change.point) for change in scanned.changes] == ["v1.4.1", "v1.4.2"]
    for ends, kind, culprit in (
        (("v1.3.0", "v1.4.1"), Find.INTRODUCED, "v1.4.1"),
        (("v1.4.1", "v1.6.1"), Find.FIXED, "v1.4.2"),
    ):
        (change,) = bisection.seek(prober(*ends), kind).changes
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
