"""`headcount`: the commands, a module each: `add` declares one, `run` runs it and returns its exit code."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from headcount.cli import bisect, emit, gate, history, report, reproduce, support, which
from headcount.cli.shared import BY_NOX, EXIT_CODES
from headcount.environment import DEVICE
from headcount.errors import ExitCode, HeadcountError
from headcount.report.console import say

_INTERRUPTED = 130
_READER_GONE = 141

_COMMANDS = (emit, reproduce, bisect, history, support, which, gate, report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words, argparse.Namespace(words=words))
    os.environ.pop(DEVICE, None)  # only the matrix runs on other devices, and checks that they are there
    try:
        code: int = options.run(options)
    except HeadcountError as error:
        say(f"headcount: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        script = ", with a script if --resume is added" if hasattr(options, "resume") else ""
        say(f"headcount: interrupted: there is no result; what builds did is kept, and the same call goes on{script}")
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python writes there once more as it ends
        return _READER_GONE
    except OSError as error:
        say(f"headcount: {error} (look at the disk's space and permissions)")
        return ExitCode.SETUP
    except Exception as error:  # noqa: BLE001 - 1, which Python would exit with, says that a defect is there
        traceback.print_exc()
        say(f"headcount: a fault of its own, {type(error).__name__}: please report it, with what stands above")
        return ExitCode.SETUP
    return code


def parser() -> argparse.ArgumentParser:
    """Return what the command line may say."""
    top = argparse.ArgumentParser(
        prog="headcount",
        description="Which Torch-Pruning prunes the attention heads of a ViT right?",
        epilog=f"{EXIT_CODES}\n{BY_NOX}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add(commands)
    return top
