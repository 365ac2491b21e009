"""What was seen when a build pruned a cell: plain facts, no judgement, and nothing but JSON.

Observations leave the isolated process as JSON, never as pickles, and are checked on arrival. Nothing
that a build writes into them makes the parent do anything.
"""

import os
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: The exit status of a script that cannot tell, as `git bisect run` has it.
CANNOT_BE_TESTED = 125

#: Messages of failures that may be the machine's, and not the build's.
MACHINES_FAULT = re.compile(
    r"(?m)MemoryError|allocate memory|could not create a primitive|^OSError: \[Errno (12|24|28|122)\]|No space left"
    r"|CUDA (out of memory|error)|CU(BLAS|DNN)_STATUS|re-initialize CUDA"
)


class Phase(StrEnum):
    """What the isolated process was doing. A failure belongs to the last phase that it reached."""

    IMPORT = "import"
    CONSTRUCT = "construct"
    STEP = "step"
    FORWARD = "forward"
    MEASURE = "measure"
    USE = "use"  # what the user does next
    CELL = "cell"  # somewhere in the cell: the process did not live to say where


class Ending(StrEnum):
    """How the cell's run ended."""

    FINISHED = "finished"  # pruned; what follows can be judged
    RAISED = "raised"  # the build, or the model it left, raised an exception
    TIMEOUT = "timeout"
    KILLED = "killed"  # the process died: a signal, or an exit of its own
    GARBAGE = "garbage"  # the process answered with something that is no observation
    UNIMPORTABLE = "unimportable"  # the build cannot be imported, or is not the one it claims to be
    OURS = "ours"  # our own code failed before the build had a part in it: nothing is known of the build
    NOT_RUN = "not-run"  # the build has hung too often
    NOT_APPLICABLE = "not-applicable"  # the release never promised such a parameter


class Problem(StrEnum):
    """In which way something is wrong: with a weight, with what had to be left alone, or with a count."""

    GONE = "gone"  # the parameter is not there any more
    NEW = "new"  # the dense network has no such parameter
    ANOTHER_TENSOR = "another-tensor"  # of another dtype, or of another number of dimensions
    EMPTY = "empty"  # no value is left
    UNKNOWN_VALUES = "unknown-values"  # values that the dense tensor does not have
    MOVED_VALUES = "moved-values"  # the dense tensor's values, in other places
    FORBIDDEN_CUT = "forbidden-cut"  # cut along a dimension that nothing may prune
    OTHER_INDICES = "other-indices"  # keeps other indices of its dimension than its neighbours
    OTHER_HEADS = "other-heads"  # a table's rows are of other heads than the channels
    ATTRIBUTE = "attribute"  # the layer's own numbers are not its weight's
    TRAINING = "training"  # the model's mode
    REQUIRES_GRAD = "requires_grad"
    DTYPE = "dtype"
    HOOKS = "hooks"
    PATCHED = "patched"  # a module's or a class's forward is another function
    DEFAULT_DTYPE = "default-dtype"  # this and what follows: torch's own
    THREADS = "threads"
    GRAD_MODE = "grad-mode"
    PROCESS = "process"  # what Python, the system and the processor hold for all: its name stands where a place would
    RANDOM_STATE = "random-state"  # drawn from, or seeded
    CHANNEL_GROUPS = "out_channel_groups"  # another pruner's: modules of this one's model
    ORDER = "order"  # a dimension's survivors are out of order
    COUNT = "count"  # of one dimension
    TOTAL = "total"  # of dimensions that are ranked together
    MULTIPLE = "multiple"  # a count is no multiple of round_to
    REPORTED = "reported"  # the pruner's own head count is not the weights'
    FORGOTTEN = "forgotten"  # the pruner no longer has a count for a listed projection
    BLOCKS = "blocks"  # the pruner has counts for another number of blocks
    UNEVEN_HEADS = "uneven-heads"  # heads of one projection keep unlike numbers of channels
    UNLIKE_CHANNELS = "unlike-channels"  # two projections keep other channels of their heads
    UNLIKE_HEADS = "unlike-heads"  # queries and values keep other heads
    HEAD_RANKING = "head-ranking"  # a head went, and a less important one stays
    GROUP_RANKING = "group-ranking"  # all heads that read one of keys went, and less important ones stay
    CHANNEL_RANKING = "channel-ranking"  # a channel went, and a less important one stays
    OUTPUT = "output"
    OTHER_OUTPUT = "other-output"  # this and what follows: of what a user does next; not what the pruned model gave
    NO_GRADIENT = "no-gradient"  # a parameter has none of its own
    LOST_GRADIENT = "lost-gradient"  # it had one before a step, and has not the part of it that is left
    NOT_SAVED = "not-saved"  # a file does not hold the pruned tensor
    OTHER_WAY = "other-way"  # pruned by hand, other indices of a dimension are left


