"""`headcount explore`: random valid calls, and what nobody has explained in them."""

from collections.abc import Iterator
from pathlib import Path

from headcount import builds, errors, examine, explore, oracle, reproduce, results
from headcount.cli import shared
from headcount.models import FAMILIES
from headcount.report import console, exploration

option = shared.option

#: Calls that are drawn where neither a number nor a time is given.
_DRAWS = 300

add = shared.command(
    "explore",
    "run random valid calls, and shrink what nothing explains",
    option("--build", default=builds.RELEASES[-1], metavar="BUILD", help="what to prune with (default: %(default)s)"),
    shared.either(
        option("--draws", type=shared.size, metavar="N", help=f"how many calls (default: {_DRAWS})"),
        option("--seconds", type=shared.seconds, metavar="S", help="for how long to draw calls"),
    ),
    option("--seed", type=int, default=1, metavar="N", help="other calls for each (default: %(default)s)"),
    option("--model", action="append", default=[], metavar="FAMILY", help="of this family, or all (default: vit)"),
    option("--against", metavar="BASE", help="say what differs from this build, in place of what is unexplained"),
    option("--fresh", action="store_true", help="run again what was observed before"),
    option("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s"),
    more="""Draws valid calls over all parameters and sizes, for a seed the same ones on every machine; runs and judges
them. A call that fails is explained if the remedy of a known defect cures it. What no remedy cures is grouped, and
shrunk to the smallest call of each kind, with a file that shows it and an entry for the catalogue to fill in.
The same call again goes on where it was interrupted: what was run is kept.""",
    exit_codes="""exit codes: 0 all is explained, or nothing differs; 1 something is not, or differs; 2 the call was
wrong; 3 the build cannot be tested; 4 the set-up failed; 130 interrupted.""",
)


def run(options: shared.Options) -> int:
    unknown = sorted({*options.model} - {*FAMILIES, "all"})
    shared.refuse((unknown, f"no such family: {', '.join(unknown)}", f"there are all, {', '.join(FAMILIES)}"))
    families = tuple(FAMILIES) if "all" in options.model else tuple(options.model)
    number = None if options.seconds else options.draws or _DRAWS
    request = explore.Request(options.seed, families, number, options.seconds, recall=not options.fresh)
    build = builds.prepare(builds.parse(options.build), say=console.say)
    base = builds.prepare(builds.parse(options.against), say=console.say) if options.against else None
    path = options.results / f"explore-{build.label}-seed{options.seed}-{results.stamp()}"
    with examine.Pool() as pool:
        ran = _ran(pool, build, request, Path(f"{path}.jsonl"))
        if base is not None:
            return _compared(ran, _ran(pool, base, request, Path(f"{path}-base.jsonl")))
        explored = explore.explained(pool, build, ran)
        shared.out(exploration.summary(explored, options.seed))
        found = []
        for number_, kind in enumerate(_kinds(pool, explored, path), 1):
            found.append(kind)
            shared.out("\n" + exploration.kind(number_, kind, build.label))
    shared.out(f"\nrows: {path}.jsonl")
    if any(one.verdict.kind is oracle.Kind.UNTESTABLE for one in ran):
        return errors.ExitCode.INDETERMINATE
    return errors.ExitCode.REGRESSION if found else errors.ExitCode.CLEAN


def _ran(pool: examine.Pool, build: builds.Overlay, request: explore.Request, path: Path) -> list[examine.Examined]:
    """Run the calls, and write a row of each as it comes.

    Raises:
        SetupError: the rows cannot be written.
    """
    ran = []
    with shared.writes(path), results.Writer(path, [build]) as writer, console.progress(request.number or 0) as steps:
        console.say(f"rows as they come: {path}")
        for found in explore.ran(pool, build, request):
            writer.write(results.Row.of(found))
            ran.append(found)
            steps.done(f"running {build.label}", known=found.observation.recalled)
    return ran


def _kinds(pool: examine.Pool, explored: explore.Explored, path: Path) -> Iterator[exploration.Kind]:
    """Yield what is unexplained, a kind at a time: shrunk, looked for in all releases, with a file and an entry."""
    releases = _releases()
    for number, group in enumerate(explore.kinds(pool, explored), 1):
        file, why = Path(f"{path}-{number}.py"), ""
        try:
            with pool.engine() as engine:
                text = reproduce.emit(engine, explored.build, group.smallest.cell, lambda _: None)
            shared.write_new(file, text)
        except errors.HeadcountError as error:
            why = str(error)
        kind = exploration.Kind(group, explore.where(pool, group, releases), "" if why else str(file), why)
        shared.write_new(Path(f"{path}-{number}-entry.txt"), exploration.entry(kind))
        yield kind


def _releases() -> list[builds.Overlay]:
    return [builds.prepare(builds.parse(release), say=console.say) for release in builds.RELEASES]


def _compared(after: list[examine.Examined], before: list[examine.Examined]) -> int:
    found = explore.differences(before, after)
    lines = [exploration.difference(one) for one in found]
    shared.out("\n".join((*lines, f"{len(lines)} of {len(after)} calls come to something else")))
    return errors.ExitCode.REGRESSION if lines else errors.ExitCode.CLEAN
