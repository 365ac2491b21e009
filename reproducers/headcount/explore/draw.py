"""Draw valid calls: draw number N of a seed is the same call on every machine.

Calls come in runs that share a model: N draws are of about N / 8 models. To build one takes longer than to prune it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from itertools import count
from typing import Any

from headcount.explore.dice import Dice
from headcount.matrix import Cell, Config, Criterion, Pruner, Scope, Second, Then
from headcount.matrix.config import HALVES, LAYER_TYPES
from headcount.matrix.validity import why_invalid
from headcount.models import FAMILIES, Model, small

#: What a person types.
RATIOS = tuple(
    Fraction(text)
    for text in [
        "1/2",
        "1/2",
        "1/3",
        "1/4",
        "2/3",
        "3/4",
        "0.1",
        "0.2",
        "0.3",
        "0.4",
        "0.6",
        "0.7",
        "0.8",
        "0.9",
        "0.15",
        "0.35",
        "0.65",
        "1/6",
        "5/6",
        "1/8",
        "3/8",
        "0.05",
        "0.95",
    ]
)

#: Criteria by how often they are drawn; not every release has the others.
_CRITERIA = (*(c for c in Criterion if c is not Criterion.MAGNITUDE), Criterion.TAYLOR, Criterion.L1, Criterion.RANDOM)

#: Draws in a row that share a model, as many as one process runs at a time.
_RUN = 8

#: The share of draws whose model is as wide and as deep as a ViT-S at most; such a call takes as long as ten others.
_LARGE = 0.02

#: The share of draws that do something with the pruned model.
_USED = 0.03

#: The share of draws in half precision, where no ranking and no output is judged.
_HALF = 0.04


def draws(seed: int, families: Sequence[str] = ()) -> Iterator[Cell]:
    """Yield calls without end, none of them twice.

    Args:
        families: the models' families; ViT alone unless given.
    """
    seen = set()
    for number in count():
        cell = draw(seed, number, tuple(families) or ("vit",))
        if cell not in seen:
            seen.add(cell)
            yield cell


def draw(seed: int, number: int, families: Sequence[str]) -> Cell:
    """Return a seed's call of a number: any valid one; plain ones and those with few further parameters most often."""
    model = _model(seed, number, families)
    cells = (Cell(model, _Dice(f"{seed} {number} {attempt}").config(model)) for attempt in count())
    return next(cell for cell in cells if not why_invalid(cell))


