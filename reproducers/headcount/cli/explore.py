"""`headcount explore`: random valid calls, and what nobody has explained in them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from headcount import builds, check, errors, examine, explore, gate, invocation, isolation, oracle, reproduce, results
from headcount.cli import shared
from headcount.models import ENDING, FAMILIES
from headcount.report import console, exploration, own

option = shared.option

#: Calls that are drawn where neither a number nor a time is given.
_DRAWS = 300

#: The same of a user's own network: each takes a process of its own.
_OWN_DRAWS = 100

add = shared.command(
    "explore",
    "run random valid calls, and shrink what nothing explains",
    option("--build", default=builds.RELEASES[-1], metavar="BUILD", help="what to prune with (default: %(default)s)"),
    shared.either(
        option("--draws", type=shared.size, metavar="N", help=f"how many calls (default: {_DRAWS})"),
        option("--seconds", type=shared.seconds, metavar="S", help="for how long to draw calls"),
    ),
    option("--seed", type=int, default=1, metavar="N", help="other calls for each (default: %(default)s)"),
    option(
        "--model",
        action="append",
        default=[],
        metavar="FAMILY|FILE.py[:NAME]",
        help="of this family, or all (default: vit); or on your own network, as check takes it",
    ),
    option("--against", metavar="BASE", help="say what differs from this build, in place of what is unexplained"),
    option("--fresh", action="store_true", help="run again what was observed before"),
    option("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s"),
    more="""Draws valid calls over all parameters and sizes, for a seed the same ones on every machine; runs and judges
them. Eight calls in a row are on one model: 300 are on about 40, but for a few large ones. A call that fails is
explained if the remedy of a known defect cures it. What no remedy cures is grouped, and shrunk to the smallest call
of each kind, with a file that shows it and an entry for the catalogue to fill in.
The same call again goes on where it was interrupted: what was run is kept.
With a file of yours, its whole numbers and the pruner's arguments are drawn, and the file is the first call.""",
    examples=(
        "--build 1.6.1 --draws 300 --seed 7",
        "--against 1.6.0 --model swin",
        "--model mine.py --build 1.6.1",
    ),
    exit_codes="""exit codes: 0 all is explained; 1 something is not; 2 the call was wrong; 3 some calls cannot be
tested; 4 the set-up failed; 130 interrupted: what was found so far is printed.
With --against: 0 no call is worse than with BASE; 1 some call is worse, as a gate judges it: it was fine and fails, or
it breaks a promise that it kept; 3 some calls cannot be tested on one of the two builds.""",
)


def run(options: shared.Options) -> int:
    if any(map(check.names_file, options.model)):
        return _own(options)
    unknown = sorted({*options.model} - {*FAMILIES, "all"})
    shared.refuse((unknown, f"no such family: {', '.join(unknown)}", f"there are all, {', '.join(FAMILIES)}"))
    families = tuple(ENDING) if "all" in options.model else tuple(options.model)
    number = None if options.seconds else options.draws or _DRAWS
    request = explore.Request(options.seed, families, number, options.seconds)
    build = builds.prepare(builds.parse(options.build), say=console.say)
    base = builds.prepare(builds.parse(options.against), say=console.say) if options.against else None
    path = options.results / f"explore-{build.label}-seed{options.seed}-{results.stamp()}"
    ran: list[examine.Examined] = []
    try:
        with examine.Pool(fresh=options.fresh) as pool:
            _run(pool, build, request, Path(f"{path}.jsonl"), ran)
            if base is not None:
                same = replace(request, number=len(ran), seconds=None)
                return _compared(pool, base, same, ran, Path(f"{path}-base.jsonl"))
            return _explained(pool, build, options.seed, ran, path)
    except (KeyboardInterrupt, errors.SetupError):
        shared.out(f"cut off: {exploration.counted(build.label, options.seed, ran)}\nrows: {path}.jsonl")
        raise


def _run(
    pool: examine.Pool, build: builds.Overlay, request: explore.Request, path: Path, ran: list[examine.Examined]
) -> None:
    """Run the calls, add each to those that ran, and write a row of it as it comes; then say what it took.

    Raises:
        SetupError: the rows cannot be written.
    """
    start = time.monotonic()
    with shared.writes(path), results.Writer(path, [build]) as writer, console.progress(request.number) as steps:
        console.say(f"rows as they come: {path}")
        for found in explore.ran(pool, build, request):
            writer.write(results.Row.of(found))
            ran.append(found)
            steps.done(f"running {build.label}", known=found.observation.recalled)
    if said := exploration.cost(ran, time.monotonic() - start, pool.cores):
        console.say(said)


