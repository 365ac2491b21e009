"""Imported once, by the server that processes are forked from: what all of them need, and nothing more.

The garbage collector is off meanwhile, and then leaves all this alone: to go through it costs a sixth of
a second, in each process, and its pages would no longer be shared. What is garbage by then stays: it is
too little to be worth a look at everything.
"""

import gc
import signal
from contextlib import suppress

gc.disable()
# The server leaves Ctrl-C to its parent, but says so only after these imports.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from headcount.isolation import orphans, script  # noqa: E402 - after the collector is off
from headcount.models import FAMILIES, adapter  # noqa: E402 - as above

__all__ = ["script"]

orphans.adopt()

for _family in FAMILIES:
    with suppress(ImportError):  # this transformers has none
        adapter(_family)

gc.freeze()
gc.enable()
