"""`headcount`: the commands. A module declares one or two with `add`; its `run` runs one and returns the exit code."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import metadata

from headcount import builds, environment, errors, scratch
from headcount.cli import (
    bisect,
    check,
    emit,
    explore,
    fix,
    gate,
    history,
    report,
    report_upstream,
    reproduce,
    shared,
    site,
    support,
    which,
)
from headcount.report.console import heed_signals, say

_COMMANDS = (
    (emit.add, partial(emit.run, minimal=False)),
    (emit.add_minimise, partial(emit.run, minimal=True)),
    (reproduce.add, reproduce.run),
    (bisect.add, bisect.run),
    (history.add, history.run),
    (support.add, support.run),
    (which.add, which.run),
    (check.add, check.run),
    (explore.add, explore.run),
    (fix.add, fix.run),
    (gate.add, gate.run),
    (report.add, report.run),
    (site.add, site.run),
    (report_upstream.add, report_upstream.run),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    heed_signals()
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words, argparse.Namespace(words=words))
    os.environ.pop(environment.DEVICE, None)  # only the matrix runs on other devices, and checks that they are there
    os.environ.pop(environment.BESIDE, None)
    scratch.clear()
    try:
        shared.check_new(getattr(options, "json", None))  # before long work
        if asked := getattr(options, "packages", None):
            builds.prepare_beside(asked, say=say).use()
        return int(options.run(options))
    except errors.HeadcountError as error:
        say(f"headcount: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        script = ", with a script if --resume is added" if hasattr(options, "resume") else ""
        say(f"headcount: interrupted: there is no result; what builds did is kept, and the same call goes on{script}")
        return 130  # as a shell gives it: 128, and the signal
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python writes there once more as it ends
        return 141  # as a shell gives it, too: 128, and the signal
    except OSError as error:
        say(f"headcount: {error} (look at the disk's space and permissions)")
        return errors.ExitCode.SETUP
    except Exception as error:  # noqa: BLE001 - 1, which Python would exit with, says that a defect is there
        traceback.print_exc()
        say(f"headcount: a fault of its own, {type(error).__name__}: please report it, with what stands above")
        return errors.ExitCode.SETUP


def _version() -> str:
    """Return the version of Headcount, and of what it runs with."""
    others = ", ".join(f"{name} {number}" for name, number in environment.environment().items())
    return f"headcount {metadata.version('headcount')} ({others})"


def parser() -> argparse.ArgumentParser:
    """Return what the command line may say."""
    top = shared.Parser(
        prog="headcount",
        description="Which Torch-Pruning prunes the attention heads of a ViT right?",
        epilog=f"{shared.EXIT_CODES}\n{shared.called()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add, run in _COMMANDS:
        add(commands).set_defaults(run=run)
    return top
