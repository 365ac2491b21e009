"""How the pruner is called: one frozen `Config` in MetaPruner's own parameter names.

Ratios are exact fractions; they become floats only at the call, as a user's would.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import Any


class Criterion(StrEnum):
    """Importance criteria, by the name each has in every release, or a name of ours where it moved."""

    MAGNITUDE = "magnitude"  # GroupNormImportance(p=2), called GroupMagnitudeImportance from 1.5.2 on
    GROUP_NORM = "groupnorm"  # GroupNormImportance by that very name, as upstream issue 410 calls it
    L1 = "l1"
    LAMP = "lamp"
    FPGM = "fpgm"
    TAYLOR = "taylor"
    HESSIAN = "hessian"
    OBDC = "obdc"
    ACTIVATION = "activation"
    BN_SCALE = "bnscale"
    SUM = "sum"  # this and what follows, but for the last two: see REDUCED
    MAX = "max"
    PRODUCT = "product"
    FIRST = "first"
    LAST = "last"
    RANDOM = "random"
    CONSTANT = "constant"  # a callable of the user's own, to which all channels are alike


class Pruner(StrEnum):
    """Which of upstream's pruners: all take the same parameters, and prune alike."""

    META = "MetaPruner"
    BASE = "BasePruner"  # its name from 1.5.2 on
    MAGNITUDE = "MagnitudePruner"
    GROUP_NORM = "GroupNormPruner"
    BN_SCALE = "BNScalePruner"
    GROWING_REG = "GrowingRegPruner"


class Second(StrEnum):
    """Whether a second pruner follows in the same process, and on what."""

    NONE = "none"
    SAME = "same"  # on the model that the first one pruned, with the same arguments
    OTHER = "other"  # on a fresh model, while the first pruner is still alive
    LOADED = "loaded"  # on a fresh model, with the first one's history and weights loaded in the place of steps


class Then(StrEnum):
    """What the user does with the pruned model. GRADIENTS and BY_HAND say how it is pruned, and what is looked at."""

    NOTHING = "nothing"
    TRAIN = "train"  # one step: loss, backward, optimiser
    SAVE = "save"  # the whole model: torch.save, torch.load
    STATE_DICT = "state_dict"  # saved, and loaded into a copy
    TP_STATE_DICT = "tp_state_dict"  # torch_pruning's own, loaded into a dense model
    SAVE_PRETRAINED = "save_pretrained"
    DEEPCOPY = "deepcopy"
    EXPORT = "export"  # torch.export
    TRACE = "trace"  # torch.jit.trace
    BATCH = "batch"  # three images, not one
    ATTENTION = "attention"  # eager, and scaled_dot_product_attention
    GRADIENTS = "gradients"  # set once, before the first of several steps
    BY_HAND = "by_hand"  # the same call once more on a dense model, interactive if it was not, and the other way round
    GRAPH = "graph"  # one neuron more of an MLP, by torch_pruning's graph alone


