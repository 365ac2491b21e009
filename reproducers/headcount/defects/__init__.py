"""What is known to be wrong with the releases: an entry per defect, and what each cell shows on each release.

An entry says what a defect is, why it is one, what it looks like, and on which calls it may show. Where it shows is
recorded, cell by cell, in `expectations/`. `explain` compares a verdict with that.

Public names: `DEFECTS`, `Defect`, `Explanation`, `Outcome`, `defect`, `explain`, `looks_like`, `recorded`.
"""

from headcount.defects.catalogue import DEFECTS, REPRODUCERS, defect
from headcount.defects.defect import Defect, Severity
from headcount.defects.expectations import (
    Expectations,
    Explanation,
    Outcome,
    column,
    explain,
    looks_like,
    ranked,
    recorded,
    releases_of,
    versions,
)

__all__ = [
    "DEFECTS",
    "REPRODUCERS",
    "Defect",
    "Expectations",
    "Explanation",
    "Outcome",
    "Severity",
    "column",
    "defect",
    "explain",
    "looks_like",
    "ranked",
    "recorded",
    "releases_of",
    "versions",
]
