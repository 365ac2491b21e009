"""A failing call as one file that stands alone: written, shrunk, proven; and the catalogue's own files run again.

Public names: `emit`, `emit_own`, `Wanted`, `Form`, `failing`, `find`, `is_writable`, `demand_writable`, `Reproduction`.
"""

from headcount.reproduce.own import emit_own
from headcount.reproduce.prove import Reproduction, Wanted, emit, failing, find
from headcount.reproduce.script import Form, demand_writable, is_writable

__all__ = ["Form", "Reproduction", "Wanted", "demand_writable", "emit", "emit_own", "failing", "find", "is_writable"]
