"""The isolated process: cut off, limited and confined, it imports one build and observes one cell after another.

It gets plain values and imports no more of this package than it needs: see `environment.OBSERVING`.
"""

import ctypes
import gc
import importlib.metadata
import os
import resource
import signal
import sys
import tempfile
import warnings
from dataclasses import replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from headcount import untrusted
from headcount.environment import CPU, device
from headcount.isolation import landlock, shared, tampering
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.pruning import surroundings
from headcount.pruning.run import forget, observe

#: Largest file that a build may write, its log included, in bytes.
FILE_LIMIT = 256_000_000

#: Most memory that a process may take for data, in bytes, and most processes and threads that its user may have.
MEMORY_LIMIT = 8_000_000_000
PROCESS_LIMIT = 4096

#: No process that has only imported torch has this many files open.
_DESCRIPTORS = 4096

#: All garbage is collected once in so many cells. The youngest is collected after each cell: a dependency graph in one
#: big cycle, which is still in the processor's cache.
CELLS_PER_COLLECTION = 64

_DIE_WITH_PARENT = 1


def serve(scratch: str, connection: Connection, path: str, version: str) -> None:
    """Run as the process's main: import the build at `path`, then answer each cell with one observation as JSON.

    The first message out says whether the build could be imported. Ends when the parent hangs up.
    """
    log = isolate(scratch, connection.fileno())
    confine(scratch)
    warnings.simplefilter("ignore")
    watch, before = tampering.Watch(), surroundings.state(nn.Module(), draws=True)
    pruning, greeting = import_build(path, version, watch)
    left = tuple(surroundings.changes(before, surroundings.state(nn.Module(), draws=True)))
    _taken_probes()  # an import is no call
    gc.collect()
    gc.freeze()
    gc.disable()
    _send(connection, greeting)
    while pruning is not None:
        try:
            number, cell = connection.recv()
        except EOFError:
            return
        found = observe(pruning, cell)
        if effects := watch.put_back() or left:  # by its import: no cell shows that, and each suffers from it
            found = replace(found, effects=effects[:3])
        _send(connection, found, number, printed=_drain(log), ran=_taken_probes())
        forget(pruning)
        # From the oldest generation on, or the youngest alone.
        gc.collect(2 if number % CELLS_PER_COLLECTION == 0 or cell.model.full_size else 0)


def isolate(scratch: str, *kept: int, file_limit: int = FILE_LIMIT) -> int:
    """Cut this process off from those it was forked from, except for the descriptors kept. Return its log's."""
    if sys.platform == "linux":  # die with the server
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    limit(file_limit)
    log = os.open(Path(scratch) / shared.LOG, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.setsid()  # leave the terminal's process group
    # Through the server's pipes, which it inherited, a build could end the server, with all others.
    for before, after in pairwise((2, *sorted((*kept, log)), _DESCRIPTORS)):
        os.closerange(before + 1, after)
    os.environ["HOME"] = scratch
    torch.set_num_threads(1)
    if device() != CPU:  # as exact as a CPU, so that one tolerance holds for both
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    sys.dont_write_bytecode = True
    return log


def confine(scratch: str) -> None:
    """Keep a build from all files but those of its temporary home: what was installed is what is judged."""
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch))
    tempfile.tempdir = None
    files = ("nvidia*", "dri/*", "kfd", "dxg") if device() != CPU else ()  # a driver is used through files
    if not landlock.confine([Path(scratch), *(path for name in files for path in Path("/dev").glob(name))]):
        sys.pycache_prefix = scratch  # byte code beside the build may have been written by the build


def limit(file_size: int) -> None:
    """Bound what this process and its children may take. A lower limit of the system stays."""
    limits = {
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NPROC: PROCESS_LIMIT,
        resource.RLIMIT_CORE: 0,
    }
    if device() == CPU:  # a driver maps all the memory that there may be
        limits[resource.RLIMIT_DATA] = MEMORY_LIMIT
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        lower = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (lower, lower))


def _drain(log: int) -> str:
    """Return the end of what was written since the last call."""
    sys.stdout.flush()
    sys.stderr.flush()
    printed = shared.tail(log, shared.PRINTED_LIMIT)
    if printed:
        os.ftruncate(log, 0)
    return printed


def _taken_probes() -> str:
    """Return which probes of a probed build ran since the last call, as `Observation.ran` has it; "" of any other."""
    ran = getattr(sys.modules.get(shared.PROBES), "RAN", None)
    if not ran:
        return ""
    found = f"{sum(1 << number for number in ran):x}"
    ran.clear()
    return found


def import_build(path: str, version: str, watch: tampering.Watch) -> tuple[ModuleType | None, Observation]:
    """Return the build's torch_pruning, verified to be the overlay's; None with the reason if there is none."""
    sys.path.insert(0, path)
    try:
        import torch_pruning  # type: ignore[import-not-found]  # noqa: PLC0415 - the build exists only from here on
    except BaseException as error:  # noqa: BLE001 - SystemExit at import is a finding too
        return None, Observation(Ending.UNIMPORTABLE, failure=Failure.of(error, Phase.IMPORT))
    wrong = _false_claim(torch_pruning, path, version)
    if replaced := watch.put_back():  # nothing that is observed beside it can be believed
        wrong = f"its import replaced {replaced[0].where}"
    return (
        (None, Observation(Ending.UNIMPORTABLE, detail=wrong))
        if wrong
        else (torch_pruning, Observation(Ending.FINISHED))
    )


def _false_claim(pruning: ModuleType, path: str, version: str) -> str:
    origin = Path(pruning.__file__ or "").resolve()
    if not origin.is_relative_to(Path(path).resolve()):
        return f"torch_pruning was imported from {origin.parent.name}, not from the build"
    versions = {d.version for d in importlib.metadata.distributions(name="torch-pruning", path=[path])}
    if versions != {version}:
        return f"the build says it is {sorted(versions)}, not {version}"
    if not hasattr(pruning, "pruner") or not hasattr(pruning.pruner, "MetaPruner"):
        return "torch_pruning has no pruner.MetaPruner"
    return ""


def _send(connection: Connection, observation: Observation, number: int = 0, printed: str = "", ran: str = "") -> None:
    shown = {"printed": printed} if printed and observation.ending is not Ending.FINISHED else {}
    shown |= {"ran": ran} if ran else {}
    connection.send_bytes(untrusted.encoded({**untrusted.plain(observation), **shown, "number": number}).encode())
