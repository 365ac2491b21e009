"""The text of an issue for upstream's tracker: a known defect, and a file that has just shown it."""

from dataclasses import dataclass

from headcount import builds, defects, environment, observation, wording
from headcount.report.markdown import render


@dataclass(frozen=True)
class Shown:
    """A file that has shown a defect: its name, its text, the release that it was run with, and what it did."""

    name: str
    text: str
    release: str
    done: observation.ScriptRun


def issue(defect: defects.Defect, shown: Shown, culprit: str = "") -> str:
    """Return the text, as Markdown.

    Args:
        culprit: since which commit; "" where that was not searched for.
    """
    affected = [each for each in builds.RELEASES if each in defects.releases_of(defect.id)]
    return render(
        "upstream.md.j2",
        defect=defect,
        release=shown.release,
        versions=_versions(),
        affected=wording.ranges(affected),
        is_open=affected[-1] == builds.RELEASES[-1],
        seen=wording.script_run(shown.done),
        command=f"python {shown.name}",
        script=shown.text,
        culprit=culprit,
    )


def _versions() -> dict[str, str]:
    known = environment.environment()
    return {name: known[name] for name in ("python", "torch", "transformers") if name in known}
