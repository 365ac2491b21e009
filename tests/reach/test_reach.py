"""What is not run must have a reason, and a reason must be one of what is not run."""

from pathlib import Path

import pytest

import reach
from headcount.gate import unreached
from reach import Function

FOUND = [Function("a.py", "runs", 2, 3), Function("a.py", "idle", 0, 4), Function("b.py", "Kind.idle", 0, 1)]
WHY = {"a.py: idle": "nobody calls it", "b.py: Kind.idle": "nobody calls it"}


def test_functions_with_their_reasons_are_in_order() -> None:
    assert reach.faults(FOUND, WHY) == []


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        ({"a.py: idle": "nobody calls it"}, "no cell runs it, and unreached.toml has no reason: b.py: Kind.idle"),
        (WHY | {"a.py: runs": "old"}, "unreached.toml has a reason why no cell runs it, and one does: a.py: runs"),
        (WHY | {"a.py: gone": "old"}, "unreached.toml has a reason of a function that is not there: a.py: gone"),
    ],
    ids=["no reason", "it runs", "it is gone"],
)
def test_what_is_not_so_is_told(reasons: dict[str, str], said: str) -> None:
    assert reach.faults(FOUND, reasons) == [said]


def test_each_function_is_told_with_its_lines_and_its_reason() -> None:
    lines = "\n".join(reach.told(FOUND, unreached.Reasons({"c.py": "it draws"}, WHY))).splitlines()
    assert "a.py: 2 of 7 lines" in lines
    assert "     2 / 3    runs" in lines
    assert lines[lines.index("  nobody calls it") + 1 :][:2] == ["    a.py: idle", "    b.py: Kind.idle"]
    assert lines[-1] == "3 functions: 1 run, 2 not; 2 of their 8 lines run"


def test_functions_are_read_from_the_report_of_coverage() -> None:
    inside = {"": {"summary": {"covered_lines": 9, "num_statements": 9}}}
    inside["Kind.f"] = {"summary": {"covered_lines": 1, "num_statements": 2}}
    inside["nothing"] = {"summary": {"covered_lines": 0, "num_statements": 0}}
    report = {"files": {"/overlay/torch_pruning/pruner/b.py": {"functions": inside}}}
    assert reach.functions(report) == [Function("pruner/b.py", "Kind.f", 1, 2)]


def test_the_reasons_name_each_function_once() -> None:
    text = Path(unreached.__file__).with_suffix(".toml").read_text("utf-8")
    assert sum(line.startswith('    "') for line in text.splitlines()) == len(unreached.reasons().unreached)


def test_a_class_takes_the_parameters_of_the_one_that_it_is_like() -> None:
    table = reach.parameters('[A]\naxes.p = "importance"\n[B]\nlike = "A"\nnone.q = "why"')
    assert (table["A"].names, table["B"].names) == ({"p"}, {"p", "q"})
