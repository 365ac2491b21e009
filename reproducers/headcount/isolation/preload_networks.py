"""Imported by the server that processes are forked from, where many cells are to be run: every family's network.

It takes a second, once, and not in each process. No gradient is computed: that would start threads, which do not
survive a fork.
"""

import gc
from contextlib import suppress

import torch

from headcount.models import FAMILIES, small
from headcount.pruning.trace import dense_sizes

torch.set_num_threads(1)

for _family in FAMILIES:
    with suppress(ImportError):  # this transformers has none
        for _bare in (False, True):
            dense_sizes(small(_family, bare=_bare))

gc.freeze()
