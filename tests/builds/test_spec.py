"""What a spec names, and what each kind of bad spec says."""

from pathlib import Path

import pytest

from headcount import builds
from headcount.builds import Source
from headcount.errors import UsageError
from helpers import checkout, make_wheel


def test_specs(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
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