def _explained(
    pool: examine.Pool, build: builds.Overlay, seed: int, ran: Sequence[examine.Examined], path: Path
) -> errors.ExitCode:
    """Tell what the calls came to, then each kind that nothing explains, as it is found."""
    explored = explore.explained(pool, build, ran)
    shared.out(exploration.summary(explored, seed))
    code = errors.ExitCode.INDETERMINATE if any(map(_is_untestable, ran)) else errors.ExitCode.CLEAN
    releases: list[builds.Overlay] = []
    unwritten: errors.HeadcountError | None = None
    for number, group in enumerate(explore.kinds(pool, explored), 1):
        code, releases = errors.ExitCode.REGRESSION, releases or _releases()
        found = _kind(pool, group, releases, Path(f"{path}-{number}.py"))
        shared.out("\n" + exploration.kind(number, found, build.label))
        try:
            shared.write_new(Path(f"{path}-{number}-entry.txt"), exploration.entry(found))
        except errors.HeadcountError as error:  # go on with the other kinds, and raise it at the end
            unwritten = error
    shared.out(f"\nrows: {path}.jsonl")
    if unwritten:
        raise unwritten
    return code


def _kind(pool: examine.Pool, group: explore.Group, releases: Sequence[builds.Overlay], file: Path) -> exploration.Kind:
    """Return a kind with the releases that show it, and the file that does."""
    found = group.smallest
    if found.verdict.kind is oracle.Kind.TIMEOUT:
        why = "a call that has no end is not shrunk, and none is written of it"
    else:
        why = _why_not_written(
            pool, file, lambda engine: reproduce.emit(engine, found.build, found.cell, lambda _: None)
        )
    return exploration.Kind(group, explore.where(pool, group, releases), "" if why else str(file), why)


def _why_not_written(pool: examine.Pool, file: Path, emit: Callable[[isolation.Engine], str]) -> str:
    """Write a file that shows a failure; return why it is not there, "" if it is."""
    try:
        with pool.engine() as engine:
            text = emit(engine)
        shared.write_new(file, text)
    except errors.HeadcountError as error:
        return str(error)
    return ""


def _releases() -> list[builds.Overlay]:
    return [builds.prepare(builds.parse(release), say=console.say) for release in builds.RELEASES]


def _own(options: shared.Options) -> int:
    """Run random calls on a user's own network, and tell what they came to.

    Raises:
        UsageError: an option does not go with it.
    """
    shared.refuse(
        (len(options.model) > 1, "one file at a time can be explored", "name one --model"),
        (options.seconds, "a file's calls are counted", "--draws N says how many"),
        (
            options.against,
            "a file on two builds is the gate's",
            f"{invocation.command('gate CANDIDATE --check FILE')} compares them",
        ),
    )
    (file,) = map(check.named, options.model)
    build = builds.prepare(builds.parse(options.build), say=console.say)
    number = options.draws or _OWN_DRAWS
    ran: list[explore.OwnCall] = []
    with examine.Pool(also=check.PRELOADED) as pool:
        try:
            with console.progress(number) as steps:
                for call in explore.own_ran(pool, build, [*islice(explore.own_draws(file, options.seed), number)]):
                    ran.append(call)
                    steps.done(f"running {build.label}")
            failing = _own_cured(pool, build, [call for call in ran if call.fails])
        except KeyboardInterrupt:
            shared.out(f"cut off: {own.counted(build.label, options.seed, ran)}")
            raise
        shared.out(own.summary(build.label, options.seed, ran, failing))
        return _own_kinds(pool, build, failing, options)


def _own_cured(pool: examine.Pool, build: builds.Overlay, failing: Sequence[explore.OwnCall]) -> list[explore.OwnCall]:
    """Return the failing calls with their cures, and show how far that is."""
    found = []
    with console.progress(len(failing)) as steps:
        for call in explore.own_cured(pool, build, failing):
            found.append(call)
            steps.done("looking for what makes it right")
    return found


def _own_kinds(
    pool: examine.Pool, build: builds.Overlay, failing: Sequence[explore.OwnCall], options: shared.Options
) -> int:
    """Tell each kind that nothing explains, with its smallest call and the file that shows it."""
    if all(call.cured is not None for call in failing):
        return errors.ExitCode.CLEAN
    with shared.writes(options.results):
        options.results.mkdir(parents=True, exist_ok=True)
    for number, kind in enumerate(explore.own_kinds(pool, build, failing, _releases()), 1):
        file = kind.smallest.file
        path = options.results / f"explore-{build.label}-{file.path.stem}-{results.stamp()}-{number}.py"
        why = _why_not_written(pool, path, partial(_emitted, build, file))
        shared.out("\n" + own.kind(number, kind, build.label, "" if why else str(path), why))
    return errors.ExitCode.REGRESSION


def _emitted(build: builds.Overlay, file: check.File, engine: isolation.Engine) -> str:
    return reproduce.emit_own(engine, build, file, lambda _: None)


def _compared(
    pool: examine.Pool, base: builds.Overlay, same: explore.Request, after: Sequence[examine.Examined], path: Path
) -> errors.ExitCode:
    """Run the same calls on another build, and tell what differs."""
    before: list[examine.Examined] = []
    _run(pool, base, same, path, before)
    found = gate.compare([*map(results.Row.of, before)], [*map(results.Row.of, after)])
    shared.out(exploration.differences(found))
    changes = {one.change for one in found}
    if gate.Change.REGRESSED in changes:
        return errors.ExitCode.REGRESSION
    return errors.ExitCode.INDETERMINATE if gate.Change.INDETERMINATE in changes else errors.ExitCode.CLEAN


def _is_untestable(found: examine.Examined) -> bool:
    return found.verdict.kind is oracle.Kind.UNTESTABLE
