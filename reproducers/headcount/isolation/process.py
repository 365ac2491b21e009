"""Runs inside the isolated process: prune one cell with one build, and say what happened.

This is the only module that touches a build, and the only one that runs a model. It looks at
weights, never at what the pruner says it did, except for the one number that users read back:
`pruner.num_heads`.
"""

import atexit
import gc
import importlib.metadata
import inspect
import itertools
import json
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import random
import runpy
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from headcount.pruning import arguments as calls
from headcount.pruning import network as networks
from headcount.isolation import redirect
from headcount.builds import Overlay
from headcount.matrix.config import Pruner, Second
from headcount.isolation.landlock import confine
from headcount.environment import CPU, device
from headcount.untrusted import placeless
from headcount.matrix import Cell
from headcount.models import FAMILIES, adapter
from headcount.observation import CANNOT_BE_TESTED, END, LOG, PRINTED_LIMIT, Ending, Failure, Observation, Phase

#: Largest file that a build may write, its log included, in bytes; and a script, which may have work to do.
FILE_LIMIT = 256_000_000
SCRIPT_FILE_LIMIT = 16_000_000_000

#: Most memory that a process may take for data, in bytes, and most processes and threads that its user may have.
MEMORY_LIMIT = 8_000_000_000
PROCESS_LIMIT = 4096

#: No process that has only imported torch has this many files open.
_DESCRIPTORS = 4096

#: All garbage is collected once in so many cells; what a cell leaves, a dependency graph in one big cycle, after each,
#: while it is in the processor's cache.
CELLS_PER_COLLECTION = 64

_YOUNGEST = 0


def serve(connection: Connection, overlay: Overlay, scratch: str) -> None:
    """The process's main: import the build, then answer each cell with one observation as JSON.

    The first message out says whether the build could be imported. Ends when the parent hangs up.
    """
    log = _isolate(scratch, connection.fileno())
    _confine(scratch)
    warnings.simplefilter("ignore")
    pruning, greeting = _import_build(overlay)
    gc.collect()
    gc.freeze()
    gc.disable()
    _send(connection, greeting)
    if pruning is None:
        return
    while True:
        try:
            asked, cell = cast("tuple[int, Cell]", connection.recv())
        except EOFError:
            return
        observation = observe(pruning, cell)
        _send(connection, observation, asked, printed=_drain(log))
        forget(pruning)
        if asked % CELLS_PER_COLLECTION == 0 or cell.model.full_size:
            gc.collect()
        else:
            gc.collect(_YOUNGEST)


def run_script(overlay: Overlay, scratch: str, script: Path, environment: dict[str, str], *, confined: bool) -> None:
    """The process's main, for a script: run it as a program, the build first on the path, then its own folder.

    It ends as a program does, but where that says nothing of what the build does: the build cannot be
    imported, or was not, or the script is at fault itself.
    """
    _isolate(scratch, file_limit=SCRIPT_FILE_LIMIT)
    os.environ.update(environment)
    if confined:
        _confine(scratch)
    sys.path[:0] = [str(overlay.path), str(script.parent)]
    sys.argv = [str(script)]
    atexit._clear()  # noqa: SLF001 - what the server registered is not the script's
    redirect.install(str(overlay.path), scratch)
    redirect.install_in_children(str(overlay.path), scratch)
    _start_over()
    code: Any = 0
    error: BaseException | None = None
    answer = ""
    try:
        answer = str(runpy.run_path(str(script), run_name="__main__").get("ANSWER", ""))
    except SystemExit as ended:
        code, error = ended.code, ended
    except BaseException as raised:  # noqa: BLE001 - whatever a script raises
        code, error = CANNOT_BE_TESTED if isinstance(raised, KeyboardInterrupt) else 1, raised
        sys.excepthook(type(raised), raised, raised.__traceback__)  # it may have its own, which may exit
    finally:
        try:
            code = _status(code, error, overlay, scratch)
            _note_end(error, answer, script, overlay, scratch)
        finally:
            atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does, and a forked process does not
            _note_end(error, answer, script, overlay, scratch)  # what they have written there is not what it said
    sys.exit(code)


