"""Which family works with which release: what the plain calls on each show.

That is recorded of the smallest models, and the matrix holds every build to it, cell by cell. Of models with sizes of
the user's own it is what they showed when they were run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from string import ascii_letters
from textwrap import fill

from packaging.specifiers import SpecifierSet

from headcount import builds, defects, matrix, models, oracle
from headcount.defects.defect import Raises
from headcount.examine import Examined
from headcount.matrix.cells import FAMILY_CALLS, family_models
from headcount.matrix.examples import EXAMPLES, Example
from headcount.report import examples
from headcount.report.markdown import render

#: What a cell shows on a release: a defect's id, or one of `_OTHERS`; "" if it is fine.
Shows = Callable[[matrix.Cell, str], str]

#: What stands in a defect's place where there is none, and its words in the legend.
_OTHERS = {
    "unexplained": "no known defect explains it: headcount which shows what is wrong",
    "untestable": "it cannot be tested here: headcount which shows why",
}


class Way(StrEnum):
    """Which calls a row is about."""

    PLAIN = ""
    DOCUMENTED = "documented"  # the plain ones, with what upstream's example for the family gives the pruner besides
    EXAMPLE = "example"  # upstream's examples themselves


#: What a row's title ends with. Examples have a table of their own.
_WAYS = {Way.PLAIN: "", Way.DOCUMENTED: ", as documented", Way.EXAMPLE: ""}


#: A model and which calls on it.
Row = tuple[models.Model, Way]

#: Row -> release -> its support.
Rows = Mapping[Row, Mapping[str, "Support"]]


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
    State.WORKS: ("ok", "ok works: heads, head dims or both, in both scopes, as the documentation says"),
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
    way = Way.DOCUMENTED if documented else Way.PLAIN
    return Table(transformers, [model], calls).support(model, release, way)


def _support(model: models.Model, shown: Mapping[matrix.Cell, str]) -> Support:
    """Return what it comes to that a model's plain calls show these defects, "" for none."""
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


def cells_of(
    model: models.Model, transformers: str, *, documented: bool, calls: Sequence[matrix.Config] = FAMILY_CALLS
) -> list[matrix.Cell]:
    """Return the plain calls on a model, but for those that the family's own code keeps from running."""
    cells = (matrix.Cell(model, replace(config, documented=documented)) for config in calls)
    return [cell for cell in cells if not is_fixed(cell, transformers)]


def shown_by(found: Examined) -> str:
    """Return what a cell showed when it was run, as `Shows` has it: the defect that it is, or looks like."""
    if found.verdict.kind is oracle.Kind.UNTESTABLE:
        return "untestable"
    if not found.verdict.is_failure:
        return ""
    return found.explanation.defect or next(iter(found.explanation.looks_like), "unexplained")


def is_fixed(cell: matrix.Cell, transformers: str) -> bool:
    """Return whether the family's own code keeps a call from running, whatever the pruner does."""
    traits = cell.model.traits
    fixed = traits.heads_fixed or (traits.dims_fixed if cell.config.prune_head_dims else "")
    return bool(fixed) and SpecifierSet(fixed).contains(transformers, prereleases=True)


def _is_tracing(id_: str) -> bool:
    return id_ not in _OTHERS and any(
        isinstance(sign, Raises)
        # Here a release fails that cannot make out a model's structure at all.
        and sign.frame.endswith(("_trace_computational_graph", "infer_out_channels_recursively"))
        for sign in defects.defect(id_).signature
    )


@dataclass(frozen=True)
class Table:
    """One transformers version's table.

    Attributes:
        wanted: the models of its rows.
        shows: what each call shows on a release; what is recorded, unless given.
        sizes: what is said of the models' sizes; "" where they are the smallest.
        has_examples: whether upstream's examples have rows, too.
        releases: those of its columns.
    """

    transformers: str
    wanted: Sequence[models.Model]
    calls: Sequence[matrix.Config] = FAMILY_CALLS
    shows: Shows | None = None
    sizes: str = ""
    has_examples: bool = False
    releases: tuple[str, ...] = builds.RELEASES

    def support(self, model: models.Model, release: str, way: Way) -> Support:
        """Return how a model fares with a release."""
        if not model.traits.is_in(self.transformers):
            return Support(State.MISSING)
        shows = self.shows or defects.recorded(self.transformers).foretold
        documented = way is Way.DOCUMENTED
        cells = cells_of(model, self.transformers, documented=documented, calls=self.calls)
        if way is Way.EXAMPLE:
            cells = [example.on(release) for example in self.examples(model)]
        return _support(model, {cell: shows(cell, release) for cell in cells})

    def examples(self, model: models.Model) -> list[Example]:
        """Return upstream's examples for a model's family. They come with its classifier, if it has one."""
        is_theirs = self.has_examples and model == models.small(model.family)
        return [example for example in EXAMPLES if is_theirs and example.model.family == model.family]

    @property
    def rows(self) -> Rows:
        """Each model's rows."""
        return {
            (model, way): {release: self.support(model, release, way) for release in self.releases}
            for model in self.wanted
            for way in self._ways(model)
        }

    @property
    def told(self) -> list[Example]:
        """Upstream's examples that have rows."""
        return [example for model in self.wanted for example in self.examples(model)]

    def _ways(self, model: models.Model) -> list[Way]:
        has = {Way.PLAIN: True, Way.DOCUMENTED: model.traits.documented, Way.EXAMPLE: bool(self.examples(model))}
        return [way for way in Way if has[way]]

    def plain(self) -> dict[str, dict[str, dict[str, object]]]:
        """Return it as plain values: model -> release -> its state and defects."""
        return {
            "-".join(filter(None, (model.id, way))): {
                release: {"state": found.state, "defects": list(found.defects)} for release, found in row.items()
            }
            for (model, way), row in self.rows.items()
        }


