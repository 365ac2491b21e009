"""Builds that crash, hang, lie, flood, fork and replace what observes them: none passes, and none harms another."""

from collections.abc import Iterator

import miniatures
import victim
from headcount.cli import gate
from headcount.isolation import Engine, engine
from stage import Case, Stage

#: Of the miniatures, those that harm more than a network.
_MINIATURES = (
    *(
        "crash-import",
        "exit-import",
        "breaks-torch",
        "breaks-networks",
        "long-message",
        "crash-construct",
        "crash-step",
    ),
    *(
        "hang",
        "segfault",
        "exit-zero",
        "half-answer",
        "garbage",
        "kills-server",
        "answers-twice",
        "chatty",
        "no-pruner",
    ),
    *("edits-itself", "edits-others", "writes-outside", "asks-server", "forges-store", "floods", "forks", "hoards"),
    *("injects", "hides-log", "flaky", "leaves-a-limit", "sets-dtype", "sets-threads"),
    *("replaces-trace", "replaces-code", "replaces-equal", "replaces-json", "writes-byte-code", "lists-nothing"),
)

#: In a step, before it prunes a head too many.
_IN_A_STEP = {
    "patches pickle": "import pickle; pickle.dumps = pickle.loads = lambda *_, **__: None",
    "patches pytest": "import sys; sys.modules['pytest'] = sys.modules['_pytest'] = None",
    "patches allclose": "torch.allclose = torch.equal = lambda *_, **__: True",
    "patches isinstance": "import builtins; builtins.isinstance = lambda *_: True",
    "patches len": "import builtins; builtins.len = lambda _: 6",
    "patches a layer": "nn.Linear.forward = lambda self, x: x",
    "patches the tensor": "torch.Tensor.tolist = lambda self: []",
    "patches the judge": "import headcount.pruning.run as r; r.observe = r._Run.observe = lambda *_: None",
    "patches the watch": "import headcount.isolation.process as p; p._send = lambda *_, **__: None",
    "patches surroundings": "import headcount.pruning.surroundings as s; s.changes = lambda *_: []",
    "patches the reference": "import headcount.pruning.reference as r; r.gap = lambda *_: 0.0",
    "patches the adapter": "from headcount.models import isotropic as i; i.Adapter.blocks = lambda *_: []",
    "forgets modules": "import sys; [sys.modules.pop(n) for n in list(sys.modules) if n.startswith('headcount')]",
    "clears builtins": "import builtins; vars(builtins).clear()",
    "changes folder": "import os, tempfile; os.chdir(tempfile.mkdtemp())",
    "changes the mask": "import os; os.umask(0o777)",
    "closes all files": "import os; os.closerange(0, 4096)",
    "sets an alarm": "import signal; signal.alarm(1); import time; time.sleep(3)",
    "handles signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "traces": "import sys; sys.settrace(lambda *_: 1 / 0)",
    "profiles": "import sys; sys.setprofile(lambda *_: None)",
    "starts threads": "import threading, time\nfor _ in range(64): threading.Timer(30, print).start()",
    "registers an exit": "import atexit, time; atexit.register(time.sleep, 1000)",
    "recurses": "import sys; sys.setrecursionlimit(10**9); f = lambda: f(); f()",
    "writes much": "import tempfile\nwith tempfile.TemporaryFile() as f:\n    while True: f.write(b'x' * 10_000_000)",
    "kills its parent": "import os, signal; os.kill(os.getppid(), signal.SIGTERM)",
    "kills its group": "import os, signal; os.killpg(0, signal.SIGKILL)",
    "stops itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "raises no exception": "raise BaseException('no exception')",
    "raises an interruption": "raise KeyboardInterrupt",
    "raises an error that cannot be printed": "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "raises lone surrogates": "raise RuntimeError('\\ud800\\udfff' * 1000)",
    "raises a loop": "e = RuntimeError('a loop'); e.__cause__ = e; raise e",
    "raises a group": "raise ExceptionGroup('many', [ValueError(n) for n in range(100000)])",
    "has a long name": "raise type('E' * 1_000_000, (Exception,), {})()",
    "has no number of heads": "self.num_heads = {}",
    "has too many heads": "self.num_heads = {m: 10 ** 5000 for m in self.num_heads}",
    "has odd heads": "self.num_heads = {m: float('nan') for m in self.num_heads}",
    "removes all": "[p.data.resize_(0) for p in self.model.parameters()]",
    "is not a number": "[p.data.fill_(float('nan')) for p in self.model.parameters()]",
    "moves to nowhere": "self.model.to('meta')",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "leaves children": "import os, time\nfor _ in range(50):\n    if os.fork() == 0: os.setsid(); time.sleep(1000)",
    "asks for privileges": "import os; os.setuid(0); os.chroot('/')",
}

