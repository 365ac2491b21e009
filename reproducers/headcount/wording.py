"""English, made from facts. The one place where verdicts, findings and counts become sentences.

Nothing parses what is written here: change any sentence, and no verdict, explanation or exit code changes.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from operator import itemgetter

from headcount import builds, defects, observation, oracle, untrusted

_WEIGHTS = {
    oracle.Problem.GONE: "{where} is gone",
    oracle.Problem.NEW: "{where} is new",
    oracle.Problem.ANOTHER_TENSOR: "{where} is another kind of tensor",
    oracle.Problem.EMPTY: "{where}: nothing is left",
    oracle.Problem.UNKNOWN_VALUES: "{where} has values that are not the dense model's",
    oracle.Problem.MOVED_VALUES: "{where} has values that are not in their place",
    oracle.Problem.FORBIDDEN_CUT: "{where}: {found} are gone where nothing may be pruned",
    oracle.Problem.OTHER_INDICES: "{where} keeps other indices of {place} than its neighbours",
    oracle.Problem.OTHER_HEADS: "{where}: a table is of the heads {found}, its channels are of {allowed}",
    oracle.Problem.ATTRIBUTE: "{where}: its own sizes are {found}, its weight's {allowed}",
    oracle.Problem.ORDER: "{place} is out of order",
}

_SENTENCES = _WEIGHTS | {
    oracle.Problem.BLOCKS: "the pruner reports heads of {found} blocks, not {allowed}",
    oracle.Problem.FORGOTTEN: "the pruner no longer has a head count for {dimension}",
    oracle.Problem.REPORTED: "the pruner reports {found} heads of {dimension}, its {dense} channels are of {allowed}",
    oracle.Problem.UNEVEN_HEADS: "heads of {dimension} keep {found} channels each",
    oracle.Problem.UNLIKE_CHANNELS: "{dimension} keep different channels",
    oracle.Problem.UNLIKE_HEADS: "{dimension} keep different heads",
    oracle.Problem.MULTIPLE: "{found[0]} heads of {found[1]} dims are no multiple of {allowed}",
    oracle.Problem.CHANNEL_RANKING: "{dimension}: a channel went that is more important than one that stays",
    oracle.Problem.TRAINING: "{where}.training: {before} became {after}",
    oracle.Problem.REQUIRES_GRAD: "{where}.requires_grad: {before} became {after}",
    oracle.Problem.DTYPE: "{where}.dtype: {before} became {after}",
    oracle.Problem.HOOKS: "{where} hooks: {before} became {after}",
    oracle.Problem.PATCHED: "{where}'s forward: {before} became {after}",
    oracle.Problem.DEFAULT_DTYPE: "{where}'s default dtype: {before} became {after}",
    oracle.Problem.THREADS: "{where}'s threads: {before} became {after}",
    oracle.Problem.GRAD_MODE: "{where}'s grad mode: {before} became {after}",
    oracle.Problem.PROCESS: "{where}: {before} became {after}",
    oracle.Problem.RANDOM_STATE: "random state: drawn from, or seeded",
    oracle.Problem.CHANNEL_GROUPS: "another pruner's out_channel_groups holds {found} modules of this one's model",
    oracle.Problem.HEAD_RANKING: "head {found[0]} went, the less important head {found[1]} of block {found[2]} stays",
    oracle.Problem.NO_GRADIENT: "a training step leaves {where} without a gradient",
    oracle.Problem.LOST_GRADIENT: "{where} had a gradient, and has not what is left of it after the steps",
    oracle.Problem.NOT_SAVED: "{where} is not in the files that were saved",
    oracle.Problem.OTHER_WAY: "{where}: interactive pruning, group by group, leaves another than pruner.step() alone",
    oracle.Problem.GROUP_RANKING: "all that read head {found[0]} of keys went, the less important of {found[1]} stay",
}


def reason(verdict: oracle.Verdict) -> str:
    """Say why in one printable line; "" where it is fine."""
    match verdict:
        case oracle.Verdict(failure=observation.Failure() as raised):
            return failure(raised)
        case oracle.Verdict(finding=oracle.Finding() as broken):
            return untrusted.clean(finding(broken))
        case oracle.Verdict(ending=observation.Ending.FINISHED, detail=cannot):
            own = (
                f"the dense model cannot do it either: {cannot}" if cannot else "this model's own code has sizes fixed"
            )
            return untrusted.clean(f"no pruner can do more: {own}")
        case oracle.Verdict(ending=observation.Ending() as ending) if ending.value != verdict.kind.value:
            return untrusted.clean(f"{ending}: {verdict.detail}")
        case oracle.Verdict(ending=observation.Ending()):  # the kind says it already
            return untrusted.clean(verdict.detail)
        case _:
            return ""


def verdict(found: oracle.Verdict) -> str:
    """Say the kind and the reason."""
    return ": ".join(filter(None, (str(found.kind), reason(found))))


def failure(found: observation.Failure) -> str:
    """Say what was raised, when and where, in one printable line."""
    where = f" in {found.frame}" if found.frame else ""
    return untrusted.clean(f"{found.exception} at {found.phase}{where}: {found.first_line}")


def script_run(run: observation.ScriptRun) -> str:
    """Say how a script ended, and what it said last; of a failure, also where it arose."""
    match run.status:
        case 0:
            return run.said
        case 1 if observation.MACHINES_FAULT.search(run.raised):
            return f"the machine failed it: {run.raised}"
        case 1:
            function = f" in {run.frame.rpartition('.')[2]}" if run.frame else ""
            return f"{run.said}{function}" + (f" at line {', '.join(map(str, run.lines))}" if run.lines else "")
        case None:
            return f"killed: {run.said}"
        case observation.CANNOT_BE_TESTED:
            return f"exits with {run.status}: {run.said}"
        case _:
            return f"exits with {run.status}, which says nothing: {run.said}"


def finding(found: oracle.Finding) -> str:
    """Say what is broken, where, and what should be."""
    block = f"block {found.block}: " if found.block is not None else ""
    place = found.dimension if found.block is None else f"{found.dimension}.{found.block}"
    if found.where and found.problem is oracle.Problem.COUNT:  # of a user's own network
        block, place = f"{found.where}: ", f"{found.where}"
    if found.problem is oracle.Problem.OUTPUT:
        return f"the output differs from the masked dense model's by {found.found[0] / 1e6:.1e} of its size"
    if found.problem is oracle.Problem.OTHER_OUTPUT:
        return f"the output is another after what the user did: it differs by {found.found[0] / 1e6:.1e} of its size"
    if found.problem in (oracle.Problem.COUNT, oracle.Problem.TOTAL):
        return f"{_left(found, block, place)}, {counts(found.allowed)} should be: {found.side}"
    before, _, after = found.dimension.partition(">")
    words = _SENTENCES[found.problem].format(
        where=found.where,
        place=place,
        dimension={"qk": "q and k", "vo": "v and o", "qv": "q and v"}.get(found.dimension, found.dimension),
        found=_listed(found.found),
        allowed=_listed(found.allowed),
        dense=found.dense,
        before=before,
        after=after,
    )
    more = f" and {found.more} more" if found.more else ""
    return f"weights do not fit together: {words}{more}" if found.problem in _WEIGHTS else block + words + more


def _left(found: oracle.Finding, block: str, place: str) -> str:
    count, dimension = found.found[0], found.dimension
    are = "is" if count == 1 else "are"
    if found.problem is oracle.Problem.TOTAL:
        what = dimension.replace("+", " + ")
        heads = what.startswith("heads")
        return f"{number(count, 'head')} {are} left in all" if heads else f"{what}: {count} {are} left in all"
    counted = {
        "heads": f"{block}{number(count, 'head')} {are} left",
        "dims": f"{block}heads have {number(count, 'dim')}",
    }
    return counted.get(dimension, f"{place}: {number(count, 'channel')} {are} left")


def _listed(numbers: Sequence[int]) -> int | list[int]:
    return numbers[0] if len(numbers) == 1 else list(numbers)


def counts(allowed: Collection[int]) -> str:
    """Say which counts are allowed: `4`, `3 to 5`, `0 or 6`."""
    low, high = min(allowed), max(allowed)
    is_range = 1 < len(allowed) == high - low + 1
    return f"{low} to {high}" if is_range else " or ".join(map(str, sorted(allowed)))


def count_name(count: oracle.Count) -> str:
    """Name a count: `heads, block 0`, `width`, `mlp.0 + mlp.1 in all`."""
    if count.scope:
        return f"{' + '.join(_spans(sorted(count.dimensions, key=_place), _place))} in all"
    named = {"heads": "heads", "dims": "head dim"}.get(count.dimension)
    return f"{named}, block {count.block}" if named else count.dimensions[0]


def _spans(names: Sequence[str], place: Callable[[str], tuple[str, int]]) -> list[str]:
    """Return names, neighbours of one kind as one: `heads.0 to heads.11`.

    Args:
        place: returns a name's kind, and its number in that kind.
    """
    # In a run of neighbours, the number grows as the index does.
    offsets = [(kind, number - index) for index, (kind, number) in enumerate(map(place, names))]
    runs = [[*run] for _, run in groupby(zip(names, offsets, strict=True), itemgetter(1))]
    return [run[0][0] if len(run) == 1 else f"{run[0][0]} to {run[-1][0]}" for run in runs]


def _place(dimension: str) -> tuple[str, int]:
    kind, _, block = dimension.partition(".")
    return kind, int(block or 0)


def explanation(found: defects.Explanation) -> str:
    """Say which known defect it is, or looks like."""
    if found.defect:
        return f"{found.defect}: {defects.defect(found.defect).title}"
    if found.looks_like:
        return f"looks like {' or '.join(found.looks_like)}"
    return "no known defect explains it"


def number(count: int, thing: str) -> str:
    """Return how many there are: "1 call", "2 calls"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def ranges(releases: Sequence[str]) -> str:
    """Say which releases: `1.3.1 to 1.4.0, 1.4.2`; other builds one by one."""
    order = builds.ordered(releases)
    if not {*releases} <= {*order}:
        return ", ".join(releases)
    return ", ".join(_spans(releases, lambda release: ("", order.index(release))))


def released(found: builds.Released) -> str:
    """Say of what day the list of releases is, which are new, and which are left out."""
    said = [f"releases as of {found.day}"]
    if found.problem:
        said.append(f"the package index does not answer: {found.problem}")
    if found.new:
        said.append(f"new, and not recorded: {', '.join(found.new)}")
    if found.left_out:
        said.append(f"left out: {', '.join(f'{version} ({why})' for version, why in found.left_out.items())}")
    return "; ".join(said)
