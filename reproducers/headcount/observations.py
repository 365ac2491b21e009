"""What was seen when a build pruned a cell: plain facts, no judgement, and nothing but JSON.

Observations cross the border from a foreign process as JSON, never as pickles, and are checked on
arrival: a build can say nothing through them that makes the parent do anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headcount.foreign import checked

#: The exit status of a script that cannot tell, as `git bisect run` has it.
CANNOT_BE_TESTED = 125

#: The file in a process's folder that holds what it prints.
LOG = "printed.log"

#: The one in which a script's process says what ended it.
END = "end.json"

#: Written output kept per cell, from its end, in bytes.
PRINTED_LIMIT = 2_000


#: What a failure says that may be the machine's, and not the build's.
MACHINES_FAULT = re.compile(
    r"(?m)MemoryError|allocate memory|could not create a primitive|^OSError: \[Errno (12|24|28|122)\]|No space left"
    r"|CUDA (out of memory|error)|CU(BLAS|DNN)_STATUS|re-initialize CUDA"
)


_TRACEBACK = "Traceback (most recent call last):\n"

#: A warning's first line; and what is indented, as its second and a traceback's lines are.
_NOISE = re.compile(r"\S+:\d+: \w*Warning: | ")


class Phase(StrEnum):
    """What the worker was doing; the last one it reached is where a failure belongs."""

    IMPORT = "import"
    CONSTRUCT = "construct"
    STEP = "step"
    FORWARD = "forward"
    MEASURE = "measure"
    CELL = "cell"  # somewhere in it: the process did not live to say where


class Ending(StrEnum):
    """How the cell's run ended."""

    FINISHED = "finished"  # pruned; what follows can be judged
    RAISED = "raised"  # the build, or the model it left, raised an exception
    TIMEOUT = "timeout"
    KILLED = "killed"  # the process died: a signal, or an exit of its own
    GARBAGE = "garbage"  # the process answered with something that is no observation
    UNIMPORTABLE = "unimportable"  # the build cannot be imported, or is not the one it claims to be
    NOT_ASKED = "not-asked"  # the build has hung too often
    NOT_APPLICABLE = "not-applicable"  # the release never promised such a parameter


@dataclass(frozen=True)
class Failure:
    """An exception that came out of the build, or out of the model it left.

    Attributes:
        type: the exception's class name.
        message: its text, cut to 500 characters.
        frame: `module.function` of the innermost frame inside torch_pruning, "" if there is none.
        traceback: the last lines, for people.
    """

    type: str
    message: str = ""
    frame: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Observation:
    """One cell on one build. Every index is an index of the *dense* model, found by the weight's value.

    Attributes:
        ending, phase: how far it went.
        failure: set if `ending` is RAISED or UNIMPORTABLE.
        detail: a signal, an exit status, a claim that does not hold.
        reported: per block, the pruner's own `num_heads` for q, k and v; None where it was not listed.
        kept: role -> surviving indices; roles are `width`, `labels`, `mlp.0`, and per block `q.0`,
            `k.0`, `v.0` (rows of the projections) and `o.0` (columns of the output projection).
            Rule 3 to 5 count them, rule 7 compares them with what was planted.
        sizes: role -> channels in the dense model.
        strays: weights that are not the dense model's, or disagree with their neighbours. Rule 6.
        output_failure: the forward pass with the head counts updated raised this. Rule 1.
        cannot_run: so does a network that is made of the same weights without a pruner: its code has sizes fixed.
        output_shape: of the logits after pruning.
        output_gap: largest difference to the dense model with the removed parts masked, relative
            to the largest logit; None where the width was touched. Rule 8.
        effects: side effects on the model, its parameters or another pruner. Rule 11.
        attributes, parameters: names the constructed pruner has, names its constructor takes.
        seconds: of the build's own work, by phase.
        recalled: it was seen before, and came from the store.
        printed: the end of what the build wrote to stdout and stderr, kept for failures only.
    """

    ending: Ending
    phase: Phase = Phase.IMPORT
    failure: Failure | None = None
    detail: str = ""
    reported: tuple[tuple[int | None, ...], ...] = ()
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    strays: tuple[str, ...] = ()
    output_failure: Failure | None = None
    cannot_run: bool = False
    output_shape: tuple[int, ...] = ()
    output_gap: float | None = None
    effects: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    printed: str = ""
    recalled: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields that differ from their defaults, as plain values."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @classmethod
    def from_json(cls, data: object) -> "Observation":
        """The observation in a decoded JSON object.

        Raises:
            ValueError: the data is not one: an unknown field, or a value of another type.
        """
        return checked(cls, data, "observation")


@dataclass(frozen=True)
class ScriptRun:
    """How a script ended, and what it printed, or the end of that.

    Attributes:
        status: its exit status; None if it was killed.
        raised: the uncaught exception that ended it, and its message's first line.
        frame: the innermost function of torch_pruning that the exception came through.
        lines: the script's own lines that it came through, or those that led to sys.exit.
        answer: the text that it left in `ANSWER`: nothing that is printed can pass for it.
    """

    status: int | None
    printed: str
    raised: str = ""
    frame: str = ""
    lines: tuple[int, ...] = ()
    answer: str = ""

    @property
    def said(self) -> str:
        """The exception that ended it, or the last line that it printed, a warning's aside."""
        told = [line for line in self.printed.splitlines() if line.strip() and not _NOISE.match(line)]
        why = [line.partition(": ")[2] for line in told if line.startswith("cannot be tested: ")]
        if why and self.status == CANNOT_BE_TESTED:
            return ": ".join(filter(None, (self.raised, why[-1])))
        return self.raised or (told or ["nothing printed"])[-1]

    @property
    def happened(self) -> str:
        """What it says has happened, as our files do; "" if nothing."""
        return self._told[1]

    @property
    def shown_frame(self) -> str:
        """The innermost function of torch_pruning in the traceback that it printed before it said what happened.

        Or after: where the two streams were not one, their order is lost.
        """
        printed = self._told[0] if _TRACEBACK in self._told[0] else self.printed
        traceback = printed.rpartition(_TRACEBACK)[2]
        found = re.findall(r'(?m)^ *File ".*\btorch_pruning/(.*)\.py", line \d+, in (\S+)', traceback)
        return f"{found[-1][0].replace('/', '.')}.{found[-1][1]}" if found else ""

    @property
    def _told(self) -> tuple[str, str]:
        """What it printed before it last said what happened, and that."""
        before, said, after = f"\n{self.printed}".rpartition("\nhappened: ")
        return (before, after.partition("\n")[0]) if said else ("", "")


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        given = {name: item for name, item in vars(value).items() if item not in (None, "", (), {})}
        return {name: _plain(item) for name, item in given.items() if item is not False}
    return value
