"""The engine survives every way in which a build can fail, and says which it was."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import pytest

import miniatures
from headcount import scratch
from headcount.builds import Overlay
from headcount.errors import SetupError
from headcount.isolation import Engine, landlock
from headcount.isolation.engine import unpromised
from headcount.isolation.landlock import SIGNALS_SINCE
from headcount.matrix import Cell, Config, Criterion, cells
from headcount.models import Model, small
from headcount.observation import Ending, Phase, Problem
from headcount.scratch import processes_using

CELL = cells.EDGE_CASES[0]

Miniature = Callable[[str], Overlay]


@pytest.mark.parametrize(
    ("name", "ending", "phase", "says"),
    [
        ("crash-import", Ending.UNIMPORTABLE, Phase.IMPORT, "no import today"),
        ("exit-import", Ending.UNIMPORTABLE, Phase.IMPORT, "SystemExit"),
        ("no-pruner", Ending.UNIMPORTABLE, Phase.IMPORT, "has no pruner.MetaPruner"),
        ("breaks-torch", Ending.UNIMPORTABLE, Phase.IMPORT, "its import replaced torch.nn.modules.linear.Linear.__in"),
        ("replaces-trace", Ending.UNIMPORTABLE, Phase.IMPORT, "its import replaced headcount.pruning.trace.trace"),
        ("replaces-equal", Ending.UNIMPORTABLE, Phase.IMPORT, "its import replaced torch.equal"),
        ("crash-construct", Ending.RAISED, Phase.CONSTRUCT, "'construct'"),
        ("crash-step", Ending.RAISED, Phase.STEP, "'step'"),
        ("hang", Ending.TIMEOUT, Phase.CELL, "no answer within 5 s"),
        ("segfault", Ending.KILLED, Phase.CELL, "SIGSEGV"),
        ("exit-zero", Ending.KILLED, Phase.CELL, "exited with status 0"),
        ("garbage", Ending.GARBAGE, Phase.CELL, "unknown fields"),
        ("writes-outside", Ending.RAISED, Phase.STEP, "Permission denied")
        if landlock.version()
        else ("correct", Ending.FINISHED, Phase.MEASURE, ""),
        ("asks-server", Ending.RAISED, Phase.STEP, "not permitted")
        if landlock.version() >= SIGNALS_SINCE
        else ("correct", Ending.FINISHED, Phase.MEASURE, ""),
        ("kills-server", Ending.RAISED, Phase.STEP, "not permitted")
        if landlock.version() >= SIGNALS_SINCE
        else ("kills-server", Ending.KILLED, Phase.CELL, "or its server was killed"),
        ("chatty", Ending.RAISED, Phase.STEP, "after all that"),
    ],
)
def test_failures_cost_one_observation(
    engine: Engine, miniature: Miniature, name: str, ending: Ending, phase: Phase, says: str
) -> None:
    observation = engine.run(miniature(name), CELL)
    assert (observation.ending, observation.phase) == (ending, phase)
    assert says in f"{observation.failure} {observation.detail}"
    assert engine.run(miniature("correct"), CELL).ending is Ending.FINISHED


@pytest.mark.skipif(sys.platform == "win32", reason="there is no server where there is no fork")
def test_a_server_that_was_killed_is_replaced(engine: Engine, miniature: Miniature) -> None:
    """As the system may do when memory is short."""
    engine.run(miniature("correct"), CELL)
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way
    deadline = time.monotonic() + 20
    while engine.run(miniature("correct"), CELL).ending is not Ending.FINISHED:
        assert time.monotonic() < deadline  # it takes a moment to be noticed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says that a process was stopped")
def test_a_server_that_was_stopped_is_replaced(
    engine: Engine, miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers no one, and would be waited for without end."""
    engine.run(miniature("correct"), CELL)
    stopped = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way
    os.kill(stopped, signal.SIGSTOP)
    monkeypatch.setattr("headcount.isolation.forkserver.LOOK_EVERY", 0.1)
    assert engine.run(miniature("correct"), CELL, alone=True).ending is Ending.FINISHED
    assert forkserver._forkserver._forkserver_pid != stopped  # type: ignore[attr-defined]  # noqa: SLF001 - likewise


