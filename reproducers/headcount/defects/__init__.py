"""Known defects: which one explains a verdict, and which verdicts the known ones foretell.

The catalogue is `defects.toml`. It is strict both ways: a verdict that no entry explains is an
unexpected failure, and a cell that an entry foretells and that is fine is unexpectedly fixed.
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fractions import Fraction
from functools import cache, partial
from importlib.resources import files
from itertools import pairwise
from types import CodeType
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from headcount.matrix.config import Config, Second
from headcount.matrix import Cell
from headcount.models import FAMILIES
from headcount.oracle.expectation import prunes_heads
from headcount.oracle.verdict import Kind, Verdict


class Outcome(StrEnum):
    """A verdict compared with the catalogue."""

    EXPECTED = "expected"
    UNEXPECTED_FAILURE = "unexpected-failure"
    UNEXPECTEDLY_FIXED = "unexpectedly-fixed"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Shows:
    """Where a defect shows: on which releases, and there in which cells.

    Attributes:
        releases: a PEP 440 specifier.
        when: an expression over the config's and the model's fields; see `_names`.
        left: an expression for the head counts that may be observed, one or a tuple; "" for any. A crash leaves none.
    """

    releases: str
    when: str
    left: str = ""

    def fits(self, cell: Cell, version: str) -> bool:
        """Whether a cell shows the defect on a release.

        Raises:
            NameError: `when` names something that is no field.
        """
        return contains(self.releases, version) and self.covers(cell)

    def covers(self, cell: Cell) -> bool:
        """Whether `when` is true for a cell."""
        return bool(_value(self.when, cell))

    def allows(self, cell: Cell, verdict: Verdict) -> bool:
        """Whether the head count that a verdict names first is one that this defect leaves."""
        if not self.left or verdict.kind is Kind.CRASH:
            return True
        counts = _value(self.left, cell)
        found = re.search(r"(-?\d+) heads", verdict.reason)
        return found is not None and int(found[1]) in (counts if isinstance(counts, tuple) else (counts,))


@dataclass(frozen=True)
class Reproducer:
    """A defect's file in `reproducers/`: it exits with 1 on release `bad`, with 0 on `good`; "" if none is."""

    file: str
    bad: str
    good: str = ""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong with some releases.

    Attributes:
        id: short, stable, and the name of its row in tables.
        upstream: the upstream issue, or "" if nobody has reported it.
        shows: where; a release may be in several.
        transformers: lines of transformers it shows on, as a PEP 440 specifier; "" for all.
        kinds, exception, message, frame: the signature; the last two are regular expressions.
        cause: what the code does that it should not.
        breaks: the sentence of upstream's documentation that makes it a defect.
        source: where that sentence stands.
    """

    id: str
    title: str
    upstream: str
    shows: tuple[Shows, ...]
    transformers: str
    kinds: tuple[Kind, ...]
    exception: str
    message: str
    frame: str
    cause: str
    breaks: str
    source: str
    reproducer: Reproducer

    def affects(self, version: str, transformers: str) -> bool:
        """Whether a release shows it on a line of transformers."""
        return contains(self.transformers, transformers) and any(contains(s.releases, version) for s in self.shows)

    def hits(self, cell: Cell, version: str) -> bool:
        """Whether a cell shows it on a release.

        Raises:
            NameError: a `when` names something that is no field.
        """
        return any(shows.fits(cell, version) for shows in self.shows)

    def could_show(self, cell: Cell, transformers: str) -> bool:
        """Whether a cell would show it on some release, on a line of transformers."""
        return contains(self.transformers, transformers) and any(shows.covers(cell) for shows in self.shows)

    def explains(self, verdict: Verdict, cell: Cell, version: str) -> bool:
        """Whether a cell's verdict on a release bears its signature."""
        return self._bears(verdict) and any(
            shows.fits(cell, version) and shows.allows(cell, verdict) for shows in self.shows
        )

    def resembles(self, verdict: Verdict, cell: Cell) -> bool:
        """Whether a cell's verdict looks like this defect, on whatever build: commits state no version of their own."""
        return self._bears(verdict) and any(shows.covers(cell) and shows.allows(cell, verdict) for shows in self.shows)

    def _bears(self, verdict: Verdict) -> bool:
        signature = verdict.signature
        return (
            verdict.kind in self.kinds
            and self.exception in ("", signature.exception)
            and re.search(self.message, signature.message) is not None
            and re.search(self.frame, signature.frame) is not None
        )


@dataclass(frozen=True)
class Comparison:
    """A verdict seen through the catalogue; `defect` explains it, or is the one that was foretold."""

    outcome: Outcome
    defect: Defect | None = None


