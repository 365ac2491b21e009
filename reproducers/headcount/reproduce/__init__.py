"""A failing call as one file that stands alone: written, shrunk, proven; and the catalogue's own files run again.

Public names: `emit`, `emit_own`, `Wanted`, `Form`, `failing`, `find`, `run`, `showing`, `Reproduction`,
`UnprovenError`.
"""

from headcount.reproduce.own import emit_own
from headcount.reproduce.prove import Reproduction, UnprovenError, Wanted, emit, failing, find, run, showing
from headcount.reproduce.script import Form

__all__ = ["Form", "Reproduction", "UnprovenError", "Wanted", "emit", "emit_own", "failing", "find", "run", "showing"]