@pytest.mark.skipif(sys.platform == "win32", reason="there is no server where there is no fork")
def test_who_dies_while_asking_ends_no_server(engine: Engine, miniature: Miniature) -> None:
    """Others may use it, too."""
    engine.run(miniature("correct"), CELL)
    whereabouts = vars(forkserver._forkserver)  # noqa: SLF001 - there is no public way
    running = whereabouts["_forkserver_pid"]
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(whereabouts["_forkserver_address"])
    time.sleep(0.5)
    assert engine.run(miniature("correct"), CELL, alone=True).ending is Ending.FINISHED
    assert whereabouts["_forkserver_pid"] == running


STOPS = """
import os, signal, sys
from multiprocessing import forkserver
from pathlib import Path
from headcount.builds import Overlay
from headcount.isolation import Engine
from headcount.matrix import Cell, Config
from headcount.models import Model
with Engine() as engine:
    print(engine.run(Overlay("one", Path(sys.argv[1]), *sys.argv[2:]), Cell(Model(), Config())).ending, flush=True)
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGSTOP)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says that a process was stopped")
def test_a_stopped_server_keeps_no_run_from_its_end(miniature: Miniature) -> None:
    """It would never tell that its processes have died."""
    overlay = miniature("correct")
    command = [sys.executable, "-c", STOPS, str(overlay.path), overlay.version, overlay.digest]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "finished\n")


JOINS = """
import ast, sys
from pathlib import Path
from headcount.builds import Overlay
from headcount.isolation import Engine, forkserver
from headcount.matrix import Cell, Config
from headcount.models import Model
forkserver.join(ast.literal_eval(sys.argv[1]))
overlay = Overlay("one", Path(sys.argv[2]), *sys.argv[3:])
with Engine() as engine:
    for again in range(2):
        print(engine.run(overlay, Cell(Model(), Config())).ending, flush=True)
        print(engine._child.process.pid, flush=True)
        sys.stdin.readline()
        engine.close()
"""


def parent(process: int) -> int:
    """A process's parent."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="a process's parent is found by way of /proc")
def test_a_server_is_shared_until_it_is_gone(miniature: Miniature) -> None:
    """Who joins has processes forked by another's server, and by its own when that is killed."""
    overlay = miniature("correct")
    shares = "from headcount.isolation import forkserver as f; print(dict(f.warm_up()), flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", shares], **pipes) as sharing:  # type: ignore[call-overload]
        whereabouts = sharing.stdout.readline()
        named = [str(overlay.path), overlay.version, overlay.digest]
        with subprocess.Popen([sys.executable, "-c", JOINS, whereabouts, *named], **pipes) as joined:  # type: ignore[call-overload]
            assert joined.stdout.readline() == "finished\n"
            server = parent(int(joined.stdout.readline()))
            assert parent(server) == sharing.pid
            os.kill(server, signal.SIGKILL)
            joined.stdin.write("go on\n")
            joined.stdin.flush()
            assert joined.stdout.readline() == "finished\n"
            assert parent(int(joined.stdout.readline())) != server
            joined.stdin.write("bye\n")
        sharing.stdin.write("\n")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by way of /proc")
