"""What upstream's documentation promises, by arithmetic alone, and whether an observation keeps it.

`expectation` is the strict core: how many heads and channels may be left, with exact fractions. `allowances` widens
it where the documentation leaves a choice. `promises` has one function per promise. `judge` applies them. Nothing here
imports torch or a pruner, and nothing here reads or writes a sentence.

Public names: `expect`, `judge`, `broken`, and the facts that they give.
"""

from headcount.observation import Problem
from headcount.oracle.allowances import ALLOWANCES, Allowance, expect
from headcount.oracle.expectation import Count, Expectation
from headcount.oracle.judge import broken, judge
from headcount.oracle.promises import PROMISES, Promise, counts_left, heads_left, is_untouched
from headcount.oracle.verdict import Finding, Kind, Rule, Side, Signature, Verdict

__all__ = [
    "ALLOWANCES",
    "PROMISES",
    "Allowance",
    "Count",
    "Expectation",
    "Finding",
    "Kind",
    "Problem",
    "Promise",
    "Rule",
    "Side",
    "Signature",
    "Verdict",
    "broken",
    "counts_left",
    "expect",
    "heads_left",
    "is_untouched",
    "judge",
]
