"""Observations cross a border: what is no observation is refused, whatever it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headcount.observation import Ending, Failure, Observation, Phase, ScriptRun

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

FULL = Observation(
    Ending.FINISHED,
    Phase.MEASURE,
    Failure("E", "m", "f", "t"),
    reported=((4, None, 4),),
    kept={"q.0": (0, 1)},
    sizes={"q.0": 2},
    output_gap=0.25,
    seconds={"step": 0.5},
    effects=("one",),
)


def test_round_trip() -> None:
    assert Observation.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


@given(JSON)
def test_anything_else_is_a_value_error(data: object) -> None:
    """Law: from_json returns an Observation or raises ValueError; nothing else comes out of it."""
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the law
        Observation.from_json(data)


@given(st.sampled_from(sorted(FULL.to_json())), JSON)
def test_a_forged_field_is_refused_or_harmless(field: str, value: object) -> None:
    """Law: with one field replaced, the result is an Observation with that very value, or a ValueError."""
    try:
        forged = Observation.from_json({**FULL.to_json(), field: value})
    except ValueError:
        return
    assert isinstance(forged, Observation)
    hash(forged.ending)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match="unknown fields .*forged"):
        Observation.from_json({"ending": "finished", "forged": 1})


SHOWN = 'Traceback (most recent call last):\n  File "a/torch_pruning/b.py", line 1, in c\n    d\nE: e\n'
BESIDE = 'Traceback (most recent call last):\n  File "a/torch_pruning/x.py", line 1, in y\n    z\nE: f\n'


@pytest.mark.parametrize(
    "printed",
    [
        f"{SHOWN}happened: E: e\n",
        f"happened: E: e\n{SHOWN}",
        f"{SHOWN}happened: E: e\nException ignored in: y\n{BESIDE}",
    ],
)
def test_where_a_script_shows_its_failure(printed: str) -> None:
    assert (ScriptRun(1, printed).happened, ScriptRun(1, printed).shown_frame) == ("E: e", "b.c")
