"""The judgement on one cell, as data. Sentences are made from it in `headcount.wording` alone."""

from dataclasses import dataclass, replace
from enum import StrEnum

from headcount.observation import Ending, Failure, Problem, without_numbers


class Kind(StrEnum):
    """What happened."""

    OK = "ok"
    CRASH = "crash"
    BROKEN_FORWARD = "broken-forward"
    WRONG_HEADS = "wrong-heads"
    DESYNC = "desync"
    WRONG_SHAPE = "wrong-shape"
    WRONG_SELECTION = "wrong-selection"
    WRONG_OUTPUT = "wrong-output"
    SIDE_EFFECT = "side-effect"
    BROKEN_USE = "broken-use"
    TIMEOUT = "timeout"
    KILLED = "killed"
    UNTESTABLE = "untestable"
    NOT_APPLICABLE = "not-applicable"


class Rule(StrEnum):
    """The promises, in the order in which README lists them."""

    NO_EXCEPTION = "no-exception"
    REPORTED_HEADS = "reported-heads"
    HEAD_COUNTS = "head-counts"
    WHOLE_HEADS = "whole-heads"
    CHANNEL_COUNTS = "channel-counts"
    DENSE_WEIGHTS = "dense-weights"
    LEAST_IMPORTANT = "least-important"
    MASKED_OUTPUT = "masked-output"
    STEPS = "steps"
    RATIOS = "ratios"
    SIDE_EFFECTS = "side-effects"
    USE = "use"


class Side(StrEnum):
    """On which side a count misses what is allowed."""

    NONE = ""
    TOO_FEW = "too few"
    TOO_MANY = "too many"


_COUNTED = (Problem.COUNT, Problem.TOTAL)

#: How many numbers a finding is about, at least.
_NUMBERS = {
    **dict.fromkeys(
        (*_COUNTED, Problem.REPORTED, Problem.BLOCKS, Problem.OUTPUT, Problem.OTHER_OUTPUT, Problem.CHANNEL_GROUPS), 1
    ),
    **dict.fromkeys((Problem.MULTIPLE, Problem.GROUP_RANKING), 2),
    Problem.HEAD_RANKING: 3,
}


@dataclass(frozen=True)
class Finding:
    """One broken promise.

    Attributes:
        rule: the promise.
        kind: the kind of verdict that it makes.
        problem: in which way.
        block: the transformer block, from 0; None where it is none in particular.
        dimension: `heads`, `dims`, `width`, `mlp`, projections (`q`, `qk`); a total's dimensions are joined by `+`.
        where: a parameter's or module's name.
        found: counts that were seen; heads or channels; of OUTPUT and OTHER_OUTPUT, the gap in millionths.
        allowed: what they should be, each a choice; () where that is no matter of counts.
        dense: how many there were before; 0 where that is no matter of counts.
        more: further findings of the same promise.
    """

    rule: Rule
    kind: Kind
    problem: Problem
    block: int | None = None
    dimension: str = ""
    where: str = ""
    found: tuple[int, ...] = ()
    allowed: tuple[int, ...] = ()
    dense: int = 0
    more: int = 0

    def __post_init__(self) -> None:
        """Refuse a finding without the numbers that its problem is about.

        Raises:
            ValueError: they are missing.
        """
        if len(self.found) < _NUMBERS.get(self.problem, 0) or (self.problem in _COUNTED and not self.allowed):
            raise ValueError(f"{self.problem} without its numbers")

    @property
    def place(self) -> str:
        """The dimension, with its block if it has one: `heads.0`, `width`."""
        return self.dimension if self.block is None else f"{self.dimension}.{self.block}"

    @property
    def side(self) -> Side:
        """On which side a count misses."""
        if self.problem not in _COUNTED:
            return Side.NONE
        return Side.TOO_FEW if self.found[0] < min(self.allowed) else Side.TOO_MANY

    @property
    def untouched(self) -> bool:
        """Whether nothing went where something should have."""
        return self.side is Side.TOO_MANY and self.found[0] == self.dense


@dataclass(frozen=True)
class Signature:
    """What two occurrences of one failure have in common: the failure without its numbers and places.

    Attributes:
        exception, message, frame: of an exception; its text without numbers, `module.function` inside torch_pruning.
        problem, dimension, side: of a finding.
    """

    kind: Kind
    exception: str = ""
    message: str = ""
    frame: str = ""
    problem: str = ""
    dimension: str = ""
    side: str = ""

    @property
    def unplaced(self) -> "Signature":
        """Without the module: functions move between files."""
        return replace(self, frame=self.frame.rpartition(".")[2])

    @property
    def anywhere(self) -> "Signature":
        """Without the module, and without the blocks that a total is of."""
        return replace(self.unplaced, dimension=self.dimension.partition(".")[0])

    def __str__(self) -> str:
        return ": ".join(filter(None, map(str, vars(self).values())))


@dataclass(frozen=True)
class Verdict:
    """The judgement on one cell.

    Attributes:
        finding: the first promise that is broken, in the order of cause and effect; None if it is none.
        failure: the exception, for a crash, a broken forward pass, a build that cannot be imported.
        ending: how the run ended, where there is neither.
        detail: of such an ending: a signal, a timeout, what a release lacks.
        allowances: the names of the choices that the documentation leaves and that it took to call this fine.
    """

    kind: Kind
    finding: Finding | None = None
    failure: Failure | None = None
    ending: Ending | None = None
    detail: str = ""
    allowances: tuple[str, ...] = ()

    @property
    def is_failure(self) -> bool:
        """Whether the build was run and did something wrong."""
        return self.kind not in (Kind.OK, Kind.UNTESTABLE, Kind.NOT_APPLICABLE)

    @property
    def signature(self) -> Signature:
        """What tells this failure from others."""
        if self.failure is not None:
            return Signature(self.kind, self.failure.exception, self.failure.text, self.failure.frame)
        if self.finding is None:
            return Signature(self.kind, message=without_numbers(self.detail))
        return Signature(
            self.kind, problem=self.finding.problem, dimension=self.finding.dimension, side=self.finding.side
        )

    @property
    def found(self) -> str:
        """What was found, in short, another for another wrong answer: `KeyError@_prune`, `count:heads.0=3`."""
        if self.failure is not None:
            return f"{self.failure.exception}@{self.failure.frame.rpartition('.')[2]}"
        if self.finding is None:  # the same, however long the wait was
            return "no end" if self.kind is Kind.TIMEOUT else self.detail
        numbers = (
            ""
            if self.finding.problem in (Problem.OUTPUT, Problem.OTHER_OUTPUT)
            else ",".join(map(str, self.finding.found))
        )
        return f"{self.finding.problem}:{'@'.join(filter(None, (self.finding.place, self.finding.where)))}={numbers}"
