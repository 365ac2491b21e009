"""Confinement by Linux's Landlock (5.13 and later): a process writes to its own folders and nothing else.

A process that confines itself stays so, with all that it starts: it writes to no file elsewhere, sends no
signal to a process outside, and opens no TCP connection. Reading is not restricted. Where the system has
no Landlock, or an older one, less of this holds, and nothing fails: see .github/SECURITY.md.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

# Numbers of <linux/landlock.h>; the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38

#: The version that keeps signals inside.
SIGNALS_SINCE = 6

#: Changes to files: writing, removing, making of every kind; then moving and truncating, which came later.
_WRITE_FILE, _MOVE, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_CHANGES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))

#: What is restricted: of files, of TCP (to bind, to connect), of abstract sockets and signals; since which version.
_RESTRICTED = (((1, _CHANGES), (2, _MOVE), (3, _TRUNCATE)), ((4, 0b11),), ((SIGNALS_SINCE, 0b11),))


def version() -> int:
    """Return Landlock's version on this system; 0 if there is none."""
    if sys.platform != "linux":
        return 0
    return max(int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)), 0)


def confine(writable: Iterable[Path]) -> bool:
    """Let this process, and all that it starts from here on, write only beneath these folders, and to these files.

    Returns:
        Whether it is so: False where there is no Landlock.
    """
    if not (known := version()):
        return False
    # Trailing words that are 0 say nothing: a system that knows no such words takes them.
    handled = [sum(bits for since, bits in kinds if since <= known) for kinds in _RESTRICTED]
    attributes, files = struct.pack("=3Q", *handled), handled[0]
    libc = ctypes.CDLL(None, use_errno=True)
    rules = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    with ExitStack() as opened:
        opened.callback(os.close, rules)
        for path in (*writable, Path(os.devnull)):
            access = files if path.is_dir() else files & (_WRITE_FILE | _TRUNCATE)
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            opened.callback(os.close, descriptor)
            libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
