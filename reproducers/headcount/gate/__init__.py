"""Is a build fit for release? Both builds run every cell, and their rows and their public names are compared.

`source` says what changed in the code, `probes` makes copies that note what runs, and `exercise` says which changes ran.
`run` runs cells and random calls, writes the rows and sums them up; `compare` says what became of each cell, and what
made it worse; `api` says which public names are gone.
"""

from headcount.gate.compare import (
    ApiBreak,
    Cause,
    Change,
    Difference,
    Ending,
    GateVerdict,
    change_between,
    compare,
    counted,
    failure_of,
)
from headcount.gate.exercise import Exercised, Fate
from headcount.gate.run import Request, Watcher, cells, every_cell, header, opened, request, run_both, summed_up

__all__ = [
    "ApiBreak",
    "Cause",
    "Change",
    "Difference",
    "Ending",
    "Exercised",
    "Fate",
    "GateVerdict",
    "Request",
    "Watcher",
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