def _start_over() -> None:
    """Forget what the server had: its input, and the processes with which multiprocessing works."""
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    multiprocessing.set_start_method(None, force=True)  # the platform's, not the server's
    with suppress(AttributeError):  # in Python's own modules, which may change
        multiprocessing.resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]  # noqa: SLF001
        multiprocessing.resource_tracker._resource_tracker._pid = None  # type: ignore[attr-defined]  # noqa: SLF001
        multiprocessing.forkserver._forkserver._forkserver_address = None  # type: ignore[attr-defined]  # noqa: SLF001
        multiprocessing.forkserver._forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]  # noqa: SLF001
        multiprocessing.forkserver._forkserver._forkserver_pid = None  # type: ignore[attr-defined]  # noqa: SLF001


def _note_end(error: BaseException | None, answer: str, script: Path, overlay: Overlay, scratch: str) -> None:
    """Write down what a script came to, for `engine.Engine.run_script`: what it prints may be about something else.

    Args:
        answer: the text that it leaves in `ANSWER`.
    """
    end: dict[str, Any] = {"raised": "", "frame": "", "lines": [], "answer": answer}
    if error is not None:
        failure = _failure(error)
        first = placeless(str(error).strip().partition("\n")[0], (*overlay.places, scratch))
        frames = traceback.extract_tb(error.__traceback__)
        if not isinstance(error, SystemExit):
            end["raised"] = f"{failure.type}: {first}" if first else failure.type
        end["frame"] = failure.frame
        end["lines"] = [frame.lineno for frame in frames if frame.filename == str(script)]
    Path(scratch, END).write_text(json.dumps(end), "utf-8")


def _status(code: Any, error: BaseException | None, overlay: Overlay, scratch: str) -> Any:
    """A script's exit code, if that tells something of the build."""
    if error is not None and _tells_nothing(error, overlay):
        return CANNOT_BE_TESTED
    if code in (None, 0, 1) and (why := _untested(overlay, scratch)):
        sys.stdout.flush()
        os.write(1, f"cannot be tested: {why}\n".encode())
        return CANNOT_BE_TESTED
    return code


def _untested(overlay: Overlay, scratch: str) -> str:
    """Why the build had no part in it; "" if it had."""
    imported = sys.modules.get("torch_pruning")
    if imported is None:
        return "" if Path(scratch, redirect.MARK).exists() else "the script never imported torch_pruning"
    origin = Path(getattr(imported, "__file__", None) or "").resolve()
    inside = origin.is_relative_to(overlay.path.resolve())
    return "" if inside else f"the script imported torch_pruning from {origin.parent}, which is not the build"


def _tells_nothing(error: BaseException, overlay: Overlay) -> bool:
    """Whether an exception ended the build's import, or is the script's own slip: no build unmakes a name."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(overlay.path)]
    importing = any(frame.name == "<module>" for frame in frames)
    return importing or (not frames and isinstance(error, ImportError | NameError | SyntaxError))


def observe(pruning: ModuleType, cell: Cell) -> Observation:
    """Prune one cell with an imported torch_pruning. Never raises."""
    return _Run(pruning, cell).observation()


def forget(pruning: ModuleType) -> None:
    """Empty the default dictionaries of the pruners' constructors.

    Every release writes into them (`out_channel_groups.update(num_heads)`), so one cell would see
    the modules of the one before, and all models would stay in memory.
    """
    classes = [getattr(pruning.pruner, name) for name in Pruner if hasattr(pruning.pruner, name)]
    for parameter in itertools.chain.from_iterable(map(_parameters, classes)):
        if isinstance(parameter.default, dict):
            parameter.default.clear()


@cache
def _parameters(pruner: type) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(pruner).parameters.values())


def _seed() -> None:
    """An observation must not depend on what ran before."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what a build may draw from
    if device() == CPU:
        torch.default_generator.manual_seed(1)  # torch.manual_seed asks every kind of device first
    else:
        torch.manual_seed(1)