class Precision(StrEnum):
    """What the model's weights and inputs are, by the name that torch has for it."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


#: Those with 16 bits.
HALVES = (Precision.BFLOAT16, Precision.FLOAT16)


#: What `Then` needs a model of transformers for.
OF_TRANSFORMERS = (Then.SAVE_PRETRAINED, Then.ATTENTION)


#: One module, or several that share a ratio, by name: `attention.0` (the module with the three
#: projections), `query.0`, `qkv.0` (the projections one by one), `mlp.1` (the MLP's first layer).
Scope = tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """One call of MetaPruner.

    The fields down to `ignored_layers` are MetaPruner's own parameters; modules are named as in `Scope`.
    `num_heads` says which projections are listed in the parameter of that name. The rest says what
    is done around the call. Every default is MetaPruner's own, with one exception: the classifier is
    always ignored, as in upstream's examples.

    Attributes:
        ignored_layers: further ignored layers; `residual_outputs` is every output projection and every second MLP
            layer, `attention_outputs` and `mlp_outputs` are one of the two; `block.1` is a whole block; `LayerNorm`
            and `Conv2d` are the classes.
        interactive: step with `interactive=True` and prune each group by hand.
        frozen: the first block's three projections have `requires_grad=False` beforehand.
        training: the model is in training mode beforehand.
        pruner: the class that is called.
        one_shot: a scheduler of the user's own, which takes everything in the first step.
        output_transform: the outputs are summed for tracing, as in upstream's examples.
        skips_attention: step with `interactive=True`, and leave out the groups in which attention loses channels.
        documented: with the further arguments of upstream's example for the family: pruners of its own layers, root
            types, channel groups.
        then: what is done with the pruned model.
        precision: of the model's weights and inputs.
    """

    global_pruning: bool = False
    prune_num_heads: bool = False
    prune_head_dims: bool = True
    head_pruning_ratio: Fraction = Fraction(0)
    pruning_ratio: Fraction = Fraction(1, 2)
    iterative_steps: int = 1
    head_pruning_ratio_dict: tuple[tuple[Scope, Fraction], ...] = ()
    pruning_ratio_dict: tuple[tuple[Scope, Fraction], ...] = ()
    max_pruning_ratio: Fraction = Fraction(1)
    round_to: int | None = None
    isomorphic: bool = False
    num_heads: str = "qkv"
    ignored_layers: tuple[str, ...] = ()
    importance: Criterion = Criterion.MAGNITUDE
    interactive: bool = False
    second: Second = Second.NONE
    frozen: bool = False
    training: bool = False
    pruner: Pruner = Pruner.META
    one_shot: bool = False
    output_transform: bool = False
    skips_attention: bool = False
    documented: bool = False
    then: Then = Then.NOTHING
    precision: Precision = Precision.FLOAT32

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(self.__getstate__().values()))

    def __hash__(self) -> int:
        """Return a hash that is computed once: fractions are slow to hash, and a run looks calls up a million times."""
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without the hash, which is another in another process."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def parse(cls, id_: str) -> "Config":
        """Return the call with an id.

        Raises:
            ValueError: no call has it.
        """
        core = _CORE_ID.match(id_)
        if core is None:
            raise ValueError(f"{id_!r} is no call: it begins as in local-prunenum-keepdims-heads1of2-chan1of2-steps1")
        found: dict[str, Any] = {
            "global_pruning": core["scope"] == "global",
            "prune_num_heads": core["heads"] == "prune",
            "prune_head_dims": core["dims"] == "prune",
            "head_pruning_ratio": read_ratio(core["head_ratio"]),
            "pruning_ratio": read_ratio(core["ratio"]),
            "iterative_steps": int(core["steps"]),
        }
        for token in filter(None, id_[core.end() :].split("-")):
            known = next((known for known in _TOKENS if token.startswith(known.begins)), None)
            if known is None:
                raise ValueError(f"{token!r} is no part of a call")
            found[known.field] = known.read(token.removeprefix(known.begins))
        return cls(**found)

    @cached_property
    def id(self) -> str:
        """Every axis of the product, then what differs from the default: `local-prunenum-...`."""
        core = (
            "global" if self.global_pruning else "local",
            "prunenum" if self.prune_num_heads else "keepnum",
            "prunedims" if self.prune_head_dims else "keepdims",
            f"heads{ratio_id(self.head_pruning_ratio)}",
            f"chan{ratio_id(self.pruning_ratio)}",
            f"steps{self.iterative_steps}",
        )
        return "-".join((*core, *self.extras()))

    def extras(self) -> tuple[str, ...]:
        """Return a token of the id for each parameter outside the product that differs from its default."""
        given = ((token, getattr(self, token.field)) for token in _TOKENS)
        return tuple(t.begins + t.write(value) for t, value in given if value != getattr(Config, t.field))

    @property
    def head_ratios(self) -> tuple[Fraction, ...]:
        """The ratio of heads for all layers, and those of single ones."""
        return (self.head_pruning_ratio, *dict(self.head_pruning_ratio_dict).values())

    @property
    def channel_ratios(self) -> tuple[Fraction, ...]:
        """The ratio of channels for all layers, and those of single ones and of several together."""
        return (self.pruning_ratio, *dict(self.pruning_ratio_dict).values())

    @cached_property
    def ignored(self) -> frozenset[str]:
        """The layers that are ignored by name, and those inside a block that is."""
        blocks = [name.partition(".")[2] for name in self.ignored_layers if name.startswith("block.")]
        inside = [f"{kind}.{block}" for block in blocks for kind in ("qkv", "mlp")]
        return frozenset((*self.ignored_layers, *inside, *["residual_outputs"] * bool(blocks)))

    def departures(self) -> dict[str, Any]:
        """Return MetaPruner's own parameters that take no modules, where they differ from its defaults."""
        return {name: getattr(self, name) for name in _PLAIN_PARAMETERS if getattr(self, name) != getattr(Config, name)}

    def keywords(self) -> dict[str, Any]:
        """Return MetaPruner's keyword arguments as data, those that differ from its defaults.

        Ratios are exact, and modules go by their names. `num_heads` has the letters of the listed projections.
        """
        return {
            **self.departures(),
            "num_heads": self.num_heads,
            "ignored_layers": ("classifier", *self.ignored_layers),
            **{
                name: dict(getattr(self, name))
                for name in ("head_pruning_ratio_dict", "pruning_ratio_dict")
                if getattr(self, name)
            },
            **({"iterative_pruning_ratio_scheduler": one_shot} if self.one_shot else {}),
            **({"output_transform": summed} if self.output_transform else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values; ratios as numbers."""
        return {name: _plain(value) for name, value in self.__getstate__().items()}

    def uses(self, names: Collection[str]) -> set[str]:
        """Return which of these names it needs: parameters of the pruner, the pruner's class, its criterion's."""
        classes = set(CONSTRUCTED[self.importance][0] if self.importance in CONSTRUCTED else ())
        needed = (self.departures().keys() | {str(self.pruner)}) & set(names)
        return (classes if classes <= set(names) else set()) | needed

    def needs(self) -> dict[str, str]:
        """Return what a build must have for this call, and the release that first promises it."""
        used = {
            "isomorphic": self.isomorphic,
            "tuples in pruning_ratio_dict": any(len(scope) > 1 for scope, _ in self.pruning_ratio_dict),
            str(self.importance): self.importance in SINCE,
            str(self.pruner): self.pruner in SINCE,
        }
        return {name: SINCE[name] for name, is_used in used.items() if is_used}


def one_shot(ratio: float, steps: int) -> list[float]:
    """Return each step's share of the whole, the state before the first included: all of it at once."""
    return [0.0, *[ratio] * steps]


def summed(out: Any) -> Any:
    """Return the sum of a tensor, or of the first one in what transformers returns: logits, if there are any."""
    return (out if hasattr(out, "sum") else out[0]).sum()


#: What MetaPruner takes as it is: no modules.
_PLAIN_PARAMETERS = (
    "global_pruning",
    "prune_num_heads",
    "prune_head_dims",
    "head_pruning_ratio",
    "pruning_ratio",
    "iterative_steps",
    "max_pruning_ratio",
    "round_to",
    "isomorphic",
)

#: The pruners that can also make weights sparse before.
SPARSE = (Pruner.GROUP_NORM, Pruner.BN_SCALE, Pruner.GROWING_REG)

#: Layers of all blocks that `ignored_layers` may name: those that write the width, attention's alone, the MLPs' alone.
OUTPUTS = ("residual_outputs", "attention_outputs", "mlp_outputs")

#: Classes of torch.nn that `ignored_layers` may name in the place of layers. Each writes the width.
LAYER_TYPES = ("LayerNorm", "Conv2d")

#: Those that reduce a group's scores in another way than to their mean.
REDUCED = (Criterion.SUM, Criterion.MAX, Criterion.PRODUCT, Criterion.FIRST, Criterion.LAST)

#: Criterion -> its class in torch_pruning.importance, by either of the names that NORM has had, and its arguments.
NORM = ("GroupNormImportance", "GroupMagnitudeImportance")
CONSTRUCTED: Mapping[Criterion, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    Criterion.MAGNITUDE: (NORM, {"p": 2}),
    Criterion.GROUP_NORM: (("GroupNormImportance",), {"p": 2}),
    Criterion.L1: (NORM, {"p": 1}),
    Criterion.LAMP: (("LAMPImportance",), {}),
    Criterion.FPGM: (("FPGMImportance",), {}),
    Criterion.TAYLOR: (("GroupTaylorImportance",), {}),
    Criterion.HESSIAN: (("GroupHessianImportance",), {}),
    Criterion.OBDC: (("OBDCImportance",), {}),
    Criterion.ACTIVATION: (("ActivationImportance",), {}),
    Criterion.BN_SCALE: (("BNScaleImportance",), {}),
    Criterion.SUM: (("MagnitudeImportance",), {"p": 2, "group_reduction": "sum"}),
    Criterion.MAX: (("MagnitudeImportance",), {"p": 2, "group_reduction": "max"}),
    Criterion.PRODUCT: (("MagnitudeImportance",), {"p": 2, "group_reduction": "prod"}),
    # The plain classes of the other two, so that each is run.
    Criterion.FIRST: (("TaylorImportance",), {"group_reduction": "first"}),
    Criterion.LAST: (("HessianImportance",), {"group_reduction": "gate"}),
    Criterion.RANDOM: (("RandomImportance",), {}),
}

#: Criteria for which the network is run before each step.
RUNS = (Criterion.OBDC, Criterion.ACTIVATION)

#: What not every release has, and the release that brought it: criteria and pruners by their names, and parameters.
SINCE: Mapping[str, str] = {
    "isomorphic": "1.4.1",
    "tuples in pruning_ratio_dict": "1.4.1",
    Criterion.FPGM: "1.4.0",
    Criterion.OBDC: "1.4.0",
    Criterion.ACTIVATION: "1.4.3",
    Pruner.BASE: "1.5.2",
}


# --- ids -----------------------------------------------------------------------------------------


def ratio_id(ratio: Fraction) -> str:
    """Return `1of3` for 1/3, `0` and `1` for the whole numbers, `m1of2` for a negative one."""
    return str(ratio).replace("-", "m").replace("/", "of")


def read_ratio(text: str) -> Fraction:
    """Return the ratio that `ratio_id` writes so.

    Raises:
        ValueError: it writes none so.
    """
    return Fraction(text.replace("m", "-").replace("of", "/"))


@dataclass(frozen=True)
class _Token:
    """How one field stands in an id: how its token begins, and the rest of it, written and read."""

    begins: str
    field: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _flag(name: str) -> _Token:
    return _Token(name, name, lambda _: "", _set)


def _set(rest: str) -> bool:
    """Return True, for a flag that nothing follows."""
    if rest:
        raise ValueError(f"{rest!r} is left over")
    return True


_NAME = r"[a-z]+\d+"


def _scopes_id(scopes: tuple[tuple[Scope, Fraction], ...]) -> str:
    return "".join(f"_{'+'.join(scope).replace('.', '')}_{ratio_id(ratio)}" for scope, ratio in scopes)


def _read_scopes(text: str) -> tuple[tuple[Scope, Fraction], ...]:
    if not re.fullmatch(rf"(_{_NAME}(\+{_NAME})*_m?\d+(of\d+)?)+", text):
        raise ValueError(f"{text!r} gives no layers ratios: _mlp0+mlp1_1of4")
    parts = text.split("_")[1:]
    return tuple((_read_names(names), read_ratio(ratio)) for names, ratio in zip(parts[::2], parts[1::2], strict=True))


def _read_names(text: str) -> tuple[str, ...]:
    unnumbered = "|".join((*OUTPUTS, *LAYER_TYPES))
    return tuple(re.sub(r"(\d+)$", r".\1", name) for name in re.findall(rf"{unnumbered}|{_NAME}", text))


_CORE_ID = re.compile(
    r"(?P<scope>local|global)-(?P<heads>prune|keep)num-(?P<dims>prune|keep)dims"
    r"-heads(?P<head_ratio>m?\d+(?:of\d+)?)-chan(?P<ratio>m?\d+(?:of\d+)?)-steps(?P<steps>\d+)(?=-|$)"
)

#: In the order in which they stand in an id.
_TOKENS = (
    _Token("headdict", "head_pruning_ratio_dict", _scopes_id, _read_scopes),
    _Token("chandict", "pruning_ratio_dict", _scopes_id, _read_scopes),
    _Token("max", "max_pruning_ratio", ratio_id, read_ratio),
    _Token("round", "round_to", str, int),
    _flag("isomorphic"),
    _Token("named_", "num_heads", str, str),
    _Token("ignore_", "ignored_layers", lambda names: "_".join(names).replace(".", ""), _read_names),
    _Token("by_", "importance", str, Criterion),
    _flag("interactive"),
    _Token("second_", "second", str, Second),
    *map(_flag, ("frozen", "training", "one_shot", "documented")),
    _Token("with_", "pruner", str, Pruner),
    *map(_flag, ("output_transform", "skips_attention")),
    _Token("then_", "then", str, Then),
    _Token("in_", "precision", str, Precision),
)


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value
