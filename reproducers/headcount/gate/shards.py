"""From the results of a gate, of one machine or the shards of several, to its verdict."""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from headcount import environment, errors, matrix, oracle, results, untrusted, wording
from headcount.gate import plan
from headcount.gate.compare import Change, Difference, Ending, GateVerdict, compare, is_fine
from headcount.gate.exercise import Exercised
from headcount.gate.plan import Header

#: What shards of one run have in common, and what is wrong with others.
_DIFFERENCES = {
    "builds": "different builds",
    "shards": "gates with different numbers of shards",
    "strict": "gates with --strict and without",
    "api_breaks": "gates that found different public names",
    "chosen": "gates of different cells",
    "seed": "gates with different seeds",
    "require_exercised": "gates with --require-exercised and without",
}

#: A base and a candidate, or both with copies of them.
_BUILDS = (2, 4)

_PRUNERS = "|".join(matrix.Pruner)

#: The path of a name that a cell's call uses: a pruner's parameter, a pruner, or a criterion.
_USED = re.compile(rf"\b({_PRUNERS}|BasePruner)\b.*\(|^[^(]*(\b({_PRUNERS})|Importance)$")


def summed_up(shards: Sequence[results.Results], *, strict: bool = False) -> GateVerdict:
    """Return the verdict on a run's results: of one machine, or the shards of several.

    Args:
        strict: a change fails too, though the run did not say so.

    Raises:
        UsageError: they are not all shards of one run: one is missing, cut off, there twice, or of another run.
    """
    whole = results.merge(shards)
    headers, endings = _headers(shards), _endings(shards)
    base, candidate, *mended = whole.header.builds
    before, after, *hidden = ([r for r in whole.rows if r.build == build.label] for build in (base, candidate, *mended))
    meant = {
        re.findall(r"\w+", each.path)[-1]
        for each in headers[0].api_breaks
        if each.removed and each.allowed and _USED.search(each.path)
    }
    ending = merged(endings, [doubt for header in headers for doubt in header.doubts])
    differences = compare(before, after, {cell.id: cell.config.uses(meant) for cell in _run_by(headers[0])})
    differences = tuple(_as_drawn(each) if each.cell in ending.drawn else each for each in differences)
    return GateVerdict(
        base,
        candidate,
        whole.header.environment,
        _uncovered(differences, compare(hidden[0], hidden[1])) if hidden else differences,
        headers[0].api_breaks,
        ending,
        strict or headers[0].strict,
        bool(headers[0].chosen),
        headers[0].seed,
        headers[0].require_exercised,
    )


def judged_again(shards: Sequence[results.Results]) -> int:
    """Judge every row once more from what was observed, and return how many there are.

    Raises:
        UsageError: a row says something else, or the shards are another Headcount's.
    """
    if any(shard.header.harness != environment.harness_digest() for shard in shards):
        raise errors.UsageError("the results are another Headcount's", "merge with the one that the shards were run by")
    rows = [row for shard in shards for row in shard.rows]
    for row in rows:
        with _of_a_gate():
            verdict = oracle.judge(matrix.Cell.parse(row.cell), row.seen)
        if verdict != row.verdict:
            raise errors.UsageError(
                f"{row.build}, {row.cell}: the row says {wording.verdict(row.verdict)}, and what was observed is "
                f"{wording.verdict(verdict)}",
                "it was edited, or damaged: run its shard again",
            )
    return len(rows)


def doubts(shard: results.Results) -> tuple[str, ...]:
    """Return what keeps a gate's results from being green; () for other results.

    Raises:
        UsageError: its end is none of a gate's.
    """
    return _endings([shard])[0].doubts if shard.footer and shard.footer.gate else ()


def _uncovered(differences: Sequence[Difference], mended: Sequence[Difference]) -> tuple[Difference, ...]:
    """Return what became of each cell; of one that fails on both, what known defects hide, if that got worse."""
    worse = {
        each.cell: replace(each, mended=True) for each in mended if each.change in (Change.REGRESSED, Change.FLAKY)
    }
    return tuple(worse.get(each.cell, each) for each in differences)


def _as_drawn(difference: Difference) -> Difference:
    """Return what became of a random call: of one that the base does not finish, nothing can be said."""
    base = difference.base
    lost = difference.change is Change.INDETERMINATE and base is not None and not is_fine(base)
    return replace(difference, change=Change.NOT_COMPARED) if lost else difference


def _endings(shards: Sequence[results.Results]) -> list[Ending]:
    """Return what each shard's run adds to its rows.

    Raises:
        UsageError: one has none.
    """
    with _of_a_gate():
        return [untrusted.checked(Ending, shard.footer.gate, "the gate's end") for shard in shards if shard.footer]


@contextmanager
def _of_a_gate() -> Generator[None]:
    """Refuse results that a gate would not have written.

    Raises:
        UsageError: they cannot be read as such.
    """
    try:
        yield
    except (ValueError, ZeroDivisionError) as error:
        raise errors.UsageError(f"these are no results of a gate: {error}", "give those of headcount gate") from error


def merged(endings: Sequence[Ending], doubts: Sequence[str]) -> Ending:
    """Return the endings of all shards as one, with the doubts of their headers."""
    changes = dict[tuple[object, ...], Exercised]()
    for change in (change for ending in endings for change in ending.exercised):
        key = (change.file, change.function, change.first, change.last, change.gone, change.kind)
        known = changes.get(key)
        cells = (*known.cells, *change.cells) if known else change.cells
        changes[key] = replace(
            change,
            cells=cells,
            differ=change.differ + (known.differ if known else 0),
            why="" if cells else change.why,
        )
    return Ending(
        tuple(dict.fromkeys([*doubts, *(doubt for ending in endings for doubt in ending.doubts)])),
        {failure: text for ending in reversed(endings) for failure, text in ending.reproducers.items()},
        tuple(changes.values()),
        tuple(id_ for ending in endings for id_ in ending.traced),
        {id_: names for ending in endings for id_, names in ending.functions.items()},
        tuple(id_ for ending in endings for id_ in ending.drawn),
        sum(ending.draws for ending in endings),
    )


def _run_by(header: Header) -> list[matrix.Cell]:
    """Return what all shards of a run together run.

    Raises:
        UsageError: a cell that was named is none.
    """
    with _of_a_gate():
        return [matrix.Cell.parse(id_) for id_ in header.chosen] or plan.every_cell()


def _headers(shards: Sequence[results.Results]) -> list[Header]:
    """Return what the shards say of the gate.

    Raises:
        UsageError: they are not all shards of one run.
    """
    with _of_a_gate():
        headers = [untrusted.checked(Header, shard.header.gate, "the gate's header") for shard in shards]
    said = [{"builds": s.header.builds, **vars(h)} for s, h in zip(shards, headers, strict=True)]
    for name, difference in _DIFFERENCES.items():
        if any(each[name] != said[0][name] for each in said):
            raise errors.UsageError(f"the results come from {difference}", "merge the shards of one run")
    numbers, wanted = sorted(header.shard for header in headers), range(1, headers[0].shards + 1)
    if missing := next((number for number in wanted if number not in numbers), 0):
        raise errors.UsageError(f"shard {missing} of {len(wanted)} is missing", "give the results of all shards")
    if numbers != [*wanted] or len({build.label for build in shards[0].header.builds}) not in _BUILDS:
        raise errors.UsageError(
            "these are no results of a gate: a shard too many, or not two builds", "give each shard once"
        )
    return headers
