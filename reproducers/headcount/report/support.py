"""Which family works with which release: what is recorded of the plain calls on each. Nothing is run.

The matrix holds every build to what is recorded, cell by cell.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from string import ascii_letters
from textwrap import fill

from packaging.specifiers import SpecifierSet

from headcount import builds, defects, matrix, models
from headcount.defects.defect import Raises
from headcount.matrix.cells import FAMILY_CALLS, family_models, ways
from headcount.report.markdown import render


class State(StrEnum):
    """How a family fares with a release."""

    WORKS = "works"
    EXTRA = "extra"  # with the width in ignored_layers, as upstream's examples have it
    BROKEN = "broken"
    UNTRACED = "untraced"
    FIXED = "fixed"  # the family's own code runs no pruned model
    MISSING = "missing"  # this transformers does not have the family


#: State -> its mark in the table, with a place for the letters of defects, and its line in the legend.
_STATES = {
    State.WORKS: ("works", "works: heads, head dims or both, in both scopes, as the documentation says"),
    State.EXTRA: ("+{}", "+  works if the width is left alone: attention's and the MLP's outputs in ignored_layers"),
    State.BROKEN: ("{}", ""),
    State.UNTRACED: ("!{}", "!  cannot be traced"),
    State.FIXED: ("-", "-  cannot run pruned, whichever pruner is used: the family's own code has sizes fixed"),
    State.MISSING: ("", "   empty: this transformers does not have the family"),
}


@dataclass(frozen=True)
class Support:
    """One model with one release: `defects` are those that any of the plain calls shows."""

    state: State
    defects: tuple[str, ...] = ()


def support(
    model: models.Model,
    release: str,
    transformers: str,
    *,
    documented: bool = False,
    calls: Sequence[matrix.Config] = FAMILY_CALLS,
) -> Support:
    """Return what is recorded of a family's plain calls.

    Args:
        documented: with what upstream's examples give the pruner for this family.
        calls: those that are looked at.
    """
    if not model.traits.is_in(transformers):
        return Support(State.MISSING)
    cells = (matrix.Cell(model, replace(config, documented=documented)) for config in calls)
    known = defects.recorded(transformers)
    shown = {cell: known.foretold(cell, release) for cell in cells if not is_fixed(cell, transformers)}
    if not shown:
        return Support(State.FIXED)
    found = tuple(dict.fromkeys(filter(None, shown.values())))
    if not found:
        return Support(State.WORKS)
    if all(id_ and _is_tracing(id_) for id_ in shown.values()):
        return Support(State.UNTRACED, found)
    narrow = [id_ for cell, id_ in shown.items() if "residual_outputs" in cell.config.ignored_layers]
    # Where heads may stay, for their tables or their layer, that they do is no working.
    may_stay = model.traits.relative_position_bias or model.traits.uses_multihead_attention
    return Support(State.EXTRA if narrow and not any(narrow) and not may_stay else State.BROKEN, found)


def is_fixed(cell: matrix.Cell, transformers: str) -> bool:
    """Return whether the family's own code keeps a call from running, whatever the pruner does."""
    traits = cell.model.traits
    fixed = traits.heads_fixed or (traits.dims_fixed if cell.config.prune_head_dims else "")
    return bool(fixed) and SpecifierSet(fixed).contains(transformers, prereleases=True)


def _is_tracing(id_: str) -> bool:
    return any(
        isinstance(sign, Raises)
        # Here a release fails that cannot make out a model's structure at all.
        and sign.frame.endswith(("_trace_computational_graph", "infer_out_channels_recursively"))
        for sign in defects.defect(id_).signature
    )


def _rows(
    transformers: str, names: Collection[str], calls: Sequence[matrix.Config]
) -> dict[tuple[models.Model, bool], dict[str, Support]]:
    """Return (model, as documented) -> release -> its support; models of which upstream documents more are in twice."""
    return {
        (model, documented): {
            release: support(model, release, transformers, documented=documented, calls=calls)
            for release in builds.RELEASES
        }
        for model in family_models()
        if not names or {model.family, model.id} & set(names)
        for documented in ways(model)
    }


def plain(
    transformers: str, names: Collection[str] = (), calls: Sequence[matrix.Config] = FAMILY_CALLS
) -> dict[str, dict[str, dict[str, object]]]:
    """Return one version's table as plain values: model -> release -> its state and defects."""
    return {
        f"{model.id}-documented" if documented else model.id: {
            release: {"state": found.state, "defects": list(found.defects)} for release, found in row.items()
        }
        for (model, documented), row in _rows(transformers, names, calls).items()
    }


def tables(
    transformers: Sequence[str] = (), names: Collection[str] = (), calls: Sequence[matrix.Config] = FAMILY_CALLS
) -> str:
    """Return for each transformers version a row for each family, with its classifier and bare; then a legend.

    A column stands for releases that are alike in all rows.

    Args:
        transformers: the versions; all that are recorded if there are none.
        names: of families and models; all if there are none.
        calls: those that are looked at.
    """
    every = {version: _rows(version, names, calls) for version in transformers or defects.versions()}
    found = [support for rows in every.values() for row in rows.values() for support in row.values()]
    letters = dict(zip(dict.fromkeys(id_ for support in found for id_ in support.defects), ascii_letters, strict=False))
    return render(
        "support.txt.j2",
        tables=[_table(version, rows, letters) for version, rows in every.items()],
        has_documented=any(documented for rows in every.values() for _, documented in rows),
        states=[words for state, (_, words) in _STATES.items() if words and state in {one.state for one in found}],
        titles=[
            fill(f"{letter}  {id_}: {defects.defect(id_).title}", 120, subsequent_indent="   ")
            for id_, letter in letters.items()
        ],
    ).rstrip()


def _title(model: models.Model, *, documented: bool) -> str:
    bare = ", bare" if not model.labels and model.traits.head else ""
    return f"{model.traits.title}{bare}{', as documented' if documented else ''}"


def _table(
    version: str, rows: Mapping[tuple[models.Model, bool], Mapping[str, Support]], letters: Mapping[str, str]
) -> str:
    columns = [["", *(_title(model, documented=documented) for model, documented in rows)]]
    for _, alike in groupby(builds.RELEASES, lambda release: [states[release] for states in rows.values()]):
        first, *others = alike
        marks = (
            _STATES[states[first].state][0].format("".join(sorted(letters[id_] for id_ in states[first].defects)))
            for states in rows.values()
        )
        columns.append([f"{first}+" if others else first, *marks])
    padded = ([cell.ljust(max(map(len, column))) for cell in column] for column in columns)
    return "\n".join([f"transformers {version}", *("  ".join(row).rstrip() for row in zip(*padded, strict=True))])
