"""What was seen when a build pruned a user's own network: plain facts, no judgement, and nothing but JSON."""

from dataclasses import dataclass, field
from enum import StrEnum

from headcount.observation import Ending, Observation, UnexpectedWeight


class Leave(StrEnum):
    """Why an attention's heads may all stay, though some were to go: what the documentation leaves open."""

    NONE = ""
    TABLE = "it has a table with numbers for each head, which is no layer"
    MULTIHEAD = "upstream prunes nn.MultiheadAttention by channels, never by heads"
    UNLISTED = "not all of queries, keys and values are listed"


@dataclass(frozen=True)
class Call:
    """How the pruner was called, as far as it decides what may be left. Ratios are as the user wrote them.

    Attributes:
        pruner: its class.
        plain: whether the criterion ranks by the size of weights alone.
        blind: whether it ranks by what the network does not have: norms' scales, of one without such norms.
        more: parameters that were given and that nothing here judges.
    """

    pruner: str
    global_pruning: bool = False
    isomorphic: bool = False
    prune_num_heads: bool = False
    prune_head_dims: bool = True
    head_pruning_ratio: float = 0.0
    pruning_ratio: float = 0.5
    max_pruning_ratio: float = 1.0
    round_to: int = 0
    steps: int = 1
    plain: bool = False
    blind: bool = False
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listed:
    """One layer in `num_heads`.

    Attributes:
        layer: its name.
        heads, size: how many heads it had, and the channels of each, in one part.
        reported: the pruner's own count; None if it has none any more.
        left: the heads with channels left, one tuple for each part of the layer, in the order of the dense rows.
        sizes: the numbers of channels that these heads have left.
        out: of each head, the attention's heads of queries that it belongs to: a head of keys may have several.
        unclear: why its heads are not known, if they are not.
    """

    layer: str
    heads: int
    size: int = 0
    reported: int | None = None
    left: tuple[tuple[int, ...], ...] = ()
    sizes: tuple[int, ...] = ()
    out: tuple[tuple[int, ...], ...] = ()
    unclear: str = ""


@dataclass(frozen=True)
class Attention:
    """Layers in `num_heads` whose heads the same channels read: one attention.

    Attributes:
        listed: its layers.
        heads: how many heads of queries it had.
        read: the heads whose output is still read by the layer that follows; None if that is not known.
        ratio: of heads, as the call has it for this one.
        own: whether that ratio is this one's alone.
        ignored: a layer of it that is ignored, "" if none.
        may_stay: why its heads may all stay, if they may.
        misranked: a head that went, and a less important one that stays; () if there are none.
    """

    listed: tuple[Listed, ...]
    heads: int
    read: tuple[int, ...] | None = None
    ratio: float = 0.0
    own: bool = False
    ignored: str = ""
    may_stay: Leave = Leave.NONE
    misranked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dimension:
    """Channels that belong together, in every parameter that has them.

    Attributes:
        sides: the dimensions of parameters that have them, as `name:dim`, those that make them first.
        size, left: how many there were, and how many of them every side has left.
        torn: the sides that keep other channels than the first.
        unordered: the sides whose survivors are out of order.
        ratio: as the call has it for these channels.
        own: whether that ratio is theirs alone.
        shared: whether it is one for several layers together.
        ignored: a layer that makes them and is ignored, "" if none.
        is_output: they are what the network gives.
        attention: they are channels of heads.
        multihead: nn.MultiheadAttention is as wide, so that its heads' channels go with them.
        makers: how many layers make them that a pruner can start from.
        ranks: the importance of the most important channel that went, and of the least important that stays.
    """

    sides: tuple[str, ...]
    size: int
    left: int
    torn: tuple[str, ...] = ()
    unordered: tuple[str, ...] = ()
    ratio: float = 0.0
    own: bool = False
    shared: bool = False
    ignored: str = ""
    is_output: bool = False
    attention: bool = False
    multihead: bool = False
    makers: int = 0
    ranks: tuple[float, ...] = ()

    @property
    def layer(self) -> str:
        """The layer that makes them, for people."""
        return self.sides[0].rpartition(":")[0].removesuffix(".weight")


@dataclass(frozen=True)
class Setting:
    """A number that was set on the pruned network: the module's name, the attribute, and the value."""

    module: str
    attribute: str
    value: int


@dataclass(frozen=True)
class Pruned:
    """One pruner's work on one network.

    Attributes:
        call: how it was called.
        attentions, dimensions: what belongs together, and what is left of it.
        weights: what is not the dense network's.
        updated: what was set before the network was called again: `update`, or the names of attributes.
        settings: of such attributes, each; where the network still failed, all that were tried.
        refused: layers whose groups the pruner considered and left alone.
        output: why what the network gives was not compared with the dense network's; "" if it was.
        unclear: layers whose heads or use are not known, and why.
        unjudged: what else could not be judged, and why.
    """

    call: Call
    attentions: tuple[Attention, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    weights: tuple[UnexpectedWeight, ...] = ()
    updated: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    refused: tuple[str, ...] = ()
    output: str = ""
    unclear: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What came of a user's file on one build.

    Attributes:
        observation: how it ended; the failure, side effects, the forward pass and its output.
        pruned: of each pruner in turn, what it left.
        fault: what is wrong with the file itself, with the line; "" if nothing is.
        ended: the exception that ended a script after its pruners' work, with the line.
        arguments: the pruner's arguments, by name, that the file's function gives a plain value.
    """

    observation: Observation = field(default_factory=lambda: Observation(Ending.NOT_RUN))
    pruned: tuple[Pruned, ...] = ()
    fault: str = ""
    ended: str = ""
    arguments: tuple[str, ...] = ()
