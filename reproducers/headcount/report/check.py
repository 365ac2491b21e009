"""What builds do with a user's own network, for the terminal, and the same as plain values."""

from collections.abc import Collection, Sequence
from itertools import groupby

from packaging.version import Version

from headcount import builds, check, defects, environment, oracle, untrusted, wording
from headcount.observation import Ending
from headcount.report.markdown import render

#: Findings of one build that are told in words.
_TOLD = 4

#: Groups of channels that are listed.
_SHOWN = 6


def newest(found: Sequence[check.Checked]) -> check.Checked:
    """Return the newest of some builds: that of the highest version, and of several the last that was named."""
    return max(reversed(found), key=_age)


def _age(found: check.Checked) -> Version:
    return Version(found.build.version)


def text(file: check.File, found: Sequence[check.Checked]) -> str:
    """Return what builds do with a file, neighbours that do the same together, and which to take."""
    runs = [list(run) for _, run in groupby(found, _likeness)]
    last = newest(found)
    return render(
        "check.txt.j2",
        {"name": _names, "clean": untrusted.clean},
        file=file,
        runs=[(run, run[0], state(run[0].judgement), reasons(run[0].judgement), _known(run)) for run in runs],
        right=sorted((each for each in found if each.judgement.is_right), key=_age),
        every=len(found) >= len(builds.RELEASES),
        failed=any(each.judgement.verdict.is_failure for each in found),
        releases={each.build.label for each in found} <= {*builds.ordered(each.build.label for each in found)},
        looked_at=_looked_at(last) if last.sight.observation.ending is Ending.FINISHED else [],
        updated=_updated([last]),
        refused=[name for pruned in last.sight.pruned for name in pruned.refused],
        undecided=last.judgement.undecided,
        open=[*dict.fromkeys(last.judgement.open)],
        last=last,
    ).rstrip()


def compared(found: Sequence[check.Compared]) -> str:
    """Return what became of users' networks in a candidate."""
    lines = [f"users' networks, {wording.number(len(found), 'file')}:"]
    for each in found:
        now = state(each.candidate.judgement)
        lines.append(f"  {each.file.name}: {each.became}: {now}")
        lines += [f"    {wording.verdict(verdict)}" for verdict in each.new[:_TOLD]]
    return "\n".join(lines)


def reasons(judgement: check.Judgement) -> list[str]:
    """Return the ways in which it fails in words, the first first; what is more than a few is counted."""
    words = [wording.verdict(verdict) for verdict in judgement.verdicts]
    more = len(words) - _TOLD
    return [*words[:_TOLD], *[f"and {more} more"] * (more > 0)]


def looks_like(verdict: oracle.Verdict, labels: Collection[str]) -> tuple[str, ...]:
    """Return the known defects that a failure of these releases looks like."""
    found = tuple(
        defect.id
        for defect in defects.DEFECTS
        if defects.releases_of(defect.id) & {*labels} and any(pattern.matches(verdict) for pattern in defect.signature)
    )
    # What the call must have for a defect is not known here: an exception that several share tells none of them.
    told = verdict.failure is not None or verdict.kind is oracle.Kind.TIMEOUT
    return found if told and len(found) == 1 else ()


def to_json(file: check.File, found: Sequence[check.Checked]) -> dict[str, object]:
    """Return the same as plain values."""
    return {
        "file": file.options,
        "environment": dict(environment.environment()),
        "builds": {
            each.build.label: {
                "verdict": each.judgement.verdict.kind,
                "reasons": [wording.verdict(verdict) for verdict in each.judgement.verdicts],
                "looks_like": list(_known([each])),
                "undecided": list(each.judgement.undecided),
                "not_judged": list(each.judgement.open),
                "refused": [name for pruned in each.sight.pruned for name in pruned.refused],
            }
            for each in found
        },
        "right": [each.build.label for each in found if each.judgement.is_right],
    }


def state(judgement: check.Judgement) -> str:
    """Return in a word what a build does."""
    kind = judgement.verdict.kind
    if kind is oracle.Kind.OK:
        return "not judged" if judgement.undecided else "right"
    return str(kind)


def _known(run: Sequence[check.Checked]) -> tuple[str, ...]:
    return looks_like(run[0].judgement.verdict, {each.build.label for each in run})


def _likeness(found: check.Checked) -> tuple[object, ...]:
    verdict = found.judgement.verdict
    return verdict.signature, verdict.found, state(found.judgement)


def _names(run: Sequence[check.Checked]) -> str:
    return wording.ranges([each.build.label for each in run])


def _looked_at(found: check.Checked) -> list[str]:
    """Return what was judged, in words."""
    pruned = found.sight.pruned
    attentions = [attention for each in pruned for attention in each.attentions]
    groups = [dimension for each in pruned for dimension in each.dimensions if not dimension.attention]
    words = [wording.number(len(attentions), "attention")] if attentions else ["no attention was found"] * bool(groups)
    for attention in attentions[:3]:
        left = len(attention.listed[0].left[0]) if attention.listed[0].left else 0
        words.append(f"  {attention.listed[0].layer}: {attention.heads} heads, {left} left")
    words += [f"  {d.layer}: {d.size} channels, {d.left} left" for d in groups[:_SHOWN]]
    more = len(groups) - _SHOWN
    return [*words, *[f"  and {more} more groups of channels"] * (more > 0)]


def _updated(found: Sequence[check.Checked]) -> str:
    words = [words for each in found for pruned in each.sight.pruned for words in pruned.updated]
    return next(iter(words), "")
