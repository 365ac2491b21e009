"""`headcount report-upstream`: a known defect as the text of an issue for Torch-Pruning's tracker."""

from pathlib import Path

from headcount import bisect, builds, canary, defects, errors, invocation, isolation, reproduce
from headcount.cli import shared
from headcount.report import bisection, console, upstream

add = shared.command(
    "report-upstream",
    "print a known defect as the text of an issue: versions, a file that shows it, what is expected, since when",
    shared.option("which", metavar="DEFECT", help="410, or a defect's id: see headcount history"),
    shared.option("--repo", type=Path, metavar="CLONE", help="find the commit that brought it; it is not touched"),
    shared.option("-o", "--output", type=Path, metavar="FILE", help="a new file (default: print it)"),
    more="""Its file is run first, on the release that it names. The text holds what that printed.""",
    examples=(
        "layernorm-order",
        "410 --repo ../Torch-Pruning",
        "layernorm-order -o issue.md",
    ),
    exit_codes=shared.EXIT_CODES_WRITTEN,
)


def run(options: shared.Options) -> int:
    shared.check_new(options.output)
    defect = reproduce.find(options.which)
    clone = builds.Clone(options.repo) if options.repo else None
    with isolation.Cache() as cache, canary.Engine(cache=cache) as engine:
        shown = _shown(engine, defect)
        culprit = _culprit(engine, defect, clone) if clone else ""
    text = upstream.issue(defect, shown, culprit)
    shared.hand_over(options.output, text, f"the text of an issue; attach {shown.name}")
    return errors.ExitCode.CLEAN


def _shown(engine: isolation.Engine, defect: defects.Defect) -> upstream.Shown:
    """Run a defect's own file.

    Raises:
        UnprovenError: it does not show the defect here.
    """
    path, release = defects.REPRODUCERS / defect.reproducer.file, defect.reproducer.bad
    if not path.is_file():
        raise errors.HeadcountError(f"{path} is not there", "run this from a checkout of the repository")
    done = engine.run_script(builds.prepare(builds.parse(release), say=console.say), path, recall=True)
    if done.status != 1:
        raise reproduce.UnprovenError(
            f"{path.name} does not show it on {release}: it ends with {done.status} and says {done.said!r}",
            f"{invocation.command(f'reproduce {defect.id}')} runs it",
        )
    return upstream.Shown(path.name, path.read_text("utf-8"), release, done)


def _culprit(engine: isolation.Engine, defect: defects.Defect, clone: builds.Clone) -> str:
    """Return the commit that brought it. The search covers the releases around its first."""
    first = min(map(builds.RELEASES.index, defects.releases_of(defect.id)))
    if not first:
        return f"It shows in {builds.RELEASES[0]} already, the first release that is tested."
    older, newer = (f"v{release}" for release in builds.RELEASES[first - 1 : first + 1])
    span = bisect.commits(clone, older, newer)
    prober = bisect.Prober(engine, bisect.by_defect(defect), span)
    prober.narrow(prober.answer(span.points[-1]))
    found = bisect.scan(prober, bisect.Find.INTRODUCED)
    commits = [f"`{span.commits[change.point].short}` {span.commits[change.point].subject}" for change in found.changes]
    return "; ".join((bisection.answer(found, clone), *commits))
