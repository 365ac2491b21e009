"""The isolated process of a script: a Python file is run as a program, with a build in place of the one installed.

It ends as a program does, except where its exit status tells nothing of the build. Then it is 125, as
`git bisect run` has it, and the note of its end says why.
"""

import atexit
import os
import runpy
import sys
import traceback
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker, set_start_method
from pathlib import Path
from typing import Any

from headcount import untrusted
from headcount.isolation import process, redirect, shared
from headcount.observation import CANNOT_BE_TESTED, Failure, Phase, ScriptRun

#: Largest file that a script may write, in bytes: it may have work to do.
FILE_LIMIT = 16_000_000_000


def run_script(scratch: str, build: str, script: str, environment: dict[str, str], confined: bool) -> None:  # noqa: FBT001 - multiprocessing passes no keywords here
    """Run as the process's main: run the script, the build first on the path, then the script's own folder."""
    process.isolate(scratch, file_limit=FILE_LIMIT)
    os.environ.update(environment)
    if confined:
        process.confine(scratch)
    sys.path[:0] = [build, str(Path(script).parent)]
    sys.argv = [script]
    atexit._clear()  # noqa: SLF001 - what the server registered is not the script's
    redirect.install(build, scratch)
    start_over()
    code: Any = 0
    error: BaseException | None = None
    answer = ""
    try:
        answer = str(runpy.run_path(script, run_name="__main__").get("ANSWER", ""))
    except SystemExit as ended:
        code, error = ended.code, ended
    except BaseException as raised:  # noqa: BLE001 - a script may raise anything
        code, error = _hooked(raised), raised
    why = _why_not(code, error, build, scratch, script)
    end = _end(error, script, (build, str(Path(build).resolve()), scratch))
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does, and a forked process does not
    # Last: what the script's own code may have written there is not what happened.
    Path(scratch, shared.END).write_text(untrusted.encoded(ScriptRun(None, "", *end, answer, why)), "utf-8")
    sys.exit(CANNOT_BE_TESTED if why else code)


def start_over() -> None:
    """Forget what the server had: its input, and the processes with which multiprocessing works."""
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    set_start_method(None, force=True)  # the platform's, not the server's
    with suppress(AttributeError):  # in Python's own modules, which may change
        vars(resource_tracker._resource_tracker).update(_fd=None, _pid=None)  # noqa: SLF001 - there is no public way
        vars(forkserver._forkserver).update(  # noqa: SLF001 - there is no public way
            _forkserver_address=None, _forkserver_alive_fd=None, _forkserver_pid=None
        )


def _hooked(raised: BaseException) -> Any:
    """Return the exit code of an uncaught exception. The script's own hook may choose it, as the reproducers' do."""
    try:
        sys.excepthook(type(raised), raised, raised.__traceback__)
    except SystemExit as ended:
        return ended.code
    except BaseException:  # noqa: BLE001 - a hook may raise anything
        traceback.print_exc()
        return CANNOT_BE_TESTED
    return CANNOT_BE_TESTED if isinstance(raised, KeyboardInterrupt) else 1


def _why_not(code: Any, error: BaseException | None, build: str, scratch: str, script: str) -> str:
    """Return why the exit code tells nothing of the build; "" if it does."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(build)]
    if any(frame.name == "<module>" for frame in inside):
        return "the build cannot be imported"
    if not inside and isinstance(error, ImportError | NameError | SyntaxError):
        return "the script is at fault itself"  # no build removes a name of the script's
    # Whose SystemExit it is, the innermost frame says: the standard library's belongs to the code that called it.
    raisers = [f for f in frames if f in inside or Path(f.filename).parent == Path(script).parent]
    if isinstance(error, SystemExit) and raisers and raisers[-1] in inside:
        return "the build ended the process"
    if isinstance(code, int) and code not in (0, 1):
        return ""  # it is no answer as it is
    return _not_the_build(build, scratch)


def _not_the_build(build: str, scratch: str) -> str:
    """Return why the build had no part in it; "" if it had."""
    if (imported := sys.modules.get("torch_pruning")) is None:
        return "" if Path(scratch, redirect.MARK).exists() else "the script never imported torch_pruning"
    origin = Path(getattr(imported, "__file__", None) or "").resolve()
    elsewhere = f"the script imported torch_pruning from {origin.parent}, which is not the build"
    return "" if origin.is_relative_to(Path(build).resolve()) else elsewhere


def _end(error: BaseException | None, script: str, places: tuple[str, ...]) -> tuple[str, str, tuple[int, ...]]:
    """Return the exception that ended a script, its innermost frame in the build, and the script's own lines."""
    if error is None:
        return "", "", ()
    failure = Failure.of(error, Phase.STEP)
    first = untrusted.placeless(str(error).strip().partition("\n")[0], places)
    raised = f"{failure.exception}: {first}" if first else failure.exception
    lines = tuple(f.lineno or 0 for f in traceback.extract_tb(error.__traceback__) if f.filename == script)
    return "" if isinstance(error, SystemExit) else raised[:500], failure.frame[:200], lines
