# ruff: noqa: A005 - nobody imports it but as headcount.bisect
"""Where a failure was introduced and fixed: `search` is pure, `probe` tests one build, `run` searches a history.

Public names: those below.
"""

from headcount.bisect.probe import Answer, Cells, OwnNetwork, Script, Subject, by_cell, by_defect
from headcount.bisect.run import (
    SCANNED_BELOW,
    Bisection,
    Find,
    Prober,
    Span,
    UntestableError,
    commits,
    last_good,
    releases,
    runs,
    scan,
    seek,
    verify,
)
from headcount.bisect.search import Change, State

__all__ = [
    "SCANNED_BELOW",
    "Answer",
    "Bisection",
    "Cells",
    "Change",
    "Find",
    "OwnNetwork",
    "Prober",
    "Script",
    "Span",
    "State",
    "Subject",
    "UntestableError",
    "by_cell",
    "by_defect",
    "commits",
    "last_good",
    "releases",
    "runs",
    "scan",
    "seek",
    "verify",
]