def test_what_left_its_group_is_ended(miniature: Miniature) -> None:
    overlay = miniature("forks")
    with Engine() as engine:
        engine.run(overlay, CELL)
        child = engine._child  # noqa: SLF001 - there is no public way to its folder, nor need for one
        assert child is not None
        folder = child.folder
        assert len(processes_using(Path(folder))) >= 20
    deadline = time.monotonic() + 10
    while processes_using(Path(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_using(Path(folder))


#: Runs a cell of a build that leaves forks behind, and waits to be killed.
IS_KILLED = """
import sys
from pathlib import Path
from headcount.builds import Overlay
from headcount.isolation import Engine
from headcount.matrix import cells
engine = Engine()
engine.run(Overlay("it", Path(sys.argv[1]), *sys.argv[2:]), cells.EDGE_CASES[0])
print(engine._child.folder, flush=True)
sys.stdin.read()
"""


def orphans(folder: Path) -> list[int]:
    """Return the processes that a build left, by the files that they made."""
    return [int(path.name.partition("-")[2]) for path in folder.glob("left-*")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans another parent")
def test_a_killed_runs_processes_end_with_it(miniature: Miniature) -> None:
    """Wherever they went. Its folder is removed by the next run."""
    overlay = miniature("leaves-orphans")
    named = [str(overlay.path), overlay.version, overlay.digest]
    with subprocess.Popen(
        [sys.executable, "-c", IS_KILLED, *named], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        deadline = time.monotonic() + 20
        # The last may not have lost its own parent yet.
        while len(left := orphans(folder)) < 10 or {parent(process) for process in left} != {parent(left[0])}:
            assert time.monotonic() < deadline, "each is adopted"
            time.sleep(0.1)
        server = parent(left[0])
        assert parent(server) == run.pid
        run.kill()
    deadline = time.monotonic() + 20
    while alive := [process for process in (server, *left) if Path(f"/proc/{process}").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)
    with scratch.folder() as other:  # any run may have removed the first by now
        scratch.clear.cache_clear()
        scratch.clear()
        assert other.is_dir(), "it is in use"
    assert not folder.exists()


def test_a_start_that_fails_leaves_nothing(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder and no open file for each try."""
    overlay = miniature("correct")

    def refused(*_: object, **__: object) -> None:
        raise OSError("no process today")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("headcount.isolation.engine.START_PAUSES", (0.0,))
    monkeypatch.setattr("multiprocessing.context.ForkServerProcess.start", refused)
    before = len(list(Path("/dev/fd").iterdir()))
    with Engine() as engine:
        for _ in range(3):
            with pytest.raises(SetupError, match="cannot start a process: OSError"):
                engine.run(overlay, CELL)
    assert not list(tmp_path.iterdir())
    assert len(list(Path("/dev/fd").iterdir())) <= before


def test_half_an_answer_does_not_block(miniature: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that announces more than it sends is given up, not waited for."""
    monkeypatch.setattr("headcount.isolation.engine.ANSWER_TIMEOUT", 1.0)
    with Engine(cell_timeout=5.0) as engine:
        stuck = engine.run(miniature("half-answer"), CELL)
        assert (stuck.ending, stuck.detail) == (Ending.TIMEOUT, "an answer was begun and not ended within 1 s")
        assert engine.run(miniature("correct"), CELL).ending is Ending.FINISHED


def test_an_answer_is_to_its_cell(engine: Engine, miniature: Miniature) -> None:
    """A forged first answer leaves the true one over: it must not pass for the second."""
    engine.run(miniature("answers-twice"), CELL, alone=True)
    second = engine.run(miniature("answers-twice"), CELL)
    assert (second.ending, second.detail) == (Ending.GARBAGE, "an answer to cell 1, not 2")


def test_the_end_of_what_was_printed_is_kept(engine: Engine, miniature: Miniature) -> None:
    printed = engine.run(miniature("chatty"), CELL).printed
    assert printed.endswith("the end of it\n")
    assert len(printed) <= 2_000


def test_another_version_than_claimed_is_not_tested(engine: Engine, tmp_path: Path) -> None:
    liar = miniatures.build(tmp_path, claims="9.9.9", version="1.4.1")
    observation = engine.run(liar, CELL)
    assert observation.ending is Ending.UNIMPORTABLE
    assert observation.detail == "the build says it is ['9.9.9'], not 1.4.1"


def test_a_build_imported_from_elsewhere_is_not_tested(engine: Engine, tmp_path: Path) -> None:
    real = miniatures.build(tmp_path, "elsewhere")
    decoy = miniatures.build(tmp_path, "decoy")
    (decoy.path / "torch_pruning" / "__init__.py").write_text(
        f"import sys; sys.path.insert(0, {str(real.path)!r}); del sys.modules['torch_pruning']\n"
        "import importlib; sys.modules['torch_pruning'] = importlib.import_module('torch_pruning')\n"
    )
    observation = engine.run(decoy, CELL)
    assert observation.ending is Ending.UNIMPORTABLE
    assert "not from the build" in observation.detail


def test_a_cell_does_not_depend_on_those_before_it(engine: Engine, miniature: Miniature) -> None:
    alone = engine.run(miniature("correct"), CELL, alone=True)
    for cell in cells.EDGE_CASES[1:3]:
        engine.run(miniature("correct"), cell)
    again = engine.run(miniature("correct"), CELL)
    assert again.kept == alone.kept
    assert again.output_gap == alone.output_gap


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("import torch_pruning; print(torch_pruning.pruner.MetaPruner)", 0, "MetaPruner"),
        ("import sys; print('why'); sys.exit(125)", 125, "why"),
        ("import torch_pruning; raise RuntimeError('loud')", 1, "RuntimeError: loud"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, "SIGKILL"),
        ("import time; time.sleep(1e6)", None, "no end within 2 s"),
    ],
)
def test_a_script_is_run_as_a_program(
    miniature: Miniature,
    tmp_path: Path,
    code: str,
    status: int | None,
    says: str,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(code)
    with Engine(script_timeout=2.0) as engine:
        run = engine.run_script(miniature("correct"), script)
    assert run.status == status
    assert says in f"{run.printed}{run.why}"


def test_closing_ends_the_process(miniature: Miniature) -> None:
    with Engine() as engine:
        engine.run(miniature("correct"), CELL)
        child = engine._child  # noqa: SLF001 - there is no public way to a process id, nor need for one
        assert child is not None
        pid = child.process.pid
        assert pid is not None
        os.kill(pid, 0)
    deadline = time.monotonic() + 10
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)


def test_what_a_release_never_promised_is_not_run() -> None:
    config = Config(isomorphic=True, importance=Criterion.OBDC)
    cell = Cell(Model(), config)
    assert unpromised("1.3.7", cell) == "isomorphic came with 1.4.1; obdc came with 1.4.0"
    assert unpromised("1.4.1", cell) == ""
    assert Engine().run(Overlay("old", Path("nowhere"), "1.3.7", ""), cell).ending is Ending.NOT_APPLICABLE


def test_a_family_that_this_transformers_does_not_have(
    engine: Engine, miniature: Callable[[str], Overlay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said which one has it, and no process is started."""
    monkeypatch.setattr("headcount.environment.environment", lambda: {"transformers": "4.40.0"})
    observation = engine.run(miniature("correct"), Cell(small("dinov3"), Config()))
    assert observation.ending is Ending.NOT_APPLICABLE
    assert observation.detail == "DINOv3 came with transformers 4.56, this is 4.40.0"


def test_a_network_that_cannot_be_made_is_no_verdict(engine: Engine, miniature: Miniature) -> None:
    """It is said at the first, and of the build only by an engine that knows another (see canary)."""
    with pytest.raises(SetupError, match="the network vit.* cannot be made here: OSError: no layer today"):
        engine.run(miniature("breaks-networks"), CELL)


def test_what_is_kept_of_a_long_message_is_short(engine: Engine, miniature: Miniature) -> None:
    found = engine.run(miniature("long-message"), CELL)
    assert found.failure is not None
    assert len(found.failure.message) == 500
    assert len(found.failure.traceback) <= 4000
    assert "RuntimeError: long long" in found.failure.traceback


def test_what_a_build_leaves_in_its_process_is_seen_once(engine: Engine, miniature: Miniature) -> None:
    """It is a side effect of that cell, and the next cell has a process of its own."""
    for _ in range(2):
        (effect,) = engine.run(miniature("leaves-a-limit"), CELL, recall=False).effects
        assert (effect.where, effect.before) == ("recursion limit", "1000")


@pytest.mark.parametrize(
    ("name", "where", "problem"),
    [
        ("replaces-code", "headcount.pruning.trace.trace", Problem.PROCESS),
        ("replaces-json", "json.dumps", Problem.PROCESS),
        ("sets-threads", "torch", Problem.THREADS),
    ],
)
def test_what_observes_stays_what_it_was(
    engine: Engine, miniature: Miniature, name: str, where: str, problem: Problem
) -> None:
    """A build that replaces it, or left something behind when it was imported, shows a side effect in each cell."""
    for _ in range(2):
        effect = engine.run(miniature(name), CELL, recall=False).effects[0]
        assert (effect.where, effect.problem) == (where, problem)
