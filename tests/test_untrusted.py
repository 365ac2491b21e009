"""Data of others is checked, and their text is made fit for a line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pytest

from headcount.untrusted import checked, clean, encoded, placeless


class Colour(StrEnum):
    """A text of a fixed set."""

    RED = "red"


@dataclass(frozen=True)
class Inner:
    """A value in another."""

    number: int
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Outer:
    """One field of each kind."""

    name: str
    inner: tuple[Inner, ...] = ()
    counts: tuple[tuple[int | None, ...], ...] = ()
    shares: Mapping[str, float] | None = None
    anything: object = None


FULL = Outer("one", (Inner(1), Inner(2)), ((1, None), ()), {"a": 0.5}, [1, "two"])


def test_round_trip() -> None:
    assert checked(Outer, json.loads(encoded(FULL)), "it") == FULL
    assert encoded(Outer("one")) == '{"name":"one"}'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "it lacks name"),
        ({"name": "one", "more": 1}, "it has unknown fields .*more"),
        ({"name": 1}, "it.name holds a int where none belongs"),
        ({"name": "one", "inner": [{"number": True}]}, "it.inner.number holds a bool"),
        ({"name": "one", "inner": [{"number": 1, "colour": "blue"}]}, "'blue' is not a valid Colour"),
        ({"name": "one", "counts": [[1, "two"]]}, "it.counts holds a str"),
        ({"name": "one", "shares": {"a": "much"}}, "it.shares holds a str"),
        ({"name": "one", "shares": {"a": 10**400}}, "it.shares holds a int where none belongs"),
        ({"name": "one", "shares": {"a": float("nan")}}, "it.shares holds a float where none belongs"),
        ([], "it holds a list"),
    ],
)
def test_what_is_no_such_value(data: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked(Outer, data, "it")


def test_text() -> None:
    assert clean("##[error] one\ntwo\x1b[2J" + "x" * 1000) == "# #[error] one two [2J" + "x" * 479
    assert placeless("in /a/b/c.py and /a/d", ["/a/b", "/a"]) == "in c.py and d"
