"""Which release to take for one call: what each does with it, for the terminal, and the same as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from headcount import builds, defects, environment, examine, matrix, oracle, untrusted, wording
from headcount.oracle.expectation import prunes_heads
from headcount.report.markdown import render

#: Known defects of the release to take that are told in words.
_TOLD = 5

#: Release -> what it does with the call.
Trials = Mapping[str, examine.Examined]


@dataclass(frozen=True)
class Workaround:
    """Ways to do the call right on a release that does it wrong. Each was run, and is right.

    Attributes:
        changes: options of `headcount which`, one of which is enough.
        remedies: the defects that must be mended, all of them.
    """

    release: str
    changes: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


def is_untouched(found: examine.Examined) -> bool:
    """Return whether all heads are left where some were to go, and no sentence forbids it."""
    config, heads = found.cell.config, found.cell.model.block_heads
    ranked = sum(heads) if config.global_pruning else max(heads)
    asked = prunes_heads(config) and not config.skips_attention
    goes = asked and ranked * config.head_pruning_ratio >= 1  # however the ratio is rounded
    if found.verdict.kind is not oracle.Kind.OK or not goes:
        return False
    left = oracle.counts_left(oracle.expect(found.cell), found.observation)
    return all(left[f"heads.{block}"] == count for block, count in enumerate(heads))


def right(trials: Trials) -> list[str]:
    """Return the releases that do with the call what it is made for."""
    return [r for r, found in trials.items() if found.verdict.kind is oracle.Kind.OK and not is_untouched(found)]


def advice(cell: matrix.Cell, trials: Trials, stay: Workaround | None = None) -> str:
    """Return which release to take, and what each does with the call. Neighbours that do the same share a line.

    Args:
        stay: how to stay on a release that does it wrong.
    """
    runs = [list(run) for _, run in groupby(trials, lambda release: _likeness(trials[release]))]
    return render(
        "advice.txt.j2",
        {
            "ranges": wording.ranges,
            "reason": wording.reason,
            "explanation": wording.explanation,
            "number": wording.number,
        },
        cell=cell,
        runs=[(run, trials[run[0]], is_untouched(trials[run[0]])) for run in runs],
        untouched=[release for release, found in trials.items() if is_untouched(found)],
        good=right(trials),
        known=_known_defects(trials),
        told=_TOLD,
        list=wording.released(builds.released()),
        stay=stay,
    ).rstrip()


def to_json(cell: matrix.Cell, trials: Trials, stay: Workaround | None = None) -> dict[str, object]:
    """Return the same as plain values."""
    return {
        "cell": cell.id,
        "environment": dict(environment.environment()),
        "releases_as_of": builds.released().day,
        "releases": {
            release: {
                "verdict": found.verdict.kind,
                "reason": wording.reason(found.verdict),
                "defect": found.explanation.defect or None,
                "looks_like": list(found.explanation.looks_like),
                "untouched": is_untouched(found),
            }
            for release, found in trials.items()
        },
        "right": right(trials),
        "take": next(reversed(right(trials)), None),
        "to_stay": untrusted.plain(stay) if stay else None,
        "known_defects_of_it": [defect.id for defect in _known_defects(trials)],
    }


def _likeness(found: examine.Examined) -> tuple[object, ...]:
    return found.verdict.signature, found.verdict.found, found.explanation, is_untouched(found)


def _known_defects(trials: Trials) -> list[defects.Defect]:
    """Return the known defects of the release to take, the worst first; none if there is no such release."""
    shown = defects.recorded(environment.environment()["transformers"]).releases
    best = next(reversed(right(trials)), "")
    known = [defect for defect in defects.DEFECTS if best in shown.get(defect.id, ())]
    return sorted(known, key=lambda defect: defect.severity)
