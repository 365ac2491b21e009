"""A gate's verdict on a mended release: what is fixed, by the defects' names, and whether anything breaks."""

from collections import Counter
from collections.abc import Iterator, Sequence

from headcount import errors
from headcount.gate import Change, GateVerdict
from headcount.wording import number

#: What became of a cell that a defect failed, and that is not fixed.
_NOT_FIXED = (Change.STILL_FAILING, Change.CHANGED, Change.REGRESSED)


def text(verdict: GateVerdict, chosen: Sequence[str]) -> str:
    """Return what the remedies of these defects fix, and whether they break anything."""
    return "\n".join(_lines(verdict, chosen))


def _lines(verdict: GateVerdict, chosen: Sequence[str]) -> Iterator[str]:
    fixed, left = dict(verdict.fixed), _left(verdict)
    by_itself = {id_: fixed.pop(id_) for id_ in chosen if id_ in fixed}
    yield f"{verdict.candidate.label} fixes {_counted(by_itself) or 'none of these cells'}"
    if fixed:
        yield f"  and cells that others were taken for: {_counted(fixed)}"
    if still := {id_: left[id_] for id_ in chosen if left[id_]}:
        yield f"  does not fix: {_counted(still)}"
    if hidden := [id_ for id_ in chosen if id_ not in by_itself and not left[id_]]:
        yield f"  no cell of the gate shows: {', '.join(hidden)}"
    if others := [count for id_, count in left.items() if id_ not in chosen]:
        count = f"{number(sum(others), 'cell')}, of {number(len(others), 'defect')}"
        yield f"  leaves other failures, which were there before: {count}"
    yield _broken(verdict)


def _left(verdict: GateVerdict) -> Counter[str]:
    """Return how many cells each defect failed before, of those that are not fixed; "" is for what is unexplained."""
    return Counter(
        difference.base.explanation.defect
        for change in _NOT_FIXED
        for difference in verdict.of(change)
        if difference.base is not None and difference.base.verdict.is_failure
    )


def _counted(cells: dict[str, int]) -> str:
    """Return ids with their numbers of cells, the most first."""
    ranked = sorted(cells.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{id_ or 'unexplained'} ({number(count, 'cell')})" for id_, count in ranked)


def _broken(verdict: GateVerdict) -> str:
    match verdict.exit_code:
        case errors.ExitCode.CLEAN:
            fine = verdict.of(Change.STILL_OK) + verdict.of(Change.CHANGED)
            count = sum(one.candidate is not None and not one.candidate.verdict.is_failure for one in fine)
            return f"  breaks nothing: all {count} cells that were fine still are, and no public name is gone"
        case errors.ExitCode.REGRESSION:
            worse, lost = len(verdict.of(Change.REGRESSED)), len(verdict.lost)
            were = "was" if worse == 1 else "were"
            return f"  BREAKS {number(worse, 'cell')} that {were} better, and {number(lost, 'public name')}"
    return "  whether it breaks anything is not known: see above"
