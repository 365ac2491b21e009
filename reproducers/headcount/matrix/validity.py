"""Which calls are calls at all: sizes that make a network, and layers that are in it."""

from collections.abc import Iterator
from itertools import chain

from headcount.matrix.cell import Cell
from headcount.matrix.config import (
    LAYER_TYPES,
    OF_TRANSFORMERS,
    OUTPUTS,
    RUNS,
    Criterion,
    Precision,
    Pruner,
    Second,
    Then,
)
from headcount.models import FAMILIES

#: The most of each size: more is no ViT, or takes minutes a call.
_MOST = {"layers": 48, "heads": 64, "head_dim": 256, "mlp": 8192, "labels": 30_000, "image": 512, "patch": 64}

#: The most along one side of a weight of 16 bits, whose values must tell where they come from.
_MOST_IN_HALF = 999

#: The layers that a scope may name, and where it may stand: see `Scope`.
_HEAD_SCOPES = ("attention", "query")
_CHANNEL_SCOPES = ("attention", "query", "mlp")
_UNNUMBERED = (*OUTPUTS, *LAYER_TYPES)
_IGNORED = ("qkv", "query", "mlp", "block", *_UNNUMBERED)


def why_invalid(cell: Cell) -> str:
    """Return why a cell is no call that a user could make; "" if it is one."""
    return next(chain(_of_model(cell), _of_layers(cell), _of_numbers(cell), _of_then(cell), _of_precision(cell)), "")


def _of_model(cell: Cell) -> Iterator[str]:
    model = cell.model
    if model.family not in FAMILIES:
        yield f"there is no family {model.family}"
        return
    family = model.traits
    for name, most in _MOST.items():
        least = 0 if name == "labels" else 1
        if not least <= getattr(model, name) <= most:
            yield f"{name} is {getattr(model, name)}, and may be {least} to {most}"
            return
    if model.labels and not family.head:
        yield f"{family.title} has no classifier, and no labels"
    if model.stages != family.stages or model.layers % family.stages:
        yield f"{family.title} has {family.stages} stages with equally many blocks in each"
    if model.image % (model.patch * family.stages):
        yield f"an image of {model.image} pixels has no whole number of patches of {model.patch} in each stage"
    if model.heads % family.queries_per_kv:
        yield f"{family.queries_per_kv} heads of queries read one of keys: {model.heads} is no multiple"
    if family.mlp_by_width and model.mlp % model.width:
        yield f"{family.title} gives its MLP's size as a multiple of its width, {model.width}"
    if model.head_dim % family.dims_by:
        yield f"{family.title} needs head dims that are a multiple of {family.dims_by}"


def _of_layers(cell: Cell) -> Iterator[str]:
    config, layers = cell.config, cell.model.layers
    named = (
        *(
            (name, "head_pruning_ratio_dict", _HEAD_SCOPES)
            for scope, _ in config.head_pruning_ratio_dict
            for name in scope
        ),
        *((name, "pruning_ratio_dict", _CHANNEL_SCOPES) for scope, _ in config.pruning_ratio_dict for name in scope),
        *((name, "ignored_layers", _IGNORED) for name in config.ignored_layers),
    )
    for name, where, kinds in named:
        kind, _, block = name.partition(".")
        if kind not in kinds or bool(block) == (kind in _UNNUMBERED):
            yield f"{where} names {name!r}; it may name {', '.join(kinds)}, with the number of a block"
        elif block and int(block) >= layers:
            yield f"{where} names {name!r}, and the model has {layers} blocks, counted from 0"
    yield from _of_types(cell)
    if config.skips_attention and (config.interactive or cell.model.traits.uses_multihead_attention):
        yield "attention is skipped where it is no layer that writes the width; interactive steps are implied"
    if any(len(scope) > 1 for scope, _ in config.head_pruning_ratio_dict):
        yield "head_pruning_ratio_dict has single layers as its keys"
    if not config.num_heads or config.num_heads not in "qkv":
        yield f"num_heads lists projections, as in qkv or kv, and not {config.num_heads!r}"


def _of_types(cell: Cell) -> Iterator[str]:
    ignored, traits = cell.config.ignored_layers, cell.model.traits
    if "Conv2d" in ignored and cell.model.stages > 1:
        yield "of several stages, a convolution writes the first one's width only"
    if "Conv2d" in ignored and traits.depthwise:
        yield "a depthwise convolution writes the channels of an MLP, and not the width"
    if "Conv2d" in ignored and traits.words:
        yield f"{traits.title} has no convolution"
    if "LayerNorm" in ignored and traits.own_norms:
        yield f"{traits.title} has no LayerNorm"


def _of_numbers(cell: Cell) -> Iterator[str]:
    config, traits = cell.config, cell.model.traits
    ratios = (config.pruning_ratio, config.max_pruning_ratio, *(ratio for _, ratio in config.pruning_ratio_dict))
    if any(not 0 <= ratio <= 1 for ratio in ratios):
        yield "a ratio of channels is from 0 to 1"
    if config.iterative_steps < 1:
        yield "there is at least one step"
    if config.round_to is not None and config.round_to < 1:
        yield "channels are rounded to a multiple of 1 or more"
    if traits.queries_per_kv > 1 and config.num_heads != "qkv":
        yield "keys and values have other heads than queries: num_heads lists all three"
    is_run_again = config.second is Second.SAME or (config.importance in RUNS and config.iterative_steps > 1)
    if is_run_again and (traits.heads_fixed or traits.dims_fixed):
        yield f"{traits.title} has its sizes fixed in some transformers versions: once pruned, it cannot be run again"
    if config.documented and not traits.documented:
        yield f"upstream has no example for {traits.title}"
    if config.importance is Criterion.OBDC and not cell.model.labels:
        yield "OBDC needs a classifier's loss"


def _of_then(cell: Cell) -> Iterator[str]:
    config, traits = cell.config, cell.model.traits
    if config.then in OF_TRANSFORMERS and not traits.prefix:
        yield f"{traits.title} is no model of transformers: it has no {config.then}"
    if config.then in (Then.GRADIENTS, Then.BY_HAND) and config.second is not Second.NONE:
        yield f"then_{config.then} is about one pruner alone"
    if config.then is Then.GRADIENTS and (
        config.importance not in (Criterion.TAYLOR, Criterion.FIRST)
        or config.iterative_steps < 2  # noqa: PLR2004 - several
        or config.pruner is not Pruner.META
    ):
        yield "gradients that are set once matter to MetaPruner in several steps, by_taylor or by_first"


def _of_precision(cell: Cell) -> Iterator[str]:
    model, config = cell.model, cell.config
    if config.precision is Precision.FLOAT32:
        return
    if config.then is not Then.NOTHING:
        yield f"what a user does next is looked at in float32 alone: outputs in {config.precision} are too coarse"
    # One layer may be three projections, or read four tokens side by side.
    sides = 4 * max(model.widths.values()), model.mlp_of(model.layers - 1), model.labels
    most = max(*sides, (model.image // model.patch) ** 2)
    if most > _MOST_IN_HALF:
        yield f"a layer in {config.precision} has {_MOST_IN_HALF} channels or tokens at most, and not {most}"
