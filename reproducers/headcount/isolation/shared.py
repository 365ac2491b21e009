"""What a process and its parent share: its main, and the files in its folder. Without torch, for the parent's sake."""

import os
from contextlib import suppress
from pkgutil import resolve_name

#: The file that holds what a process prints, and how much of it is kept for a cell, from its end, in bytes.
LOG = "printed.log"
PRINTED_LIMIT = 2_000

#: The file in which a script's process notes how it ended.
END = "end.json"

#: The module of a probed build whose `RAN` has the numbers of the statements that ran (see `headcount.gate.probes`).
PROBES = "torch_pruning._headcount_probes"


def enter(main: str, *arguments: object) -> None:
    """Run a function of Headcount, named `package.module.function`, with these arguments."""
    resolve_name(f"headcount.{main}")(*arguments)


def tail(handle: int, limit: int) -> str:
    """Return the end of an open file; "" if it is closed."""
    with suppress(OSError):
        return os.pread(handle, limit, max(os.fstat(handle).st_size - limit, 0)).decode("utf-8", "replace")
    return ""
