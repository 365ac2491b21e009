"""Which cells: the product of the core axes, a covering array of the rest, known edge cases, and upstream's examples.

pytest collects them in every worker process: no torch, no build, and the same order each time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import covertable

from headcount.matrix.cell import Cell
from headcount.matrix.config import HALVES, REDUCED, SPARSE, Config, Criterion, Precision, Pruner, Second, Then
from headcount.matrix.examples import EXAMPLES
from headcount.models import ENDING, FAMILIES, NAMED, VIT_BASE, Model, small

#: MetaPruner's parameters that the product spans. 2/5 of 6 heads is no whole number, 9/10 leaves less than one.
CORE: Mapping[str, tuple[Any, ...]] = {
    "global_pruning": (False, True),
    "prune_num_heads": (True, False),
    "prune_head_dims": (False, True),
    "head_pruning_ratio": (Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(2, 5), Fraction(9, 10)),
    "pruning_ratio": (Fraction(1, 2), Fraction(0)),
    "iterative_steps": (1, 3),
}

#: Everything else that touches heads, one departure from the defaults at a time. `heads` is the model's.
#: They come in batches, each with a covering array of its own: a new batch leaves all other cells as they are.
_BATCHES: tuple[tuple[Mapping[str, Any], ...], ...] = (
    (
        {"heads": 3},
        {"heads": 10},
        {"heads": 12},
        {"heads": 25},
        {"head_pruning_ratio_dict": ((("attention.0",), Fraction(2, 3)),)},
        {"head_pruning_ratio_dict": ((("query.0",), Fraction(2, 3)),)},
        {"pruning_ratio_dict": ((("mlp.0",), Fraction(1, 4)),)},
        {"pruning_ratio_dict": ((("mlp.0", "mlp.1"), Fraction(1, 4)),)},
        {"max_pruning_ratio": Fraction(1, 4)},
        {"round_to": 4},
        {"round_to": 16},
        {"isomorphic": True},
        {"ignored_layers": ("residual_outputs",)},
        {"ignored_layers": ("qkv.0",)},
        {"num_heads": "q"},
        {"num_heads": "kv"},
        *({"importance": c} for c in Criterion if c not in (Criterion.MAGNITUDE, Criterion.RANDOM, *REDUCED)),
        # The width stays: how much of it chance takes would decide which other defect shows.
        {"importance": Criterion.RANDOM, "ignored_layers": ("residual_outputs",)},
        {"interactive": True},
        {"second": Second.SAME},
        {"second": Second.OTHER},
        {"frozen": True},
        {"training": True},
    ),
    tuple({"importance": criterion} for criterion in REDUCED),
)
EXTRAS = tuple(extra for batch in _BATCHES for extra in batch)

#: The core axes that every extra is varied against.
_AGAINST: Mapping[str, tuple[Any, ...]] = {**CORE, "head_pruning_ratio": (Fraction(1, 3), Fraction(1, 2))}

_PLAIN_HEADS = Config(prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=Fraction(1, 2))

_THIRD = replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3))

#: Edge cases: calls with a history, or with arithmetic that floats get wrong.
EDGE_CASES: tuple[Cell, ...] = (
    # Upstream issue 411: five steps; and the 12 heads on which the overshoot shows (facts of the releases).
    Cell(Model(), replace(_PLAIN_HEADS, iterative_steps=5)),
    Cell(Model(heads=12), replace(_PLAIN_HEADS, iterative_steps=5)),
    Cell(Model(), replace(_PLAIN_HEADS, iterative_steps=5, global_pruning=True)),
    # 0.28 * 25 is 7.000000000000001, and 10 * (1 - 0.9) is 0.9999999999999998: whole numbers, but not in floats.
    Cell(Model(heads=25), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(7, 25))),
    Cell(Model(heads=10), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(9, 10))),
    Cell(Model(heads=10), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(9, 10), global_pruning=True)),
    # Ratios that leave a step with nothing to do, or with everything.
    *(
        Cell(Model(), replace(_PLAIN_HEADS, head_pruning_ratio=ratio, iterative_steps=steps, global_pruning=everywhere))
        for ratio, steps in ((Fraction(1, 4), 5), (Fraction(1, 10), 3), (Fraction(4, 5), 5))
        for everywhere in (False, True)
    ),
    Cell(Model(heads=10), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(4, 5), global_pruning=True)),
    # All heads, more than all, and fewer than none.
    *(
        Cell(Model(), replace(_PLAIN_HEADS, head_pruning_ratio=ratio, global_pruning=everywhere))
        for ratio in (Fraction(1), Fraction(3, 2), Fraction(-1, 2))
        for everywhere in (False, True)
    ),
    # More than 3/5 of the width: what is left of 48 channels no longer comes out of a set in order.
    *(
        Cell(Model(), replace(_PLAIN_HEADS, pruning_ratio=Fraction(3, 4), global_pruning=everywhere))
        for everywhere in (False, True)
    ),
    # Twice three steps.
    Cell(Model(), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3), iterative_steps=3, second=Second.SAME)),
    # A scheduler of the user's own: the steps after the first find nothing left to do.
    *(
        Cell(Model(), replace(call, iterative_steps=3, one_shot=True, global_pruning=everywhere))
        for call in (_PLAIN_HEADS, Config(prune_num_heads=False))
        for everywhere in (False, True)
    ),
    # MetaPruner by its other names, and the pruners that can also make weights sparse before.
    *(
        Cell(Model(), replace(_PLAIN_HEADS, pruner=pruner, global_pruning=everywhere))
        for pruner in Pruner
        if pruner is not Pruner.META
        for everywhere in (False, True)
    ),
    # Outputs summed for tracing, as upstream's examples have it.
    *(Cell(Model(), replace(_PLAIN_HEADS, output_transform=True, global_pruning=each)) for each in (False, True)),
    Cell(Model(labels=0), replace(_PLAIN_HEADS, output_transform=True)),
    # A class in the place of layers.
    *(Cell(Model(), replace(_PLAIN_HEADS, ignored_layers=("LayerNorm",), global_pruning=e)) for e in (False, True)),
    Cell(Model(), replace(_PLAIN_HEADS, ignored_layers=("Conv2d",))),
    *(Cell(Model(), replace(_PLAIN_HEADS, ignored_layers=("block.1",), global_pruning=e)) for e in (False, True)),
    # A user who prunes by hand, and leaves attention as it is.
    *(Cell(Model(), replace(_PLAIN_HEADS, skips_attention=True, global_pruning=each)) for each in (False, True)),
    Cell(Model(), Config(skips_attention=True)),
    # What was pruned is made again from its history.
    *(Cell(Model(), replace(_PLAIN_HEADS, second=Second.LOADED, global_pruning=each)) for each in (False, True)),
    Cell(Model(), Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3), second=Second.LOADED)),
    Cell(Model(), Config(second=Second.LOADED)),
    Cell(small("grouped"), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3), second=Second.LOADED)),
    # Families that fail in more ways than the plain call that each has by default.
    *(Cell(small(family), Config()) for family in ("clip", "grouped", "multihead")),
    Cell(small("grouped"), Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 3))),
    # Each head of keys keeps two or one of its three readers; two ratios divide evenly, and one does not.
    *(
        Cell(small("grouped"), replace(_PLAIN_HEADS, head_pruning_ratio=ratio))
        for ratio in (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3))
    ),
    Cell(small("grouped"), Config(prune_num_heads=False, pruning_ratio=Fraction(1, 4))),
    # In two steps: what the second knows of keys must be what the first one left.
    *(
        Cell(small("grouped"), replace(call, head_pruning_ratio=Fraction(1, 3), iterative_steps=2))
        for call in (
            _PLAIN_HEADS,
            replace(_PLAIN_HEADS, global_pruning=True),
            Config(prune_num_heads=True),
            Config(prune_num_heads=False),
        )
    ),
    # The same where the first step was refused.
    Cell(small("swin"), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3), iterative_steps=2)),
    Cell(small("multihead"), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3), global_pruning=True)),
    # One layer for all three, as timm has it: a third of its channels are a head's.
    *(
        Cell(small("fused_unbind"), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3), global_pruning=everywhere))
        for everywhere in (False, True)
    ),
    # What is known of the layer by the second step must be what the first one left: heads and head dims together.
    Cell(
        small("fused_unbind"),
        Config(prune_num_heads=True, head_pruning_ratio=Fraction(1, 2), iterative_steps=2, global_pruning=True),
    ),
    # The same where two steps are made again from their history.
    Cell(small("fused_unbind"), Config(prune_num_heads=False, iterative_steps=2, second=Second.LOADED)),
    # Taken apart in chunks: the second step must know where each begins.
    Cell(small("mix_ffn"), Config(prune_num_heads=False, iterative_steps=2)),
    # What goes together is taken apart in chunks, or is read by none; attention is the first to write the width.
    *(Cell(small(family), _THIRD) for family in ("adaln_spare", "swiglu", "parallel")),
    # Ten neurons: 10 * (1 - 0.8) is less than 2 in floats; a twentieth of them, and less than a multiple, is none.
    *(
        Cell(
            Model(mlp=10),
            Config(prune_head_dims=False, pruning_ratio=ratio, round_to=multiple, ignored_layers=("residual_outputs",)),
        )
        for ratio, multiple in ((Fraction(4, 5), None), (Fraction(19, 20), None), (Fraction(4, 5), 4))
    ),
    # A tenth of 192 neurons is less than one multiple.
    Cell(Model(mlp=192), replace(_THIRD, pruning_ratio=Fraction(9, 10), round_to=32)),
    # Values alone are listed: a layer of which one is listed may look like one layer for all three.
    Cell(Model(), replace(_PLAIN_HEADS, num_heads="v")),
    # What is frozen has no gradient to rank by.
    Cell(Model(), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3), importance=Criterion.TAYLOR, frozen=True)),
    # 32 channels of attention are a multiple of 8, and so are 16: four heads of four.
    Cell(Model(heads=4), Config(round_to=8)),
    # Two thirds of the neurons are no multiple of 32: not all that are below the threshold may go.
    Cell(
        Model(),
        Config(prune_num_heads=False, global_pruning=True, round_to=32, ignored_layers=("qkv.0", "qkv.1")),
    ),
    # Groups one by one, from a pruner that makes weights sparse.
    Cell(Model(), replace(_PLAIN_HEADS, interactive=True, pruner=Pruner.GROUP_NORM)),
    # Attention with a ratio of its own.
    Cell(Model(), Config(pruning_ratio_dict=((("query.0",), Fraction(1, 4)),))),
    # The same of the module that holds it.
    Cell(Model(), Config(prune_num_heads=False, pruning_ratio_dict=((("attention.0",), Fraction(1, 4)),))),
    # A model that was pruned, whose attention is no longer as wide as what it writes to.
    Cell(
        Model(),
        replace(_PLAIN_HEADS, global_pruning=True, ignored_layers=("residual_outputs",), second=Second.SAME),
    ),
    # A model one channel wide, and heads of two: a step has no head dim to take.
    Cell(Model(heads=1, head_dim=1), Config(prune_head_dims=False)),
    Cell(
        Model(heads=16, head_dim=2),
        Config(
            prune_num_heads=True, head_pruning_ratio=Fraction(1, 4), pruning_ratio=Fraction(1, 4), iterative_steps=2
        ),
    ),
    # Heads of one channel: a layer that a step leaves with one is down to its last channel.
    Cell(Model(heads=3, head_dim=1, layers=4), replace(_PLAIN_HEADS, iterative_steps=2, global_pruning=True)),
    # One head from the start.
    Cell(Model(heads=1), Config(prune_head_dims=False)),
    # A convolution inside of the model is pruned with its width; a bare model's width is its output's.
    *(Cell(small(family, bare=bare), _THIRD) for family, bare in (("pvt_stages", False), ("dinov2", True))),
    # Weights of 16 bits, as upstream's examples/LLMs have them; and what rounds scores to equal ones, or has a dtype.
    *(
        Cell(Model(), replace(_THIRD, global_pruning=everywhere, precision=precision))
        for precision in HALVES
        for everywhere in (False, True)
    ),
    Cell(Model(), replace(_THIRD, prune_head_dims=True, global_pruning=True, precision=Precision.BFLOAT16)),
    Cell(
        Model(heads=24),
        replace(
            _PLAIN_HEADS,
            pruning_ratio=Fraction(1, 4),
            global_pruning=True,
            ignored_layers=("residual_outputs",),
            precision=Precision.BFLOAT16,
        ),
    ),
    *(
        Cell(Model(), replace(_THIRD, importance=criterion, precision=precision))
        for criterion in (Criterion.LAMP, Criterion.FPGM)
        for precision in HALVES
    ),
    # Nothing but heads, nothing but a tenth of the channels: no width is touched, all else is plain.
    Cell(Model(), replace(_PLAIN_HEADS, ignored_layers=("residual_outputs",), pruning_ratio=Fraction(1, 10))),
    # Groups of each kind are ranked apart. Of half of everything each kind loses half by any ranking.
    *(
        Cell(
            Model(),
            Config(
                prune_num_heads=False, pruning_ratio=Fraction(1, 4), global_pruning=True, isomorphic=True, pruner=pruner
            ),
        )
        for pruner in (Pruner.META, *SPARSE)
    ),
    # Frozen keys that read another input: no gradient reaches them.
    *(Cell(small("cross"), replace(config, frozen=True)) for config in (Config(prune_num_heads=False), _THIRD)),
    # This pruner reads which channel each repeated key comes from.
    Cell(small("grouped"), replace(_THIRD, pruner=Pruner.GROWING_REG)),
    # Merged tokens are taken for every other channel, which fails with an odd width.
    Cell(
        replace(small("swinv2_stages", 5, 3), mlp=15),
        Config(prune_num_heads=False, pruning_ratio=Fraction(0)),
    ),
    # Channels are ranked as heads are.
    Cell(Model(), Config(prune_num_heads=False, importance=Criterion.LAMP)),
    # A layer's own ratio, above the maximum that all others are at.
    Cell(
        Model(),
        Config(
            prune_num_heads=False,
            prune_head_dims=False,
            pruning_ratio=Fraction(1, 4),
            pruning_ratio_dict=((("mlp.0",), Fraction(1, 2)),),
            max_pruning_ratio=Fraction(1, 4),
        ),
    ),
)

#: The plain calls on each family: heads or head dims or both, in both scopes, and with the width left alone.
FAMILY_CALLS: tuple[Config, ...] = tuple(
    Config(
        global_pruning=everywhere,
        prune_num_heads=heads,
        prune_head_dims=dims,
        head_pruning_ratio=Fraction(1, 3) if heads else Fraction(0),
        ignored_layers=ignored,
    )
    for heads, dims, ignored in (
        (True, False, ()),
        (True, True, ()),
        (False, True, ()),
        (True, False, ("residual_outputs",)),
    )
    for everywhere in (False, True)
)

#: Plain calls on which all that a user may do next is done: on a ViT by heads alone, and by heads and head dims; and in
#: turn on a family with a scale on each branch, and on one of our own whose projections are one layer.
_BEFORE_USE: tuple[Cell, ...] = (
    Cell(Model(), replace(_PLAIN_HEADS, head_pruning_ratio=Fraction(1, 3))),
    Cell(Model(), Config(global_pruning=True, prune_num_heads=True, head_pruning_ratio=Fraction(1, 3))),
)
_BEFORE_USE_IN_TURN: tuple[Cell, ...] = (
    Cell(small("beit"), replace(_PLAIN_HEADS, ignored_layers=("residual_outputs",))),
    Cell(small("fused_unbind"), Config(global_pruning=True, ignored_layers=("residual_outputs",))),
)


#: Models of our own are none of transformers, and BEiT of old transformers has one kind of attention.
_IN_PLACE: Mapping[Then, Cell] = {
    Then.SAVE_PRETRAINED: _BEFORE_USE_IN_TURN[0],
    Then.ATTENTION: replace(_BEFORE_USE_IN_TURN[0], model=small("yolos")),
}


def uses() -> list[Cell]:
    """Return cells in which the user does something with the pruned model: each of `Then` on three plain calls."""
    return [
        Cell(before.model, _with(before.config, then))
        for place, then in enumerate(then for then in Then if then is not Then.NOTHING)
        for before in (*_BEFORE_USE, _IN_PLACE.get(then, _BEFORE_USE_IN_TURN[place % 2]))
    ]


def _with(config: Config, then: Then) -> Config:
    if then is not Then.GRADIENTS:
        return replace(config, then=then)
    # In several steps, heads alone are pruned wrong for other reasons.
    dims = Config() if config.prune_num_heads and not config.prune_head_dims else config
    return replace(dims, then=then, importance=Criterion.TAYLOR, iterative_steps=2)


#: The same in two steps: what the second knows of a model must be what the first one left.
STEPPED_CALLS: tuple[Config, ...] = tuple(replace(call, iterative_steps=2) for call in FAMILY_CALLS)

#: The call of upstream issue 410, word for word, on the model it was reported for.
ISSUE_410 = Cell(
    VIT_BASE,
    Config(prune_num_heads=True, prune_head_dims=False, head_pruning_ratio=Fraction(1, 3)),
)

#: ViT-Ti, ViT-S and ViT-B whole, 12 blocks each: in both scopes, and with the width left alone.
FULL_SIZE: tuple[Cell, ...] = tuple(
    Cell(NAMED[name], replace(ISSUE_410.config, global_pruning=everywhere, ignored_layers=ignored))
    for name in ("vit_tiny", "vit_small", "vit_base")
    for everywhere, ignored in ((False, ()), (True, ()), (False, ("residual_outputs",)))
)

#: Cells that only few releases are asked: each takes seconds, or a minute until it is given up.
SLOW: tuple[Cell, ...] = (*FULL_SIZE, Cell(small("mapped"), _THIRD))

#: The releases that these are recorded for: before, in and after issue 410's defect, and the newest.
SLOW_RELEASES = ("1.4.0", "1.4.1", "1.4.2", "1.6.1")


def core() -> list[Cell]:
    """Return the full product of the core axes on the smallest model."""
    return [Cell(Model(), Config(**dict(zip(CORE, values, strict=True)))) for values in product(*CORE.values())]


def covering() -> list[Cell]:
    """Return cells in which every extra meets every value of every core axis.

    The first rows are the plain call, heads and channels in one step, for each extra in both scopes:
    there no defect of another axis can hide one of the extra's own.
    """
    cells = [
        Cell(Model(heads=call.pop("heads", Model.heads)), Config(**call))
        for batch in _BATCHES
        for call in _covering_calls(batch)
    ]
    return sorted(cells, key=lambda cell: cell.id)


def _covering_calls(batch: tuple[Mapping[str, Any], ...]) -> Iterator[dict[str, Any]]:
    seeds = [
        {
            "extra": index,
            "global_pruning": everywhere,
            "prune_num_heads": True,
            "pruning_ratio": Fraction(1, 2),
            "iterative_steps": 1,
        }
        for index in range(len(batch))
        for everywhere in (False, True)
    ]
    axes = {"extra": list(range(len(batch))), **{axis: list(values) for axis, values in _AGAINST.items()}}
    for row in covertable.make(axes, presets=seeds):
        yield dict(**batch[row.pop("extra")], **row)


@cache
def default_cells() -> tuple[Cell, ...]:
    """Return the default matrix for one build, without the full-size cells."""
    examples = [example.cell for example in EXAMPLES]
    return tuple(dict.fromkeys([*core(), *covering(), *EDGE_CASES, *families(), *uses(), *examples]))


@cache
def known_cells() -> Mapping[str, Cell]:
    """Return every cell that the matrix runs on some build, the slow ones too, by id."""
    return by_id((*every_cell(), *SLOW))


def family_models() -> list[Model]:
    """Return the smallest model of each family, with its classifier and bare."""
    return list(dict.fromkeys(small(family, bare=bare) for family in ENDING for bare in (False, True)))


def ways(model: Model) -> tuple[bool, ...]:
    """Return the values of `Config.documented` that a model is run with."""
    return (False, True) if FAMILIES[model.family].documented else (False,)


def families(*, everything: bool = False) -> list[Cell]:
    """Return each family's models with one of the plain calls; or with all of them, in two steps too."""
    return [
        Cell(model, replace(config, documented=documented))
        for model in family_models()
        for config in ((*FAMILY_CALLS, *STEPPED_CALLS) if everything else (_turn(model),))
        for documented in ways(model)
    ]


