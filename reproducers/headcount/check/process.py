"""The isolated process of a user's file: it imports one build, runs the file, and sends what it saw."""

import json
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from headcount import untrusted
from headcount.check.facts import Sight
from headcount.check.observe import observe
from headcount.isolation import process, redirect, tampering
from headcount.isolation.script import FILE_LIMIT, start_over


def serve(scratch: str, connection: Connection, path: str, version: str, *file: str) -> None:
    """Run as the process's main: import the build at `path`, run the file once, send one `Sight` as JSON.

    Args:
        file: its path, the function in it, and the changes as JSON.
    """
    process.isolate(scratch, connection.fileno(), file_limit=FILE_LIMIT)
    process.confine(scratch)
    warnings.simplefilter("ignore")
    redirect.install(path, scratch)
    start_over()
    pruning, greeting = process.import_build(path, version, tampering.Watch())
    sight = Sight(greeting) if pruning is None else observe(pruning, Path(file[0]), file[1], json.loads(file[2]))
    connection.send_bytes(untrusted.encoded(sight).encode())