def recorded(
    transformers: Sequence[str] = (), names: Sequence[str] = (), calls: Sequence[matrix.Config] = FAMILY_CALLS
) -> list[Table]:
    """Return what is recorded, a table for each transformers version.

    Args:
        transformers: the versions; all that are recorded if there are none.
        names: of families and models; all if there are none.
        calls: those that are looked at.
    """
    rows = [model for model in family_models() if not names or {model.family, model.id} & {*names}]
    plain = calls is FAMILY_CALLS
    return [Table(version, rows, calls, has_examples=plain) for version in transformers or defects.versions()]


def tables(of: Sequence[Table] = ()) -> str:
    """Return for each table a row for each family, with its classifier and bare; upstream's examples; then a legend.

    A column stands for releases that are alike in all rows. Without tables, all that is recorded is told.
    """
    of = of or recorded()
    every = [(table, table.rows) for table in of]
    found = [support for _, rows in every for row in rows.values() for support in row.values()]
    letters = dict(zip(dict.fromkeys(id_ for support in found for id_ in support.defects), ascii_letters, strict=False))
    ways = {way for _, rows in every for _, way in rows}
    return render(
        "support.txt.j2",
        tables=[
            _table(title, part, letters) for table, rows in every for title, part in _parts(table.transformers, rows)
        ],
        sizes=[fill(table.sizes, examples.WIDTH) for table in of if table.sizes],
        has_documented=Way.DOCUMENTED in ways,
        newest=builds.RELEASES[-1],
        examples=examples.lines({table.transformers: table.told for table in of}),
        states=[words for state, (_, words) in _STATES.items() if words and state in {one.state for one in found}],
        titles=[
            fill(f"{letter}  {id_}: {_words(id_)}", examples.WIDTH, subsequent_indent="   ")
            for id_, letter in letters.items()
        ],
    ).rstrip()


def _words(id_: str) -> str:
    return _OTHERS.get(id_) or defects.defect(id_).title


def _title(model: models.Model, way: Way) -> str:
    bare = ", bare" if not model.labels and model.traits.head else ""
    return f"{model.traits.title}{bare}{_WAYS[way]}"


def _parts(version: str, rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Yield a title and rows: those of the plain calls, and those of upstream's examples, if there are any."""
    examples = {row: found for row, found in rows.items() if row[1] is Way.EXAMPLE}
    yield f"transformers {version}", {row: found for row, found in rows.items() if row not in examples}
    if examples:
        yield f"as upstream's example, transformers {version}", examples


def _told(rows: Rows) -> Rows:
    """Leave out a bare network's row if it equals that of the network with its classifier."""
    whole = {(model.family, way): found for (model, way), found in rows.items() if model.labels}
    return {
        (model, way): found
        for (model, way), found in rows.items()
        if model.labels or whole.get((model.family, way)) != found
    }


def _table(title: str, rows: Rows, letters: Mapping[str, str]) -> str:
    rows = _told(rows)
    columns = [["", "", *(_title(model, way) for model, way in rows)]]
    for _, alike in groupby(next(iter(rows.values())), lambda release: [states[release] for states in rows.values()]):
        first, *others = alike
        marks = (
            _STATES[states[first].state][0].format("".join(sorted(letters[id_] for id_ in states[first].defects)))
            for states in rows.values()
        )
        minor, _, patch = first.rpartition(".")
        columns.append([minor, f".{patch}+" if others else f".{patch}", *marks])
    padded = ([cell.ljust(max(map(len, column))) for cell in column] for column in columns)
    return "\n".join([title, *(f"{name}  {' '.join(row)}".rstrip() for name, *row in zip(*padded, strict=True))])