class _Run:
    """One cell's run: the state that the phases hand on."""

    def __init__(self, pruning: ModuleType, cell: Cell) -> None:
        self.pruning = pruning
        self.model = cell.model
        self.config = cell.config
        self.adapter: Any = adapter(cell.model)
        self.phase = Phase.CONSTRUCT
        self.seconds: dict[str, float] = {}
        self.attributes: tuple[str, ...] = ()
        self.effects: list[str] = []

    def observation(self) -> Observation:
        try:
            return self._observe()
        except Exception as error:  # noqa: BLE001 - whatever a build raises is an observation
            return self._ended(Ending.RAISED, failure=_failure(error))

    def _observe(self) -> Observation:
        _seed()
        self.given: Any = networks.inputs(self.model, device())
        net = self._fresh()
        before = networks.state(net)
        pruner = self._construct(net)
        self.attributes = tuple(sorted(name for name in vars(pruner) if not name.startswith("__")))
        self._steps(pruner, net)
        reported = self._reported(pruner)
        if self.config.second is Second.SAME:
            reported = self._again(net, reported)
        self.effects += networks.changes(before, networks.state(net))
        if self.config.second is Second.OTHER:
            # What is looked at from here on is the second model: all that is expected holds for it too.
            net, reported = self._elsewhere()
        self.phase = Phase.MEASURE
        kept, sizes, strays = networks.trace(net, self.model)
        output_failure, output = self._forward(net, reported)
        family = FAMILIES[self.model.family]
        asked = output is None and not strays and bool(family.heads_fixed or family.dims_fixed)
        cannot_run = asked and not networks.runs(self.model, kept)
        return self._ended(
            Ending.FINISHED,
            reported=reported,
            kept=kept,
            sizes=sizes,
            strays=tuple(strays),
            output_failure=output_failure,
            cannot_run=cannot_run,
            output_shape=() if output is None else tuple(output.shape),
            output_gap=None if output is None else networks.gap(output.cpu(), self.model, kept),
        )

    def _ended(self, ending: Ending, **facts: Any) -> Observation:
        return Observation(
            ending=ending,
            phase=self.phase,
            effects=tuple(self.effects),
            attributes=self.attributes,
            parameters=tuple(parameter.name for parameter in _parameters(self.pruning.pruner.MetaPruner)),
            seconds={key: round(value, 6) for key, value in self.seconds.items()},
            **facts,
        )

    @contextmanager
    def _timed(self, phase: Phase) -> Iterator[None]:
        self.phase = phase
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def _fresh(self) -> nn.Module:
        """A dense network, prepared as the config says; `self.blocks` are its blocks from here on."""
        net = networks.template(self.model).copy()
        if device() != CPU:
            net.to(device())
        self.blocks = self.adapter.blocks(net)
        if self.config.frozen:
            for layer in (self.blocks[0].query, self.blocks[0].key, self.blocks[0].value):
                layer.requires_grad_(requires_grad=False)
        if self.config.training:
            net.train()
        return net

    def _construct(self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...] = ()) -> Any:
        with self._timed(Phase.CONSTRUCT):
            self.importance = calls.criterion(self.pruning, self.config.importance, self.model)
            more = self.adapter.documented(self.pruning, net) if self.config.documented else {}
            arguments = calls.arguments(self.config, self.blocks, self.adapter.ignored(net), self._num_heads(reported))
            return getattr(self.pruning.pruner, self.config.pruner)(
                net, self.given, importance=self.importance, **(arguments | more)
            )

    def _num_heads(self, reported: tuple[tuple[int | None, ...], ...]) -> dict[nn.Module, int]:
        """The parameter of that name: the listed projections of every block, and how many heads they have."""
        queries = FAMILIES[self.model.family].queries_per_kv
        dense = tuple((heads, heads // queries, heads // queries) for heads in self.model.block_heads)
        counts = [
            row if queries > 1 else (max((c for c in row if c is not None), default=own[0]),) * 3
            for row, own in zip(reported or dense, dense, strict=True)
        ]
        return {
            layer: own if count is None else count
            for block, *told in zip(self.blocks, counts, dense, strict=True)
            for name, layer, count, own in zip("qkv", (block.query, block.key, block.value), *told, strict=True)
            if name in self.config.num_heads
        }

    def _steps(self, pruner: Any, net: nn.Module) -> None:
        for _ in range(self.config.iterative_steps):
            self._feed(pruner, net)
            with self._timed(Phase.STEP):
                if self.config.interactive:
                    for group in pruner.step(interactive=True):
                        group.prune()
                else:
                    pruner.step()
        net.zero_grad()

    def _feed(self, pruner: Any, net: nn.Module) -> None:
        """Give the criterion what its documentation asks for, as upstream's examples do; train, if the pruner does."""
        with self._timed(Phase.STEP):
            if self.config.pruner is not Pruner.META:
                calls.sparsen(pruner, net)
            feed = calls.FEEDERS.get(self.config.importance)
            if feed is not None:
                feed(self.importance, pruner, net, self.given, self.adapter)

    def _reported(self, pruner: Any) -> tuple[tuple[int | None, ...], ...]:
        return tuple(
            tuple(
                int(pruner.num_heads[layer]) if layer in pruner.num_heads else None
                for layer in (block.query, block.key, block.value)
            )
            for block in self.blocks
        )

    def _tell_heads(self, reported: tuple[tuple[int | None, ...], ...]) -> None:
        """Tell the network the head counts that the pruner reports; those that it was not told of are as before."""
        for block, row, heads in zip(self.blocks, reported, self.model.block_heads, strict=True):
            self.adapter.set_heads(block, max((count for count in row if count is not None), default=heads))

    def _again(
        self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...]
    ) -> tuple[tuple[int | None, ...], ...]:
        """A second pruner on what the first one left, with the same arguments."""
        self._tell_heads(reported)
        pruner = self._construct(net, reported)
        self._steps(pruner, net)
        return self._reported(pruner)

    def _elsewhere(self) -> tuple[nn.Module, tuple[tuple[int | None, ...], ...]]:
        """A second pruner on another model; its defaults must not know the first one's."""
        other = self._fresh()
        pruner = self._construct(other)
        own = set(other.modules())
        foreign = sum(module not in own for module in getattr(pruner, "out_channel_groups", ()))
        if foreign:
            self.effects.append(f"another pruner's out_channel_groups holds {foreign} modules of this one's model")
        self._steps(pruner, other)
        return other, self._reported(pruner)

    def _forward(
        self, net: nn.Module, reported: tuple[tuple[int | None, ...], ...]
    ) -> tuple[Failure | None, Tensor | None]:
        """A forward pass with the head counts that the pruner reports."""
        try:
            self._tell_heads(reported)
            self.adapter.settle(net, dict(net.named_parameters()))
            with self._timed(Phase.FORWARD), torch.no_grad():
                output: Tensor = self.adapter.call(net.eval(), self.given)
        except Exception as error:  # noqa: BLE001 - a broken model may raise anything
            return _failure(error), None
        return None, output


# --- the process -------------------------------------------------------------------------------


def reach_device(scratch: str) -> None:
    """Use the device as a cell's process may. Raises whatever torch does where it is not there."""
    _limit(FILE_LIMIT)
    _confine(scratch)
    torch.zeros(1, device=device()).cpu()


def _isolate(scratch: str, *kept: int, file_limit: int = FILE_LIMIT) -> int:
    """Cut this process off from those it was forked from, but for the descriptors kept. Returns its log's."""
    _own_session()
    _limit(file_limit)
    log = _redirect_output(str(Path(scratch) / LOG))
    _close_all_but(*kept, log)
    os.environ["HOME"] = scratch
    torch.set_num_threads(1)
    if device() != CPU:  # as exact as a CPU, so that one tolerance holds for both
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    sys.dont_write_bytecode = True
    return log


def _confine(scratch: str) -> None:
    """Keep a build from all files but those of its temporary home: what it was installed as is what is judged."""
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch))
    tempfile.tempdir = None
    # A driver is spoken to by files.
    driver = (
        [p for name in ("nvidia*", "dri/*", "kfd", "dxg") for p in Path("/dev").glob(name)] if device() != CPU else []
    )
    if not confine([Path(scratch), *driver]):
        sys.pycache_prefix = scratch  # its byte code may have been written by itself


