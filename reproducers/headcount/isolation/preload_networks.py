"""Imported by the server that processes are forked from, where many cells are to be run: every family's network.

It takes a second, once, and not in each process. No gradient is computed: that would start threads, which do not
survive a fork.
"""

import gc
from contextlib import suppress

import torch

from headcount.pruning import network as networks
from headcount.matrix.cells import family_models

torch.set_num_threads(1)

for _model in family_models():
    with suppress(ImportError):  # this transformers has none
        networks.prepare(_model)

gc.freeze()
