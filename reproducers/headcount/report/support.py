"""Which family works with which release: what the catalogue says of the plain calls on each, without running any.

The matrix holds the catalogue to be exact in every cell, so that what is said here is what it measures.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from string import ascii_letters
from textwrap import fill

from headcount.builds import RELEASES
from headcount.matrix.config import Config
from headcount.defects import Defect, catalogue, contains
from headcount.matrix import Cell
from headcount.matrix.cells import FAMILY_CALLS, family_models, ways
from headcount.models import FAMILIES, Family, Model
from headcount.oracle.verdict import Kind

#: The lines of transformers that nox has environments for.
LINES = ("4.57.6", "5.23.0")

#: Where a release fails that cannot make out a model's structure at all.
_TRACING = ("_trace_computational_graph", "infer_out_channels")


class State(StrEnum):
    """How a family fares with a release."""

    WORKS = "works"
    EXTRA = "extra"  # with the width in ignored_layers, as upstream's examples have it
    BROKEN = "broken"
    UNTRACED = "untraced"
    FIXED = "fixed"  # the family's own code runs no pruned model
    MISSING = "missing"  # this transformers does not have the family


@dataclass(frozen=True)
class Support:
    """One model with one release: `defects` are those that any of the plain calls shows."""

    state: State
    defects: tuple[str, ...] = ()


def support(
    model: Model,
    release: str,
    transformers: str,
    *,
    documented: bool = False,
    calls: Sequence[Config] = FAMILY_CALLS,
) -> Support:
    """What the catalogue says of a family's plain calls.

    Args:
        documented: with what upstream's examples tell the pruner besides.
        calls: those that are looked at.
    """
    family = FAMILIES[model.family]
    if not family.is_in(transformers):
        return Support(State.MISSING)
    cells = [Cell(model, replace(config, documented=documented)) for config in calls]
    runs = [cell for cell in cells if not is_fixed(family, cell, transformers)]
    if not runs:
        return Support(State.FIXED)
    shown = {cell: catalogue().foretells(cell, release, transformers) for cell in runs}
    found = tuple(dict.fromkeys(defect.id for defects in shown.values() for defect in defects))
    if not found:
        return Support(State.WORKS)
    if all(any(_is_tracing(defect) for defect in defects) for defects in shown.values()):
        return Support(State.UNTRACED, found)
    extra = [defects for cell, defects in shown.items() if "residual_outputs" in cell.config.ignored_layers]
    # Where heads may stay, for their tables or their layer, that they do is no working.
    works = bool(extra) and not any(extra) and not (family.relative_position_bias or family.uses_multihead_attention)
    return Support(State.EXTRA if works else State.BROKEN, found)


def tables(lines: Sequence[str] = LINES, names: Collection[str] = (), calls: Sequence[Config] = FAMILY_CALLS) -> str:
    """For each line of transformers a row for each family, with its classifier and bare; then what the marks say.

    A column stands for releases that are alike in all rows.

    Args:
        names: of families and models; none for all.
        calls: those that are looked at.
    """
    every = {line: {_title(*asked): _states(*asked, line, calls) for asked in _asked(names)} for line in lines}
    rows = [states for by_model in every.values() for states in by_model.values()]
    marks = _marks(rows)
    printed = [_table(line, by_model, marks) for line, by_model in every.items()]
    legend = _legend(rows, marks, documented=any(documented for _, documented in _asked(names)))
    return "\n\n".join([*printed, legend])


def plain(
    transformers: str, names: Collection[str] = (), calls: Sequence[Config] = FAMILY_CALLS
) -> dict[str, dict[str, dict[str, object]]]:
    """The same as plain values, of one line: model -> release -> its state and defects."""
    return {
        f"{model.id}-documented" if documented else model.id: {
            release: {"state": found.state, "defects": list(found.defects)}
            for release, found in _states(model, documented, transformers, calls).items()
        }
        for model, documented in _asked(names)
    }


def _asked(names: Collection[str]) -> list[tuple[Model, bool]]:
    """The models, and those for which upstream documents more once more, with that."""
    models = [model for model in family_models() if not names or {model.family, model.id} & set(names)]
    return [(model, documented) for model in models for documented in ways(model)]


def _table(line: str, rows: Mapping[str, Mapping[str, Support]], marks: Mapping[str, str]) -> str:
    alike = groupby(RELEASES, lambda release: [states[release] for states in rows.values()])
    columns = [tuple(run) for _, run in alike]
    head = ["", *(run[0] if len(run) == 1 else f"{run[0]}+" for run in columns)]
    cells = [[title, *(_mark(states[run[0]], marks) for run in columns)] for title, states in rows.items()]
    widths = [max(len(row[index]) for row in [head, *cells]) for index in range(len(head))]
    printed = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *cells]]
    return "\n".join([f"transformers {line}", *(row.rstrip() for row in printed)])


def _states(
    model: Model,
    documented: bool,  # noqa: FBT001 - of a pair
    transformers: str,
    calls: Sequence[Config],
) -> dict[str, Support]:
    return {release: support(model, release, transformers, documented=documented, calls=calls) for release in RELEASES}


def is_fixed(family: Family, cell: Cell, transformers: str) -> bool:
    """Whether the family's own code keeps the call from running."""
    fixed = family.heads_fixed or (family.dims_fixed if cell.config.prune_head_dims else "")
    return bool(fixed) and contains(fixed, transformers)