def varied(seed: int, cells: Sequence[Cell]) -> Iterator[Cell]:
    """Yield calls like these, without end: each has the family and the further parameters of one; the rest is drawn."""
    for number in count():
        like = _Dice(f"{seed} like {number // _RUN}").one(cells)
        kept = {
            name: given
            for name in (*_FURTHER, "then", "precision")
            if (given := getattr(like.config, name)) != _DEFAULTS[name]
        }
        model = _Dice(f"{seed} like model {number // _RUN}").model(like.model.family)
        for attempt in range(_ATTEMPTS):
            config = _Dice(f"{seed} like {number} {attempt}").config(model)
            cell = Cell(model if attempt < _ATTEMPTS // 2 else like.model, replace(config, **kept))
            if not why_invalid(cell):
                yield cell
                break


def _model(seed: int, number: int, families: Sequence[str]) -> Model:
    """Return the model of a draw: its run's, but for large ones, which the first draw of a run may have to itself."""
    run, place = divmod(number, _RUN)
    dice, large = _Dice(f"{seed} model {run}"), _Dice(f"{seed} large {run}")
    if place == 0 and large.chance(_RUN * _LARGE):
        return large.large(large.one(families))
    # Each family comes once before any comes again.
    again, turn = divmod(run, len(families))
    order = _Dice(f"{seed} families {again}").some([*families], len(families))
    return dice.model(order[turn])


#: The default of each parameter of a call.
_DEFAULTS = {field.name: field.default for field in fields(Config)}

#: After so many tries a call that is like another is given up; the second half of them has its model, too.
_ATTEMPTS = 20


class _Dice(Dice):
    """Draws models and calls."""

    def large(self, family: str) -> Model:
        traits, plain = FAMILIES[family], small(family, self.one((3, 6)), 64)
        mlp = plain.mlp if traits.mlp_by_width else 2 * plain.width
        return replace(plain, layers=traits.stages * (2, 4, 6, 12)[self.below(4)], mlp=mlp)

    def model(self, family: str) -> Model:
        traits = FAMILIES[family]
        layers = traits.stages * (1, 2, 2, 3, 4)[self.below(5)]
        heads = (1 + self.below(25) if family == "vit" else 1 + self.below(8)) * traits.queries_per_kv
        plain = small(family, heads, (1 + self.below(16 // traits.dims_by)) * traits.dims_by, bare=self.chance(0.15))
        mlp = (1 + self.below(4)) * plain.width if traits.mlp_by_width or self.chance(0.5) else 1 + self.below(96)
        return replace(plain, layers=layers, mlp=mlp)

    def config(self, model: Model) -> Config:
        config = Config(
            global_pruning=self.chance(0.5),
            prune_num_heads=self.chance(0.75),
            prune_head_dims=self.chance(0.4),
            head_pruning_ratio=self.head_ratio(model),
            pruning_ratio=Fraction(0) if self.chance(0.15) else self.one(RATIOS),
            iterative_steps=(1, 1, 1, 1, 2, 2, 3, 5)[self.below(8)],
        )
        for name in self.some([*_FURTHER], (0, 0, 0, 1, 1, 1, 1, 2, 2, 3)[self.below(10)]):
            config = replace(config, **{name: _FURTHER[name](self, model)})
        # Last, so that they change nothing else of a draw; uses rarely, as some take seconds.
        config = replace(config, then=self.one([*Then])) if self.chance(_USED) else config
        half = config.then is Then.NOTHING and self.chance(_HALF)
        return replace(config, precision=self.one(HALVES)) if half else config

    def head_ratio(self, model: Model) -> Fraction:
        """Return a ratio of heads: a whole number of them, or one that a person types."""
        whole = Fraction(self.below(model.heads), model.heads)
        return whole if self.chance(0.4) else self.one(RATIOS)

    def head_scopes(self, model: Model) -> tuple[tuple[Scope, Fraction], ...]:
        kind = self.one(("attention", "query"))
        blocks = self.some([str(block) for block in range(model.layers)], 1 + self.below(min(2, model.layers)))
        return tuple(((f"{kind}.{block}",), self.head_ratio(model)) for block in sorted(blocks))

    def channel_scopes(self, model: Model) -> tuple[tuple[Scope, Fraction], ...]:
        ratio = self.one(RATIOS)
        if model.layers > 1 and self.chance(0.3):
            return (((f"mlp.{model.layers - 2}", f"mlp.{model.layers - 1}"), ratio),)
        kind = self.one(("mlp", "mlp", "attention", "query"))
        return (((f"{kind}.{self.below(model.layers)}",), ratio),)

    def ignored(self, model: Model) -> tuple[str, ...]:
        names = (
            "residual_outputs",
            "residual_outputs",
            f"qkv.{self.below(model.layers)}",
            f"mlp.{self.below(model.layers)}",
            *LAYER_TYPES,
        )
        return (self.one(names),)


#: What a call may have beyond the product's axes, and how it is drawn. The rarest are those that not every release has.
_FURTHER: Mapping[str, Callable[[_Dice, Model], Any]] = {
    "head_pruning_ratio_dict": _Dice.head_scopes,
    "pruning_ratio_dict": _Dice.channel_scopes,
    "max_pruning_ratio": lambda dice, _: dice.one(RATIOS),
    "round_to": lambda dice, _: dice.one((2, 4, 8, 16)),
    "isomorphic": lambda dice, _: dice.chance(0.7),
    "num_heads": lambda dice, _: dice.one(("q", "k", "v", "qk", "kv", "qv")),
    "ignored_layers": _Dice.ignored,
    "importance": lambda dice, _: dice.one(_CRITERIA),
    "interactive": lambda *_: True,
    "second": lambda dice, _: dice.one((Second.SAME, Second.OTHER, Second.LOADED)),
    "frozen": lambda *_: True,
    "training": lambda *_: True,
    "pruner": lambda dice, _: dice.one([pruner for pruner in Pruner if pruner is not Pruner.META]),
    "one_shot": lambda *_: True,
    "documented": lambda _, model: model.traits.documented,
    "output_transform": lambda *_: True,
    "skips_attention": lambda *_: True,
}
