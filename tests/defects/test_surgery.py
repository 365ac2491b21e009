"""Remedies: source is edited by its syntax tree, in the functions that are named, and nowhere else."""

import pytest

from headcount.defects.defect import Edit
from headcount.defects.surgery import edited

SOURCE = """\
import math


class Pruner:
    def step(self, heads):  # comment
        kept = list(set(range(heads)) - set(self.gone))
        if heads > 0:
            # one more comment
            heads = math.ceil(heads * self.ratio)
        return kept

    def other(self):
        return list(set(range(3)) - set([1]))
"""


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (
            Edit("*.step", "list(set(_A) - set(_B))", "sorted(set(_A) - set(_B))"),
            "list(set(range(h",
            "sorted(set(range(h",
        ),
        (
            Edit("*.step", "math.ceil(_A * _B)", "round(_B * _A)"),
            "math.ceil(heads * self.ratio)",
            "round(self.ratio * heads)",
        ),
        (Edit("*.step", "if _A > 0:\n    _BODY", "if _A > 1:\n    _BODY"), "if heads > 0:", "if heads > 1:"),
        (
            Edit("Pruner.step", "return _A", "heads = 0\nreturn _A"),
            "        return kept",
            "        heads = 0\n        return kept",
        ),
    ],
    ids=["expression", "two holes", "block", "statements"],
)
def test_a_pattern_is_replaced_where_it_stands(edit: Edit, before: str, after: str) -> None:
    assert SOURCE.count(before) == 1
    text, made = edited(SOURCE, [edit])
    assert (text, made) == (SOURCE.replace(before, after), (edit,))


@pytest.mark.parametrize(
    "edit",
    [
        Edit("*.absent", "list(set(_A) - set(_B))", "sorted(set(_A) - set(_B))"),
        Edit("*.step", "list(set(_A) - set(_A))", "sorted(set(_A))"),
        Edit("*.step", "math.floor(_A * _B)", "0"),
        Edit("*.step", "math.ceil(_A * _B)", "0", unless="other"),
    ],
    ids=["another function", "unlike holes", "another name", "what it brings is there"],
)
def test_what_does_not_match_stays(edit: Edit) -> None:
    assert edited(SOURCE, [edit]) == (SOURCE, ())


def test_each_edit_sees_what_the_one_before_left() -> None:
    edits = [Edit("*.step", "math.ceil(_A * _B)", "math.ceil(_A * _B + 0)"), Edit("*.step", "math.ceil(_A + _B)", "_A")]
    text, made = edited(SOURCE, edits)
    assert "heads = heads * self.ratio" in text
    assert made == tuple(edits)