_PROBLEMS = tuple(Problem)
_OF_EFFECTS = _PROBLEMS[_PROBLEMS.index(Problem.TRAINING) : _PROBLEMS.index(Problem.CHANNEL_GROUPS) + 1]
_OF_WEIGHTS = _PROBLEMS[: _PROBLEMS.index(Problem.TRAINING)]
_OF_USE = _PROBLEMS[_PROBLEMS.index(Problem.OTHER_OUTPUT) :]


@dataclass(frozen=True)
class UnexpectedWeight:
    """A weight that is not the dense network's.

    Attributes:
        parameter: its name in the network; of a layer, for ATTRIBUTE.
        dimension: what the dimension is, as in `Observation.kept`; "" where it does not matter.
        found, expected: shapes, counts or heads, as `problem` needs them.
    """

    parameter: str
    problem: Problem
    dimension: str = ""
    found: tuple[int, ...] = ()
    expected: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what tracing never gives.

        Raises:
            ValueError: the problem is none of a weight's, or the dimension is none.
        """
        if self.problem not in _OF_WEIGHTS or not re.fullmatch(r"([a-z]+(\.\d{1,4})?)?", self.dimension):
            raise ValueError(f"no problem of a weight: {self.problem}, {self.dimension[:50]!r}")


@dataclass(frozen=True)
class SideEffect:
    """Something that pruning changed and had to leave alone; `before` and `after` as Python prints them."""

    where: str
    problem: Problem
    before: str
    after: str

    def __post_init__(self) -> None:
        """Refuse what no comparison gives.

        Raises:
            ValueError: the problem is no side effect, or a count is no number.
        """
        if self.problem not in _OF_EFFECTS or (
            self.problem is Problem.CHANNEL_GROUPS and not re.fullmatch(r"\d{1,9}", self.after)
        ):
            raise ValueError(f"no side effect: {self.problem}, {self.after[:50]!r}")


@dataclass(frozen=True)
class Failure:
    """An exception that came out of the build, or out of the model it left.

    Attributes:
        exception: its class name, cut to 100 characters.
        message: its text, cut to 500 characters.
        frame: `module.function` of the innermost frame inside torch_pruning, "" if there is none.
        phase: what the process was doing.
        traceback: the last lines, for people, cut to 4,000 characters.
        deliberate: a `raise` or an `assert` of torch_pruning's own, and not a slip further in.
    """

    exception: str
    message: str = ""
    frame: str = ""
    phase: Phase = Phase.STEP
    traceback: str = ""
    deliberate: bool = False

    @classmethod
    def of(cls, error: BaseException, phase: Phase) -> "Failure":
        """Return what is kept of an exception."""
        frame, deliberate = "", False
        for entry in traceback.extract_tb(error.__traceback__):
            _, package, inside = entry.filename.replace(os.sep, "/").rpartition("/torch_pruning/")
            frame = f"{inside.removesuffix('.py').replace('/', '.')}.{entry.name}" if package else frame
            deliberate = bool(package and entry.line and entry.line.startswith(("raise ", "assert ")))
        return cls(
            exception=type(error).__name__[:100],
            message=_text(error)[:500],
            frame=frame[:200],
            phase=phase,
            traceback=_lines(error),
            deliberate=deliberate,
        )

    @property
    def first_line(self) -> str:
        """The first line of the message."""
        return self.message.strip().partition("\n")[0]

    @property
    def text(self) -> str:
        """The message without what differs from run to run: numbers, addresses, where in the model; its first line."""
        return without_numbers(self.message)


def _text(error: BaseException) -> str:
    """Return an exception's text. A build's own may raise when it is asked."""
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - as above
        return f"its text cannot be had: {type(second).__name__}"


def _lines(error: BaseException) -> str:
    """Return the end of a traceback. What stands last is the exception's text, which may be as long as it likes."""
    lines = "".join(traceback.format_exception(error)).splitlines()[-12:]
    return "\n".join(line[:400] for line in lines)[-4000:]


