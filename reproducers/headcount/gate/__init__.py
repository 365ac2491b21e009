"""Is a build fit for release? Both builds run every cell, and their rows and their public names are compared.

`run` runs the cells, writes the rows and sums them up; `compare` says what became of each cell; `api` says which
public names are gone.
"""

from headcount.gate.compare import (
    ApiBreak,
    Change,
    Difference,
    GateVerdict,
    change_between,
    compare,
    counted,
    failure_of,
)
from headcount.gate.run import Request, cells, every_cell, header, opened, request, run_both, summed_up

__all__ = [
    "ApiBreak",
    "Change",
    "Difference",
    "GateVerdict",
    "Request",
    "cells",
    "change_between",
    "compare",
    "counted",
    "every_cell",
    "failure_of",
    "header",
    "opened",
    "request",
    "run_both",
    "summed_up",
]
