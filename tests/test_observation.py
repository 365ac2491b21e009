"""Observations cross a border: what is no observation is refused, whatever it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headcount.observation import (
    Ending,
    Failure,
    Observation,
    Phase,
    Problem,
    ScriptRun,
    SideEffect,
    UnexpectedWeight,
    Use,
    without_numbers,
)
from headcount.untrusted import checked, encoded, plain

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

FULL = Observation(
    Ending.FINISHED,
    Phase.MEASURE,
    Failure("E", "m", "f", Phase.CONSTRUCT, "t"),
    reported=((4, None, 4),),
    kept={"q.0": (0, 1)},
    sizes={"q.0": 2},
    output_gap=0.25,
    seconds={"step": 0.5},
    unexpected_weights=(UnexpectedWeight("a.weight", Problem.OTHER_INDICES, "q.0", (1,), (2, 3)),),
    use=Use(problem=Problem.NO_GRADIENT, names=("a.weight",), gap=0.5),
    effects=(SideEffect("a", Problem.TRAINING, "False", "True"),),
)


def test_round_trip() -> None:
    assert checked(Observation, json.loads(encoded(FULL)), "it") == FULL


@given(JSON)
def test_anything_else_is_a_value_error(data: object) -> None:
    """Law: checked returns an Observation or raises ValueError; nothing else comes out of it."""
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the law
        checked(Observation, data, "it")


@given(st.sampled_from(sorted(plain(FULL))), JSON)
def test_a_forged_field_is_refused_or_harmless(field: str, value: object) -> None:
    """Law: with one field replaced, the result is an Observation with that very value, or a ValueError."""
    try:
        forged = checked(Observation, {**json.loads(encoded(FULL)), field: value}, "it")
    except ValueError:
        return
    assert isinstance(forged, Observation)
    hash(forged.ending)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match="unknown fields .*forged"):
        checked(Observation, {"ending": "finished", "forged": 1}, "it")


def test_what_is_kept_of_an_exception(tmp_path: Path) -> None:
    """The innermost function of the build, not of what it calls."""
    folder = tmp_path / "torch_pruning" / "pruner"
    folder.mkdir(parents=True)
    code = "def outer(): inner()\ndef inner(): raise ValueError('invalid literal ' * 100)\n"
    names: dict[str, Any] = {}
    exec(compile(code, str(folder / "one.py"), "exec"), names)  # noqa: S102 - to have frames of such a file
    with pytest.raises(ValueError, match="invalid literal") as raised:
        names["outer"]()
    failure = Failure.of(raised.value, Phase.STEP)
    assert (failure.exception, failure.frame, failure.phase) == ("ValueError", "pruner.one.inner", Phase.STEP)
    assert len(failure.message) == 500
    assert failure.traceback.splitlines()[-1].startswith("ValueError: invalid literal")
    assert Failure.of(KeyError("k"), Phase.IMPORT).frame == ""


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (ScriptRun(0, "one\na.py:1: UserWarning: two\n  warn()\n"), "one"),
        (ScriptRun(0, ""), "nothing printed"),
        (ScriptRun(1, "one", raised="KeyError: 'k'"), "KeyError: 'k'"),
        (ScriptRun(125, "one", why="the build ended the process"), "the build ended the process"),
        (
            ScriptRun(125, "one", raised="E: e", why="the build cannot be imported"),
            "E: e: the build cannot be imported",
        ),
    ],
)
def test_what_a_script_says(run: ScriptRun, said: str) -> None:
    assert run.said == said


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (UnexpectedWeight, ("a.weight", "count")),
        (UnexpectedWeight, ("a.weight", "moved-values", "q.0{x}")),
        (SideEffect, ("a", "gone", "", "")),
        (SideEffect, ("a", "out_channel_groups", "0", "many")),
        (Use, (None, "", "count")),
    ],
)
def test_what_tracing_never_gives_is_no_value(kind: Any, data: tuple[str, ...]) -> None:
    """It is refused where it comes in, so that nothing later trips over it."""
    words = dict(zip(kind.__dataclass_fields__, data, strict=False))
    with pytest.raises(ValueError, match="no "):
        checked(kind, words, "it")


def test_a_long_message_is_known_by_its_beginning() -> None:
    assert without_numbers("layers.7 has 12 heads") == without_numbers("layers.8 has 6 heads")
    assert without_numbers("a." * 10**6) == without_numbers("a." * 250)