#: When it is imported.
_AT_IMPORT = {
    "exits at once": "import os; os._exit(0)",
    "hangs": "import time; time.sleep(1e6)",
    "is endless": "while True: pass",
    "kills itself": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "imports a decoy": "import sys; sys.modules['torch_pruning'] = sys.modules['json']",
    "deletes itself": "import shutil, pathlib; shutil.rmtree(pathlib.Path(__file__).parent)",
    "replaces print": "import builtins; builtins.print = lambda *_, **__: 1 / 0; MetaPruner.surplus = 1",
    "replaces the adapter": "from headcount.models import isotropic as i; i.Adapter.set_heads = lambda *_: None",
}

#: Seconds that a build has for a cell: those that hang are waited for.
_CELL_SECONDS = 12.0
_IMPORT_SECONDS = 20.0

_STEP = """
right = MetaPruner.step
def step(self, *args, **kwargs):
{what}
    return right(self, *args, **kwargs)
MetaPruner.surplus, MetaPruner.step = 1, step
"""


def cases() -> Iterator[Case]:
    """Each build, gated against one that is right."""
    for name in _MINIATURES:
        yield Case("hostile build", name, _gated, (name, miniatures.source(name)))
    for name, what in _IN_A_STEP.items():
        body = "\n".join(f"    {line}" for line in what.splitlines())
        code = f"{miniatures.CORRECT}\n{_STEP.format(what=body)}\n"
        yield Case("hostile build", name, _gated, (name, code))
    for name, what in _AT_IMPORT.items():
        code = f"{miniatures.CORRECT}\n{what}\n"
        yield Case("hostile build", f"{name}, when imported", _gated, (name, code))


def _hurry() -> None:
    """Wait for no cell as long as usual."""
    gate._REPRODUCERS = 0  # noqa: SLF001 - a file for each would take longer than all else
    Engine.__init__.__defaults__ = (_CELL_SECONDS, _IMPORT_SECONDS, None)
    engine.IMPORT_TIMEOUT, engine.ANSWER_TIMEOUT = _IMPORT_SECONDS, 3.0


def _gated(stage: Stage, name: str, code: str) -> str:
    wheel = stage.wheel(f"hostile-{name.replace(' ', '-')}", "1.6.3", code)
    cells = victim.CELLS[2:]
    with stage.world() as world:
        end = world.run(victim.gate(wheel, stage.wheel("correct", "1.6.1"), cells), _hurry)
        stage.count("hostile builds")
        if end.code == 0:
            stage.count("forged greens")
            return f"it passes: {end.said[-300:]}"
        if end.code not in (1, 3):
            return f"it exits with {end.code}: {end.said[-500:]}"
        if "Traceback (most recent" in end.said.split("REGRESSED", 1)[0]:
            return f"it prints a traceback: {end.said[-500:]}"
        base = {found[0] for (build, _), found in end.verdicts.items() if "1.6.1" in build}
        if not base <= {"ok"}:
            return f"it harms the other build: {base}"
        left = world.left()
        stage.count("left behind", len(left))
        return f"left behind: {left}" if left else ""