def _limit(file_size: int) -> None:
    """Bound what this process and its children may take; a limit that the system has lower stays."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not everywhere

    limits = {
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_DATA: MEMORY_LIMIT,
        resource.RLIMIT_NPROC: PROCESS_LIMIT,
        resource.RLIMIT_CORE: 0,
    }
    if device() != CPU:
        del limits[resource.RLIMIT_DATA]  # a driver maps all the memory that there may be
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))


def _own_session() -> None:
    """Leave the terminal's process group, and die with the server that forked this process."""
    if os.name != "posix":
        return
    os.setsid()
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - Linux only
        import signal  # noqa: PLC0415 - likewise

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _redirect_output(path: str) -> int:
    """Send stdout and stderr, of this process and its children, to a file. Returns a handle to read it."""
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return log


def _close_all_but(*kept: int) -> None:
    """Close what this process inherited: through the server's pipes a build could take it down, with all others."""
    if os.name != "posix":
        return
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, _DESCRIPTORS)


def _drain(log: int) -> str:
    """The end of what was written since the last call."""
    sys.stdout.flush()
    sys.stderr.flush()
    size = os.lseek(log, 0, os.SEEK_END)
    if size == 0:
        return ""
    tail = os.pread(log, PRINTED_LIMIT, max(size - PRINTED_LIMIT, 0))
    os.ftruncate(log, 0)
    return tail.decode("utf-8", "replace")


