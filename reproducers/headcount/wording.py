"""English, made from facts. The one place where verdicts, findings and counts become sentences.

Nothing parses what is written here: change any sentence, and no verdict, explanation or exit code changes.
"""

from collections.abc import Collection, Sequence

from headcount import builds, observation, oracle, untrusted
from headcount.defects import Explanation, defect

_CANNOT_RUN = "no pruner can do more: this model's own code has sizes fixed"

_PAIRS = {"qk": "q and k", "vo": "v and o", "qv": "q and v"}

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

_SENTENCES = {
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
    oracle.Problem.CHANNEL_GROUPS: "another pruner's out_channel_groups holds {found} modules of this one's model",
    oracle.Problem.HEAD_RANKING: "head {found[0]} went, the less important head {found[1]} of block {found[2]} stays",
    oracle.Problem.GROUP_RANKING: "all that read head {found[0]} of keys went, the less important of {found[1]} stay",
}


def reason(verdict: oracle.Verdict) -> str:
    """Say why in one printable line; "" where it is fine."""
    if verdict.failure is not None:
        return failure(verdict.failure)
    if verdict.finding is not None:
        return untrusted.clean(finding(verdict.finding))
    if verdict.ending is None:
        return ""
    if verdict.ending is observation.Ending.FINISHED:
        return _CANNOT_RUN
    said_twice = verdict.ending.value == verdict.kind.value
    return untrusted.clean(verdict.detail if said_twice else f"{verdict.ending}: {verdict.detail}")


def verdict(found: oracle.Verdict) -> str:
    """Say the kind and the reason."""
    return ": ".join(filter(None, (str(found.kind), reason(found))))


def failure(found: observation.Failure) -> str:
    """Say what was raised, when and where, in one printable line."""
    where = f" in {found.frame}" if found.frame else ""
    first = found.message.strip().partition("\n")[0]
    return untrusted.clean(f"{found.exception} at {found.phase}{where}: {first}")


def script_run(run: observation.ScriptRun) -> str:
    """Say how a script ended, and what it said last; of a failure, also where it arose."""
    if run.status == 1 and observation.MACHINES_FAULT.search(run.raised):
        return f"the machine failed it: {run.raised}"
    if run.status == 1:
        function = f" in {run.frame.rpartition('.')[2]}" if run.frame else ""
        return f"{run.said}{function}" + (f" at line {', '.join(map(str, run.lines))}" if run.lines else "")
    if run.status == 0:
        return run.said
    nothing = "" if run.status == observation.CANNOT_BE_TESTED else ", which says nothing"
    return f"{'killed' if run.status is None else f'exits with {run.status}{nothing}'}: {run.said}"


def finding(found: oracle.Finding) -> str:
    """Say what is broken, where, and what should be."""
    block = f"block {found.block}: " if found.block is not None else ""
    place = found.dimension if found.block is None else f"{found.dimension}.{found.block}"
    if found.problem in _WEIGHTS:
        more = f" and {found.more} more" if found.more else ""
        words = _WEIGHTS[found.problem].format(
            where=found.where, place=place, found=_listed(found.found), allowed=_listed(found.allowed)
        )
        return f"weights do not fit together: {words}{more}"
    if found.problem is oracle.Problem.OUTPUT:
        return f"the output differs from the masked dense model's by {found.found[0] / 1e6:.1e} of its size"
    if found.problem in (oracle.Problem.COUNT, oracle.Problem.TOTAL):
        return _miscount(found, block, place)
    before, _, after = found.dimension.partition(">")
    return block + _SENTENCES[found.problem].format(
        where=found.where,
        dimension=_PAIRS.get(found.dimension, found.dimension),
        found=list(found.found) if len(found.found) > 1 else _listed(found.found),
        allowed=_listed(found.allowed),
        dense=found.dense,
        before=before,
        after=after,
    )


def _miscount(found: oracle.Finding, block: str, place: str) -> str:
    count, should = found.found[0], f"{counts(found.allowed)} should be: {found.side}"
    if found.problem is oracle.Problem.TOTAL and found.dimension.startswith("heads"):
        return f"{count} heads are left in all, {should}"
    if found.problem is oracle.Problem.TOTAL:
        return f"{found.dimension.replace('+', ' + ')}: {count} are left in all, {should}"
    if found.dimension == "heads":
        return f"{block}{count} heads are left, {should}"
    if found.dimension == "dims":
        return f"{block}heads have {count} dims, {should}"
    return f"{place}: {count} channels are left, {should}"


def _listed(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else str(list(numbers))


def counts(allowed: Collection[int]) -> str:
    """Say which counts are allowed: `4`, `3 to 5`, `0 or 6`."""
    low, high = min(allowed), max(allowed)
    if low == high:
        return str(low)
    return f"{low} to {high}" if len(allowed) == high - low + 1 else " or ".join(map(str, sorted(allowed)))


def count_name(count: oracle.Count) -> str:
    """Name a count: `heads, block 0`, `width`, `mlp.0 + mlp.1 in all`."""
    if count.scope:
        return f"{' + '.join(_spans(count.dimensions))} in all"
    named = {"heads": "heads", "dims": "head dim"}.get(count.dimension)
    return f"{named}, block {count.block}" if named else count.dimensions[0]


def _spans(dimensions: Sequence[str]) -> list[str]:
    """Return dimensions with those of neighbouring blocks as one: `heads.0 to heads.11`."""
    runs: list[list[str]] = []
    for dimension in sorted(dimensions, key=_place):
        (kind, block), last = _place(dimension), _place(runs[-1][-1]) if runs else ("", 0)
        if last == (kind, block - 1):
            runs[-1].append(dimension)
        else:
            runs.append([dimension])
    return [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]


def _place(dimension: str) -> tuple[str, int]:
    kind, _, block = dimension.partition(".")
    return kind, int(block or 0)


def explanation(found: Explanation) -> str:
    """Say which known defect it is, or looks like."""
    if found.defect:
        return f"{found.defect}: {defect(found.defect).title}"
    if found.looks_like:
        return f"looks like {' or '.join(found.looks_like)}"
    return "no known defect explains it"


def ranges(releases: Sequence[str]) -> str:
    """Say which releases: `1.3.1 to 1.4.0, 1.4.2`."""
    runs: list[list[str]] = []
    for release in releases:
        if runs and builds.RELEASES.index(runs[-1][-1]) == builds.RELEASES.index(release) - 1:
            runs[-1].append(release)
        else:
            runs.append([release])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