class Catalogue:
    """All known defects."""

    def __init__(self, defects: Iterable[Defect]) -> None:
        self.defects = tuple(defects)

    def foretells(self, cell: Cell, version: str, transformers: str) -> tuple[Defect, ...]:
        """The defects that a cell shows on a release; one may hide another."""
        return tuple(
            defect
            for defect, releases in self.shown(cell)
            if contains(defect.transformers, transformers) and any(contains(range_, version) for range_ in releases)
        )

    def compare(self, verdict: Verdict, cell: Cell, version: str, transformers: str) -> Comparison:
        """Whether a verdict is what the catalogue says."""
        if verdict.kind is Kind.NOT_APPLICABLE:
            return Comparison(Outcome.EXPECTED)
        if verdict.kind is Kind.UNTESTABLE:
            return Comparison(Outcome.INDETERMINATE)
        foretold = self.foretells(cell, version, transformers)
        if verdict.kind is Kind.OK:
            return Comparison(Outcome.UNEXPECTEDLY_FIXED, foretold[0]) if foretold else Comparison(Outcome.EXPECTED)
        explanation = next((d for d in foretold if d.explains(verdict, cell, version)), None)
        return Comparison(Outcome.EXPECTED if explanation else Outcome.UNEXPECTED_FAILURE, explanation)

    @cache  # noqa: B019 - a catalogue lives as long as the process
    def shown(self, cell: Cell) -> tuple[tuple[Defect, tuple[str, ...]], ...]:
        """The defects that a cell can show, each with its releases, as PEP 440 specifiers. Costly to find, so kept."""
        covering = [(d, tuple(shows.releases for shows in d.shows if shows.covers(cell))) for d in self.defects]
        return tuple((defect, releases) for defect, releases in covering if releases)


@cache
def catalogue() -> Catalogue:
    """The catalogue that comes with this package."""
    return Catalogue(parse(files("headcount").joinpath("defects.toml").read_text("utf-8")))


def parse(text: str) -> list[Defect]:
    """Defects from TOML.

    Raises:
        ValueError: an entry lacks a field, has an unknown one, or an id comes twice.
    """
    defects = [_defect(entry) for entry in tomllib.loads(text)["defect"]]
    if len({defect.id for defect in defects}) < len(defects):
        raise ValueError("two defects have the same id")
    return defects


_OPTIONAL: Mapping[str, str] = {"upstream": "", "transformers": "", "exception": "", "message": "", "frame": ""}


def _defect(entry: dict[str, Any]) -> Defect:
    names = {field.name for field in fields(Defect)}
    values = {**_OPTIONAL, **entry}
    if values.keys() != names:
        raise ValueError(f"defect {entry.get('id')}: {sorted(values.keys() ^ names)} missing or unknown")
    values["shows"] = tuple(Shows(**item) for item in values["shows"])
    values["reproducer"] = Reproducer(**values["reproducer"])
    values["kinds"] = tuple(map(Kind, values["kinds"]))
    return Defect(**values)


@cache
def contains(specifier: str, version: str) -> bool:
    """Whether a version, a pre-release too, is one of those that a PEP 440 specifier names; "" names all."""
    return SpecifierSet(specifier).contains(Version(version), prereleases=True)


@cache
def _value(expression: str, cell: Cell) -> Any:
    # The expression is part of this package, as much as the code around it.
    return eval(_compiled(expression), {"__builtins__": {}}, _names(cell))  # noqa: S307


@cache
def _compiled(expression: str) -> CodeType:
    return compile(" ".join(expression.split()), "<defects.toml>", "eval")


@cache
def _names(cell: Cell) -> dict[str, Any]:
    """What a `when` may name: the fields of the model and the config, and what is short for much said."""
    ratio = min(cell.config.head_pruning_ratio, Fraction(1))
    return {
        **{field.name: getattr(part, field.name) for part in (cell.model, cell.config) for field in fields(part)},
        "p": cell.config.pruning_ratio,
        "r": cell.config.head_pruning_ratio,
        "keys": tuple(role for scope, _ in cell.config.head_pruning_ratio_dict for role in scope),
        "bare": not cell.model.labels,
        "tables": FAMILIES[cell.model.family].relative_position_bias,
        "joined": FAMILIES[cell.model.family].uses_multihead_attention,
        "queries": FAMILIES[cell.model.family].queries_per_kv,
        "reduces": bool(cell.model.reduced),
        "prunes_width": _prunes_width(cell.config),
        "prunes_heads": prunes_heads(cell.config),
        "reaches_heads": _reaches_heads(cell),
        "compounded": partial(_compounded, cell, ratio),
        "overshot": partial(_overshot, cell, ratio),
        "uneven": partial(_uneven, cell, ratio),
        "per_key": partial(_per_key, cell, ratio),
        "busy_steps": _busy_steps(cell.model.heads, ratio, cell.config),
        "busy_steps_in_all": _busy_steps(sum(cell.model.block_heads), ratio, cell.config),
        "ratio": Fraction,
        "floor": math.floor,
        "ceil": math.ceil,
        "float": float,
    }