@dataclass(frozen=True)
class Use:
    """What came of what a user did with the pruned network: one of these, or nothing wrong.

    Attributes:
        failure: it raised this.
        cannot: the dense network, with which no pruner had to do, cannot do it either, for this reason.
        problem: what is wrong with the `names`.
        names: parameters, files or dimensions.
        gap: largest difference to the pruned network's output before, relative to the largest of that.
    """

    failure: Failure | None = None
    cannot: str = ""
    problem: Problem = Problem.OTHER_OUTPUT
    names: tuple[str, ...] = ()
    gap: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no use comes to.

        Raises:
            ValueError: the problem is none of a use's.
        """
        if self.problem not in _OF_USE:
            raise ValueError(f"no problem of a use: {self.problem}")


@dataclass(frozen=True)
class Observation:
    """One cell on one build. Every index is an index of the *dense* model, found by the weight's value.

    Attributes:
        ending, phase: how far it went.
        failure: set if `ending` is RAISED or UNIMPORTABLE.
        changed: the model was not what it had been when that was raised.
        detail: a signal, an exit status, a claim that does not hold.
        reported: per block, the pruner's own `num_heads` for q, k and v; None where it was not listed.
        kept: dimension -> surviving indices. Dimensions are `width`, `labels`, `mlp.0`, and per block `q.0`,
            `k.0`, `v.0` (rows of the projections) and `o.0` (columns of the output projection).
        sizes: dimension -> channels in the dense model.
        unexpected_weights: weights that are not the dense model's, or disagree with their neighbours.
        output_failure: the forward pass with the head counts updated raised this.
        cannot_run: a network made of the same weights without a pruner fails, too: its code has sizes fixed.
        output_shape: of the logits after pruning.
        output_gap: largest difference to the dense model with the removed parts masked, relative
            to the largest logit; None where the width was touched.
        use: what came of what the user did next; None if nothing was to be done, or the forward pass had failed.
        effects: side effects on the model, its parameters or another pruner; three at most.
        attributes, parameters: names the constructed pruner has, names its constructor takes.
        seconds: of the build's own work, by phase.
        recalled: it was seen before, and came from the cache.
        printed: the end of what the build wrote to stdout and stderr, kept for failures only.
        ran: of a build with probes, which of them ran: a hexadecimal number with bit N for probe N.
    """

    ending: Ending
    phase: Phase = Phase.IMPORT
    failure: Failure | None = None
    changed: bool = False
    detail: str = ""
    reported: tuple[tuple[int | None, ...], ...] = ()
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    unexpected_weights: tuple[UnexpectedWeight, ...] = ()
    output_failure: Failure | None = None
    cannot_run: bool = False
    output_shape: tuple[int, ...] = ()
    output_gap: float | None = None
    use: Use | None = None
    effects: tuple[SideEffect, ...] = ()
    attributes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    printed: str = ""
    recalled: bool = False
    ran: str = ""

    def __post_init__(self) -> None:
        """Refuse probes that are none.

        Raises:
            ValueError: `ran` is no hexadecimal number.
        """
        if not re.fullmatch(r"[0-9a-f]{0,8192}", self.ran):
            raise ValueError("no probes: a hexadecimal number was expected")

    @property
    def probes(self) -> int:
        """Which probes ran, as a number: bit N for probe N."""
        return int(self.ran or "0", 16)


@dataclass(frozen=True)
class ScriptRun:
    """How a script ended, and what it printed, or the end of that.

    Attributes:
        status: its exit status; None if it was killed, or did not end in time.
        raised: the uncaught exception that ended it, and its message's first line.
        frame: the innermost function of torch_pruning that the exception came through.
        lines: the script's own lines that it came through, or those that led to sys.exit.
        answer: the text that it left in `ANSWER`: nothing that is printed can pass for it.
        why: why it tells nothing of the build, if its process knows.
    """

    status: int | None
    printed: str
    raised: str = ""
    frame: str = ""
    lines: tuple[int, ...] = ()
    answer: str = ""
    why: str = ""

    @property
    def said(self) -> str:
        """Why it tells nothing, the exception that ended it, or the last line that it printed, warnings aside."""
        # Left out are a warning's first line, and what is indented, as its second and a traceback's lines are.
        lines = [s for s in self.printed.splitlines() if s.strip() and not re.match(r"\S+:\d+: \w*Warning: | ", s)]
        return ": ".join(filter(None, (self.raised, self.why))) or (lines or ["nothing printed"])[-1]


def without_numbers(message: str) -> str:
    """A message's first line without what differs from run to run: numbers, addresses, where in the model."""
    first = message.strip().partition("\n")[0][:500]  # a pattern's time grows with the square of it
    inner = re.sub(r"(?:[A-Za-z_]\w*\.(?:\d+\.)*)+(\w+\.\w+)", r"\1", re.sub(r"0x[0-9a-f]+", "0xN", first))
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "N", inner)[:200]
