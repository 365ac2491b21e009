"""A known defect of Torch-Pruning: what it is, what it looks like, and on which calls it may show.

Conditions on a call that several defects share are at the end, by name. Each is one plain fact, to be read aloud.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from headcount import matrix, oracle
from headcount.oracle.expectation import keeps_width, prunes_heads


class Severity(IntEnum):
    """How bad it is, the worst first."""

    SILENT_WEIGHTS = 1
    SILENT_COUNTS = 2
    CRASH = 3
    SIDE_EFFECT = 4


@dataclass(frozen=True)
class Condition:
    """A fact about a call, with its name."""

    name: str
    holds: Callable[[matrix.Cell], bool]

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(f"{self.name}, {other.name}", lambda cell: self.holds(cell) and other.holds(cell))


@dataclass(frozen=True)
class Edit:
    """One change of a build's source: see `headcount.defects.surgery`.

    Attributes:
        function: the qualified names of functions in which it is made, as a shell's pattern: `*._prune`.
        find: an expression, or a statement; `_A`, `_B`, … stand for any expression, `_BODY` for a block.
        by: what takes its place; of a statement several may, or none.
        module: the files in which it is made, as a shell's pattern of their paths.
        unless: a word; a file that has it is left alone, as what the edit brings is there.
    """

    function: str
    find: str
    by: str
    module: str = "*"
    unless: str = ""


@dataclass(frozen=True)
class Raises:
    """An exception: its class, a part of its text without numbers, the end of its frame in torch_pruning."""

    exception: str
    text: str
    frame: str = ""
    kind: oracle.Kind = oracle.Kind.CRASH

    def matches(self, verdict: oracle.Verdict) -> bool:
        """Return whether a verdict has these fields."""
        failure = verdict.failure
        return (
            failure is not None
            and verdict.kind is self.kind
            and failure.exception == self.exception
            and self.text in failure.text
            and failure.frame.endswith(self.frame)
        )


@dataclass(frozen=True)
class Breaks:
    """A broken promise: the problem, and those fields of the finding that matter.

    Attributes:
        dimension: its first part: `heads`, `dims`, `width`, a projection.
        untouched: nothing went where something should have.
        where: a part of the parameter's name.
        found: the first count that was seen.
    """

    problem: oracle.Problem
    dimension: str = ""
    side: oracle.Side = oracle.Side.NONE
    untouched: bool = False
    where: str = ""
    found: int | None = None

    def matches(self, verdict: oracle.Verdict) -> bool:
        """Return whether a verdict has these fields."""
        finding = verdict.finding
        return (
            finding is not None
            and finding.problem is self.problem
            and finding.dimension.startswith(self.dimension)
            and self.side in (oracle.Side.NONE, finding.side)
            and (finding.untouched or not self.untouched)
            and self.where in finding.where
            and (self.found is None or finding.found[:1] == (self.found,))
        )


@dataclass(frozen=True)
class NeverEnds:
    """No answer, however long it is waited for."""

    def matches(self, verdict: oracle.Verdict) -> bool:
        """Return whether a verdict is that."""
        return verdict.kind is oracle.Kind.TIMEOUT


@dataclass(frozen=True)
class Reproducer:
    """A defect's file in `reproducers/`: it exits with 1 on release `bad`, with 0 on `good`; "" if none is good."""

    file: str
    bad: str
    good: str = ""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong with some releases. Which ones is recorded, cell by cell: see `expectations`.

    Attributes:
        id: short, stable, the name of its row in tables.
        title: what is wrong, in one clause.
        severity: how bad it is.
        hits: whom, and when.
        cause: what the code does that it should not.
        breaks: the sentence of upstream's documentation that makes it a defect.
        source: where that sentence stands.
        signature: what it looks like; one of these.
        may_show: what must hold of a call for it to show; not what suffices.
        examples: cells of the matrix that show it, the simplest first.
        reproducer: its file.
        upstream: the upstream issue; "" if nobody has reported it.
        over: defects that look alike and give way to it.
        remedy: the edits that mend it, in whatever release: those that find their place are made.
    """

    id: str
    title: str
    severity: Severity
    hits: str
    cause: str
    breaks: str
    source: str
    signature: tuple[Raises | Breaks | NeverEnds, ...]
    may_show: Condition
    examples: tuple[str, ...]
    reproducer: Reproducer
    upstream: str = ""
    over: tuple[str, ...] = ()
    remedy: tuple[Edit, ...] = ()

    def looks_like(self, cell: matrix.Cell, verdict: oracle.Verdict) -> bool:
        """Return whether a cell's failure may be this defect, on whatever build."""
        return self.may_show.holds(cell) and any(pattern.matches(verdict) for pattern in self.signature)


# --- conditions on a call ----------------------------------------------------------------------


def criterion(*criteria: matrix.Criterion) -> Condition:
    """Return whether importance is one of these."""
    return Condition(f"importance {' or '.join(criteria)}", lambda cell: cell.config.importance in criteria)


def families(name: str, *members: str) -> Condition:
    """Return whether the model is of one of these families; the name says what they have in common."""
    return Condition(name, lambda cell: cell.model.family in members)


LOCAL = Condition("local pruning", lambda cell: not cell.config.global_pruning)
GLOBAL = Condition("global pruning", lambda cell: cell.config.global_pruning)
PRUNES_HEADS = Condition("heads are pruned", lambda cell: prunes_heads(cell.config))
PRUNES_HEAD_DIMS = Condition("head dims are pruned", lambda cell: cell.config.prune_head_dims)
KEEPS_HEAD_DIMS = Condition("head dims are kept", lambda cell: not cell.config.prune_head_dims)
PRUNES_CHANNELS = Condition("channels are pruned", lambda cell: max(cell.config.channel_ratios) > 0)
PRUNES_WIDTH = Condition(
    "the width is pruned", lambda cell: max(cell.config.channel_ratios) > 0 and not keeps_width(cell.config)
)
KEEPS_WIDTH = Condition("what writes the width is ignored", lambda cell: keeps_width(cell.config))
SCORES_WIDTH = Condition("nothing that writes the width is ignored", lambda cell: not keeps_width(cell.config))
SEVERAL_STEPS = Condition("several steps", lambda cell: cell.config.iterative_steps > 1)
HEAD_RATIO_DICT = Condition("head_pruning_ratio_dict", lambda cell: bool(cell.config.head_pruning_ratio_dict))
MAXIMUM = Condition("a maximum below the ratio", lambda cell: cell.config.max_pruning_ratio < cell.config.pruning_ratio)
GROUPED_QUERIES = Condition("grouped queries", lambda cell: cell.model.traits.queries_per_kv > 1)
MULTIHEAD = Condition("nn.MultiheadAttention", lambda cell: cell.model.traits.uses_multihead_attention)
TABLES = Condition("a table for each head", lambda cell: cell.model.traits.relative_position_bias)
CLASSIFIER = Condition("a classifier", lambda cell: cell.model.labels > 0)
HALF = Condition("half precision", lambda cell: cell.config.precision is not matrix.Precision.FLOAT32)
