"""Imported once, by the server that processes are forked from: what all of them need, and nothing more.

The garbage collector is off meanwhile, and then leaves all this alone: to go through it costs a sixth of
a second, in each process, and its pages would no longer be shared. What is garbage by then stays: it is
too little to be worth a look at everything.
"""

import errno
import gc
import signal
from contextlib import suppress
from multiprocessing import reduction
from typing import Any

gc.disable()
# The server leaves Ctrl-C to its parent, but says so only after these imports.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from headcount.isolation import orphans, script  # noqa: E402 - after the collector is off
from headcount.models import FAMILIES, adapter  # noqa: E402 - as above

__all__ = ["script"]

orphans.adopt()


def _handles(*given: Any, receive: Any = reduction.recvfds) -> Any:
    """Receive the handles for a new process. If the caller dies meanwhile, the server goes on."""
    try:
        return receive(*given)
    except EOFError:
        raise ConnectionAbortedError(errno.ECONNABORTED, "the caller is gone") from None  # ignored there


reduction.recvfds = _handles  # type: ignore[assignment]

for _family in FAMILIES:
    with suppress(ImportError):  # this transformers has none
        adapter(_family)

gc.freeze()
gc.enable()