def _is_tracing(defect: Defect) -> bool:
    return Kind.CRASH in defect.kinds and any(name in defect.frame for name in _TRACING)


def _title(model: Model, documented: bool) -> str:  # noqa: FBT001 - of a pair
    family = FAMILIES[model.family]
    bare = ", bare" if not model.labels and family.head else ""
    return family.title + bare + (", as documented" if documented else "")


def _marks(rows: Iterable[Mapping[str, Support]]) -> dict[str, str]:
    """Defect -> its letter, in the order in which they come."""
    found = dict.fromkeys(defect for states in rows for state in states.values() for defect in state.defects)
    assert len(found) <= len(ascii_letters)
    return dict(zip(found, ascii_letters, strict=False))


def _mark(support: Support, marks: Mapping[str, str]) -> str:
    letters = "".join(sorted(marks[defect] for defect in support.defects))
    return {
        State.WORKS: "works",
        State.EXTRA: f"+{letters}",
        State.BROKEN: letters,
        State.UNTRACED: f"!{letters}",
        State.FIXED: "-",
        State.MISSING: "",
    }[support.state]


def _legend(rows: Iterable[Mapping[str, Support]], marks: Mapping[str, str], *, documented: bool) -> str:
    states = {support.state for row in rows for support in row.values()}
    titles = {defect.id: defect.title for defect in catalogue().defects}
    told = [_ASKED, *[_DOCUMENTED] * documented, *(words for state, words in _WORDS.items() if state in states)]
    words = (f"{letter}  {defect}: {titles[defect]}" for defect, letter in marks.items())
    return "\n".join([*told, *(fill(line, 120, subsequent_indent="   ") for line in words)])


_ASKED = """1.5.0+: that release and those after it, up to the next column
asked: a third of six heads, half of the channels; `headcount which` asks numbers of your own, of one model"""

_DOCUMENTED = "as documented: as in upstream's examples, with a pruner for what merges tokens, or with channel groups"

_WORDS = {
    State.WORKS: "works: heads, head dims or both, in both scopes, as the documentation says",
    State.EXTRA: "+  works if the width is left alone: attention's and the MLP's outputs in ignored_layers",
    State.UNTRACED: "!  cannot be traced",
    State.FIXED: "-  cannot run pruned, whoever prunes it: the family's own code has sizes fixed",
    State.MISSING: "   empty: this transformers does not have the family",
}