def _import_build(overlay: Overlay) -> tuple[ModuleType | None, Observation]:
    """The build's torch_pruning, verified to be the overlay's; None with the reason if it is not to be had."""
    sys.path.insert(0, str(overlay.path))
    try:
        import torch_pruning  # type: ignore[import-not-found]  # noqa: PLC0415 - the build exists only from here on
    except BaseException as error:  # noqa: BLE001 - SystemExit at import is a finding too
        return None, Observation(Ending.UNIMPORTABLE, failure=_failure(error))
    claim = _false_claim(torch_pruning, overlay)
    if claim:
        return None, Observation(Ending.UNIMPORTABLE, detail=claim)
    return torch_pruning, Observation(Ending.FINISHED)


def _false_claim(pruning: ModuleType, overlay: Overlay) -> str:
    origin = Path(pruning.__file__ or "").resolve()
    if not origin.is_relative_to(overlay.path.resolve()):
        return f"torch_pruning was imported from {origin.parent.name}, not from the build"
    versions = {d.version for d in importlib.metadata.distributions(name="torch-pruning", path=[str(overlay.path)])}
    if versions != {overlay.version}:
        return f"the build says it is {sorted(versions)}, not {overlay.version}"
    if not hasattr(pruning, "pruner") or not hasattr(pruning.pruner, "MetaPruner"):
        return "torch_pruning has no pruner.MetaPruner"
    return ""


def _send(connection: Connection, observation: Observation, asked: int = 0, printed: str = "") -> None:
    data = {**observation.to_json(), "asked": asked}
    if printed and observation.ending is not Ending.FINISHED:
        data["printed"] = printed
    connection.send_bytes(json.dumps(data).encode())


def _failure(error: BaseException) -> Failure:
    frame = ""
    for entry in traceback.extract_tb(error.__traceback__):
        parts = Path(entry.filename).parts
        if "torch_pruning" in parts:
            inside = parts[len(parts) - parts[::-1].index("torch_pruning") :]
            frame = f"{'.'.join(inside).removesuffix('.py')}.{entry.name}"
    lines = "".join(traceback.format_exception(error)).splitlines()
    return Failure(type(error).__name__, str(error)[:500], frame, "\n".join(lines[-12:]))