def _reaches_heads(cell: Cell) -> bool:
    """Whether releases come to prune heads where they should.

    They never do in Swin v2, nor where attention is one layer that is named by groups, or the width is ignored.
    """
    joined = FAMILIES[cell.model.family].uses_multihead_attention
    left_out = joined and (cell.config.documented or not _prunes_width(cell.config))
    return prunes_heads(cell.config) and not left_out and not cell.model.family.startswith("swinv2")


def _prunes_width(config: Config) -> bool:
    return config.pruning_ratio > 0 and "residual_outputs" not in config.ignored_layers


def _compounded(
    cell: Cell, ratio: Fraction, rounding: Callable[[Fraction], int], *, overdone: bool = True
) -> tuple[int, ...]:
    """Heads left in each block if step i of n takes its share i / n * ratio of what the steps before left.

    A second pruner on the same model does it all once more.

    Args:
        overdone: whether a step goes on when the model has no more heads left than it should.
    """
    left = cell.model.block_heads
    for _ in range(_pruners(cell)):
        *_, left = _falling(cell.config, left, ratio, rounding, overdone=overdone)
    return left


def _falling(
    config: Config,
    counts: tuple[int, ...],
    ratio: Fraction,
    rounding: Callable[[Fraction], int],
    *,
    overdone: bool = True,
) -> Iterator[tuple[int, ...]]:
    """The counts after each of one pruner's steps, as `_compounded` has them."""
    whole = sum(counts)
    for part in _schedule(config):
        share = ratio * part
        if overdone or sum(counts) > math.floor(whole * (1 - share)):
            counts = tuple(heads - rounding(share * heads) for heads in counts)
        yield counts


def _overshot(cell: Cell, ratio: Fraction, rounding: Callable[[Fraction], int], **how: bool) -> tuple[int, ...]:
    """The `_compounded` counts of those blocks in which they are not what should be left, rounded either way."""
    left = _compounded(cell, ratio, rounding, **how)
    dense = cell.model.block_heads
    return tuple(after for heads, after in zip(dense, left, strict=True) if after not in _targets(cell, heads, ratio))


def _uneven(cell: Cell, ratio: Fraction, rounding: Callable[[Fraction], int]) -> bool:
    """Whether some step but the last leaves a block's count at what the channels there were at first do not divide by.

    The count goes down as in `_compounded`, and the channels stay.
    """
    model = cell.model
    *before_last, _ = _falling(cell.config, model.block_heads, ratio, rounding)
    return any(
        count and heads * model.head_dim % count
        for counts in before_last
        for heads, count in zip(model.block_heads, counts, strict=True)
    )


def _per_key(cell: Cell, ratio: Fraction, rounding: Callable[[Fraction], int]) -> int:
    """Heads of queries left for each of keys, if each step takes as many from each.

    The share of step i of n, i / n * ratio, is of the heads that are left; it is rounded, and again when dealt out.
    """
    left = FAMILIES[cell.model.family].queries_per_kv
    keys = cell.model.heads // left
    for part in _schedule(cell.config):
        left -= rounding(Fraction(rounding(ratio * part * left * keys), keys))
    return left


def _targets(cell: Cell, heads: int, ratio: Fraction) -> set[int]:
    """Heads that should be left of a block's, rounded either way, by one pruner after the other."""
    left = {heads}
    for _ in range(_pruners(cell)):
        left = {count - rounding(count * ratio) for count in left for rounding in (math.floor, math.ceil)}
    return left


def _pruners(cell: Cell) -> int:
    """How many prune the same model."""
    return 2 if cell.config.second is Second.SAME else 1


def _schedule(config: Config) -> list[Fraction]:
    """What share of the ratio is to be reached by the end of each step."""
    steps = config.iterative_steps
    return [Fraction(1) if config.one_shot else Fraction(step, steps) for step in range(1, steps + 1)]


def _busy_steps(count: int, ratio: Fraction, config: Config) -> int:
    """In how many steps a head goes, where one with share s of the ratio leaves floor((1 - s * ratio) * count)."""
    targets = [count, *(math.floor(count * (1 - ratio * share)) for share in _schedule(config))]
    return sum(before > after for before, after in pairwise(targets))