def _turn(model: Model) -> Config:
    """Return the plain call that a family's model has by default: the next one for the next family.

    A bare model of a family with a classifier may get any call; all others get one that prunes heads. The calls begin
    so that every defect of a family shows in one of them, or in an edge case. A test checks that.
    """
    place = _place(model.family)
    if FAMILIES[model.family].head and not model.labels:
        return FAMILY_CALLS[(place + 5) % len(FAMILY_CALLS)]
    heads = [config for config in FAMILY_CALLS if config.prune_num_heads]
    return heads[place % len(heads)]


#: Families of our own are counted from here on, whatever families transformers has more.
_OWN_FROM = 20


def _place(family: str) -> int:
    """Return a family's place among those of transformers, or among our own: a new one changes no other's."""
    own = not FAMILIES[family].prefix
    return own * _OWN_FROM + [name for name, other in FAMILIES.items() if own == (not other.prefix)].index(family)


@cache
def every_cell() -> tuple[Cell, ...]:
    """Return the whole matrix for one build, without the slow cells."""
    older = [example.older for example in EXAMPLES]
    return tuple(dict.fromkeys([*default_cells(), *families(everything=True), *older]))


def by_id(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return cells by id.

    Raises:
        ValueError: two cells have the same id.
    """
    found: dict[str, Cell] = {}
    for cell in cells:
        if found.setdefault(cell.id, cell) != cell:
            raise ValueError(f"two cells are called {cell.id}")
    return found
