"""Is a build fit for release? Both builds run every cell, and their rows and their public names are compared.

`plan` is what is to be compared. `source` says what changed in the code, `probes` makes copies that note what runs, and
`exercise` says which changes ran. `run` runs cells and random calls, and writes the rows. `compare` says what became of
each cell, and what made it worse; `shards` sums that up, `waive` what may be; `api` says which public names are gone.
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
from headcount.gate.plan import Request, cells, every_cell, header, opened, request, with_mended
from headcount.gate.run import Watcher, run_both
from headcount.gate.shards import doubts, judged_again, summed_up

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
    "doubts",
    "every_cell",
    "failure_of",
    "header",
    "judged_again",
    "opened",
    "request",
    "run_both",
    "summed_up",
    "with_mended",
]
