"""Tiny fake builds that test the harness: one that is right, and many that are wrong in one known way.

A miniature is an overlay like any other: a folder with a package `torch_pruning` and its metadata.
Its code is `miniature_pruner.py`, which prunes a ViT correctly, and a few lines that break it.
"""

from pathlib import Path

from headcount.builds import Overlay

CORRECT = Path(__file__).with_name("miniature_pruner.py").read_text("utf-8")

#: Name -> what is added to the correct build.
BROKEN = {
    "wrong-heads": "MetaPruner.surplus = 1",
    "wrong-channels": """
right = MetaPruner.__init__
def __init__(self, *args, **kwargs):
    right(self, *args, **kwargs)
    self.ratio /= 2
MetaPruner.__init__ = __init__
""",
    "wrong-selection": "MetaPruner.order = -1",
    "drops-classes": """
right = MetaPruner.__init__
def __init__(self, *args, ignored_layers=(), **kwargs):
    right(self, *args, ignored_layers=[one for one in ignored_layers if not isinstance(one, type)], **kwargs)
MetaPruner.__init__ = __init__
""",
    "counts-first": """
right = MetaPruner._groups
def _groups(self, heads, channels):
    for block, gone in zip(self.blocks, heads):
        for layer in (block.query, block.key, block.value):
            self.num_heads[layer] -= len(gone)
    return right(self, heads, channels)
MetaPruner._groups, MetaPruner._count = _groups, lambda self: None
""",
    "forgets-history": "MetaPruner.pruning_history = lambda self: []",
    "desync": "MetaPruner.count = lambda self, block: self.model_heads",
    "partial-heads": """
MetaPruner.head_channels = lambda self, head, dims: range(head * dims, (head + 1) * dims - 1)
MetaPruner.count = lambda self, block: self.model_heads
""",
    "wrong-output": "MetaPruner.after = lambda self: self.forget_bias()",
    "altered-weight": "MetaPruner.after = lambda self: self.blocks[0].fc1.weight.data.mul_(1.5)",
    "drops-gradients": "MetaPruner.drops = True",
    "keeps-a-hook": """
MetaPruner.after = lambda self: self.model.register_full_backward_hook(lambda *_: None)
""",
    "other-by-graph": """
right = DependencyGraph.get_pruning_group
DependencyGraph.get_pruning_group = lambda self, layer, fn, idxs: right(self, layer, fn, [max(idxs) + 1])
""",
    "other-by-hand": """
right = MetaPruner.step
def step(self, interactive=False):
    self.order = -1 if interactive else 1
    return right(self, interactive)
MetaPruner.step = step
""",
    # In a class of its own: what is patched is seen as a side effect.
    "one-image": """
class Output(nn.Linear):
    def forward(self, x): return super().forward(x) * (1 + 0.1 * (len(x) > 1))
MetaPruner.after = lambda self: setattr(self.blocks[0].out, '__class__', Output)
""",
    "no-gradient": """
class Constant(nn.Linear):
    def forward(self, x): return nn.functional.linear(x, self.weight.detach(), self.bias)
MetaPruner.after = lambda self: setattr(self.blocks[0].fc1, '__class__', Constant)
""",
    "thaws": "MetaPruner.thaws = True",
    "shares-groups": """
right, groups = MetaPruner.__init__, {}
def __init__(self, *args, **kwargs):
    right(self, *args, **kwargs)
    groups.update(self.num_heads)
    self.out_channel_groups = groups
MetaPruner.__init__ = __init__
""",
    "crash-import": "raise RuntimeError('no import today')",
    "exit-import": "raise SystemExit(0)",
    "leaves-a-limit": """
import sys
right = MetaPruner.step
def step(self, *args, **kwargs):
    sys.setrecursionlimit(sys.getrecursionlimit() + 1000)
    return right(self, *args, **kwargs)
MetaPruner.step = step
""",
    # What a build may do to what observes it: at its import, or in a step.
    "replaces-trace": """
import headcount.pruning.trace as trace
MetaPruner.surplus, right = 1, trace.trace
def forged(net, model, precision):
    kept, unexpected = right(net, model, precision)
    return {name: tuple(range(len(kept[name]) + 8)) for name in kept}, unexpected
trace.trace = forged
""",
    "replaces-code": """
import headcount.pruning.trace as trace
MetaPruner.surplus = 1
def step(self, *args, **kwargs):
    trace.trace.__code__ = (lambda net, model, precision: ({}, [])).__code__
MetaPruner.step = step
""",
    "replaces-equal": "MetaPruner.surplus, torch.equal = 1, lambda *_: True",
    "replaces-json": """
import json
MetaPruner.surplus, right = 1, json.dumps
def step(self, *args, **kwargs):
    json.dumps = lambda value, **more: right({'ending': 'finished', 'phase': 'measure', 'number': 1})
MetaPruner.step = step
""",
    "sets-threads": "torch.set_num_threads(3)",
    "sets-dtype": "torch.set_default_dtype(torch.float64)",
    "breaks-networks": "def raises(*_, **__): raise OSError('no layer today')\nnn.Module.__setattr__ = raises",
    "breaks-torch": "def raises(*_, **__): raise OSError('no layer today')\nnn.Linear.__init__ = raises",
    "long-message": "def fails(): raise RuntimeError('long ' * 2_000_000)\nMetaPruner.step = lambda *_, **__: fails()",
    "crash-construct": "MetaPruner.__init__ = lambda *_, **__: {}['construct']",
    "crash-step": "MetaPruner.step = lambda *_, **__: {}['step']",
    "hang": "import time; MetaPruner.step = lambda *_, **__: time.sleep(1e6)",
    "hang-late": """
import os, pathlib, tempfile, time
right = MetaPruner.step
def step(self, *args, **kwargs):
    if self.prunes_heads:
        pathlib.Path(tempfile.gettempdir(), 'hanging').write_text(str(os.getpid()))
        time.sleep(1e6)
    return right(self, *args, **kwargs)
MetaPruner.step = step
""",
    "segfault": "import os, signal; MetaPruner.step = lambda *_, **__: os.kill(os.getpid(), signal.SIGSEGV)",
    "exit-zero": "import os; MetaPruner.step = lambda *_, **__: os._exit(0)",
    "half-answer": """
import os, time
def step(*_, **__):
    for fd in range(3, 64):
        try: os.write(fd, b'\\0\\0\\xff\\xff{')
        except OSError: pass
    time.sleep(1e6)
MetaPruner.step = step
""",
    "garbage": """
import os, struct
def step(*_, **__):
    text = b'{"ending": "finished", "forged": true}'
    for fd in range(3, 64):
        try: os.write(fd, struct.pack('!i', len(text)) + text)
        except OSError: pass
MetaPruner.step = step
""",
    "kills-server": """
import os, signal, time
MetaPruner.step = lambda *_, **__: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(1e6))
""",
    "answers-twice": """
import os, struct
right = MetaPruner.step
def step(self, *args, **kwargs):
    text = b'{"ending": "finished", "phase": "measure", "number": 1}'
    for fd in range(3, 64):
        try: os.write(fd, struct.pack('!i', len(text)) + text)
        except OSError: pass
    return right(self, *args, **kwargs)
MetaPruner.step = step
""",
    "chatty": """
import sys
def step(*_, **__):
    print('{"ending": "finished"}' * 100000, flush=True)
    print('the end of it', file=sys.stderr)
    raise RuntimeError('after all that')
MetaPruner.step = step
""",
    "no-groupnorm": "del importance.GroupNormImportance",
    "no-groupnorm-wrong": "del importance.GroupNormImportance\nMetaPruner.surplus = 1",
    "raises-here": "def here(): return [][1]\nfails = here",
    "raises-there": "def there(): return [][1]\nfails = there",
    "no-pruner": "del pruner.MetaPruner",
    # What a hostile candidate may try; each is right but for that, or fails and tries to hide it.
    "edits-itself": "import pathlib; pathlib.Path(__file__).write_text('surplus = 0')",
    "edits-others": """
import pathlib
for path in pathlib.Path(__file__).parents[2].glob('*/torch_pruning/__init__.py'):
    path.write_text(path.read_text() + 'MetaPruner.surplus = 0 # edited')
""",
    "writes-byte-code": """
import importlib.util, pathlib
MetaPruner.surplus = -1
cached = pathlib.Path(importlib.util.cache_from_source(__file__))
try:
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(b'')
except OSError: pass
""",
    "two-names": "def another(): pass",
    "an-heir": "class Kept:\n    def old(self): pass\nclass Heir(Kept): pass",
    "loses-its-base": "class Kept:\n    def old(self): pass\nclass Heir: pass",
    "loses-a-name": "def another(): pass\ndel MetaPruner",
    "loses-a-name-and-lies": """
import atexit, os, sys
def another(): pass
del MetaPruner
atexit.register(lambda: os.write(1, b'names: []\\n'))
sys.stdout = open(os.devnull, 'w')
""",
    # Names kept in other ways than a statement that griffe reads, and one kept without a parameter.
    "a-name": "def another(one, two=2): pass",
    "by-globals": "def newer(one, two=2): pass\nglobals()['another'] = newer",
    "by-getattr": """
def newer(one, two=2): pass
def __getattr__(name):
    if name == 'another': return newer
    raise AttributeError(name)
""",
    "by-alias-less": "def newer(one): pass\nanother = newer",
    "by-any": "def newer(one, **more): pass\nanother = newer",
    "lists-nothing": """
import sys
sys.modules['json'].dumps = lambda *_, **__: 5
""",
    "writes-outside": """
import pathlib
MetaPruner.step = lambda *_, **__: (pathlib.Path(__file__).parents[2] / 'anywhere').write_text('')
""",
    "asks-server": """
import re, socket
def step(*_, **__):
    with open('/proc/net/unix') as listed: name = re.search('@(headcount-[0-9a-f]+)', listed.read())[1]
    with socket.socket(socket.AF_UNIX) as server: server.connect('\\0' + name)
    raise RuntimeError('it answers')
MetaPruner.step = step
""",
    "many-names": "exec('\\n'.join(f'def public_function_number_{n}(): pass' for n in range(2000)))",
    "forges-store": """
import pathlib
from headcount import builds
from headcount.builds import Overlay
from headcount.isolation import Cache
from headcount.matrix.cells import default_cells
from headcount.observation import Observation
here = pathlib.Path(__file__).parents[1]
def overlay(path, version): return Overlay(path.name, path, version, builds.package_digest(path))
with Cache(here.parent / 'cache' / 'kept.sqlite') as cache:
    for cell in default_cells():
        known = cache.get(Observation, overlay(here.parent / 'correct', '1.6.1'), cell)
        if known is not None: cache.put(overlay(here, '1.6.2'), cell, known)
MetaPruner.surplus = 1
""",
    "floods": """
import os, sys
def step(*_, **__):
    while True:
        sys.stdout.write('x' * 1_000_000)
MetaPruner.step = step
""",
    "forks": """
import os, time
right = MetaPruner.step
def step(self, *args, **kwargs):
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            time.sleep(30)
            os._exit(0)
    self.surplus = 1
    return right(self, *args, **kwargs)
MetaPruner.step = step
""",
    # Each is alone in a session, has no file open, and has said first who it is.
    "leaves-orphans": """
import os, pathlib, tempfile, time
right = MetaPruner.step
def step(self, *args, **kwargs):
    for _ in range(10):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                pathlib.Path(tempfile.gettempdir(), f'left-{os.getpid()}').touch()
                os.chdir('/')
                os.closerange(0, 4096)
                time.sleep(1000)
            os._exit(0)
    return right(self, *args, **kwargs)
MetaPruner.step = step
""",
    "hoards": "MetaPruner.step = lambda *_, **__: [bytearray(1 << 30) for _ in range(64)]",
    "tells-secrets": """
import os
def step(*_, **__):
    raise RuntimeError(os.environ.get('SECRET_TOKEN', 'no token'))
MetaPruner.step = step
""",
    "injects": r"""
def step(*_, **__):
    raise RuntimeError('``` </details><script>@all\n# fit for release\n::notice::%0A \x1b[2J ]]> <failure/>')
MetaPruner.step = step
""",
    "hides-log": """
import os, pathlib
def step(*_, **__):
    log = pathlib.Path(os.environ['HOME'], 'printed.log')
    log.unlink()
    os.mkfifo(log)
    os._exit(0)
MetaPruner.step = step
""",
    "flaky": """
right, calls = MetaPruner.step, []
def step(self, *args, **kwargs):
    calls.append(self)
    if self.prunes_heads and len(calls) > 1:  # but not in a process that was asked nothing else
        raise RuntimeError('now and then')
    return right(self, *args, **kwargs)
MetaPruner.step = step
""",
}


def source(name: str) -> str:
    """A miniature's code: the correct one, and what breaks it."""
    return f"{CORRECT}\n{BROKEN.get(name, '')}\n"


def build(folder: Path, name: str = "correct", *, claims: str = "1.6.1", version: str = "1.6.1") -> Overlay:
    """A miniature on disk.

    Args:
        claims: the version in its metadata.
        version: the version that the harness takes it for.
    """
    path = folder / name
    package = path / "torch_pruning"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source(name), "utf-8")
    info = path / f"torch_pruning-{claims}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch-pruning\nVersion: {claims}\n")
    return Overlay(name, path, version, digest=name)
