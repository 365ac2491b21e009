"""What Headcount says of parameters: each one of the newest release's pruners and criteria has an axis, or a reason."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

import reach
from headcount import builds
from headcount.isolation import Engine
from headcount.matrix import Config

TABLE = reach.parameters((reach.HERE / "parameters.toml").read_text("utf-8"))
SIGNATURES = Path(reach.__file__).with_name("signatures.py")


@pytest.fixture(scope="module")
def release(recalling: Engine) -> dict[str, list[str]]:
    """Class -> the parameters that it takes in the newest release."""
    build = builds.prepare(builds.parse(builds.RELEASES[-1]))
    found: dict[str, list[str]] = json.loads(recalling.run_script(build, SIGNATURES).answer)
    return found


def test_every_pruner_and_criterion_is_in_the_table(release: dict[str, list[str]]) -> None:
    assert {"MetaPruner", "BNScalePruner", "OBDCImportance", "LAMPImportance"} <= release.keys()
    assert release.keys() == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_the_table_has_their_parameters_and_no_others(name: str, release: dict[str, list[str]]) -> None:
    assert TABLE[name].names == {*release[name]} - {"args", "kwargs"}


def test_each_has_an_axis_that_is_there_or_a_reason() -> None:
    axes = {field.name for field in fields(Config)} | {"model"}
    assert {axis for covered in TABLE.values() for axis in covered.axes.values()} <= axes
    assert not [name for name, covered in TABLE.items() if covered.axes.keys() & covered.none.keys()]
    assert all(why for covered in TABLE.values() for why in covered.none.values())
