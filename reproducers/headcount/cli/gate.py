"""`headcount gate`: run both builds or merge shards, and write all that there is to say about it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from headcount import builds, canary, check, environment, errors, gate, matrix, reproduce, results, untrusted, wording
from headcount.cli import shared
from headcount.gate import waive
from headcount.isolation import Cache, Engine, forkserver
from headcount.observation import Observation
from headcount.report import check as check_report
from headcount.report import gate as report
from headcount.report.console import Steps, progress, say

#: Files that show a regression, each another failure, in one report.
_REPRODUCERS = 5

#: Cells of one cause that are tried, until a file shows one of them.
_TRIED = 3

add = shared.command(
    "gate",
    "is a build fit for release? what got worse against the last",
    shared.option(
        "candidate", nargs="?", metavar="CANDIDATE", help="a release, wheel, sdist, checkout, CLONE@REF or URL"
    ),
    shared.option("--repo", metavar="CLONE", help="with --ref, in place of CANDIDATE: a local clone"),
    shared.option("--ref", metavar="REF", help="its commit, tag or branch (default: HEAD)"),
    shared.option(
        "--base", metavar="BUILD", help="the build before it (default: the newest release but the candidate itself)"
    ),
    shared.option("--strict", action="store_true", help="a cell that only changed fails too"),
    shared.option(
        "--allow-api",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that is meant to go; it may hold a *",
    ),
    shared.option("--same-version", action="store_true", help="it may have the base's version: a pull request"),
    shared.option(
        "--cell",
        action="append",
        default=[],
        metavar="CELL",
        dest="cells",
        help="exactly this cell, in the matrix or not; may be given several times (default: the matrix)",
    ),
    shared.option("--shard", type=shared.part, default=(1, 1), metavar="K/N", help="only part K of N of the cells"),
    shared.option("--merge", nargs="+", type=Path, metavar="FILE", help="sum up the results of all shards"),
    shared.option(
        "--seed", type=int, metavar="N", help="draw other random calls, and run cells in another order (default: 1)"
    ),
    shared.option(
        "--budget",
        type=shared.budget,
        default=60.0,
        metavar="SECONDS",
        help="time for random calls that reach what changed; 0 for none (default: %(default).0f)",
    ),
    shared.option("--draws", type=shared.size, default=0, metavar="N", help="so many random calls, in its place"),
    shared.option(
        "--require-exercised", action="store_true", help="a changed line that no call ran makes it undecided"
    ),
    shared.option("--waive", type=Path, metavar="FILE", help="a TOML file of what may get worse, and until when"),
    shared.option(
        "--check",
        action="append",
        type=Path,
        default=[],
        metavar="FILE|DIR",
        dest="networks",
        help="a user's network, as for headcount check, or a folder of such files: none may get worse; several",
    ),
    shared.option("--fresh", action="store_true", help="run again what was observed before"),
    shared.option("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s"),
    more="""Both builds run every cell of the matrix. A cell that was fine and is not is a regression,
if it fails so again in a fresh process; a public name that is gone is one too. Then it is looked for which lines
that changed were run, and random calls that run them are compared, for --budget seconds.""",
    examples=(
        "../Torch-Pruning --same-version",
        "dist/torch_pruning-1.6.2-py3-none-any.whl",
        "CLONE@main --require-exercised --draws 500",
    ),
    exit_codes="""exit codes: 0 fit, 1 something got worse, 2 the call was wrong, 3 undecided (a build cannot be tested,
a failure does not repeat, a version is taken), 4 the set-up failed, 130 interrupted. A shard alone exits with 0
once it has run; the verdict is --merge's.""",
)


def run(options: shared.Options) -> errors.ExitCode:
    environment.harness_digest()  # as it is before a candidate's code is run, by its build already
    waivers = waive.read(options.waive) if options.waive else ()
    if options.merge:
        return _reported(_merged(options), options.results / f"gate-merged-{results.stamp()}", waivers).exit_code
    networks = check.files(options.networks)
    wanted = _request(options)
    compared = [*check.compare(wanted.base, wanted.candidate, networks)]  # first: a file that is at fault ends it here
    code = gated(wanted, options.results, waivers)
    return worst(code, _told(compared, options.results)) if compared else code


def _told(compared: Sequence[check.Compared], folder: Path) -> errors.ExitCode:
    """Print and write what became of users' networks, and return what it comes to."""
    text = check_report.compared(compared)
    path = folder / f"networks-{results.stamp()}.txt"
    with shared.writes(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
    shared.out(f"\n{text}")
    became = {each.became for each in compared}
    if check.Became.WORSE in became:
        return errors.ExitCode.REGRESSION
    return errors.ExitCode.INDETERMINATE if check.Became.UNDECIDED in became else errors.ExitCode.CLEAN


def worst(one: errors.ExitCode, other: errors.ExitCode) -> errors.ExitCode:
    """Return the worse of two answers: a regression, then what is undecided."""
    order = (errors.ExitCode.CLEAN, errors.ExitCode.INDETERMINATE, errors.ExitCode.REGRESSION)
    return max(one, other, key=lambda code: order.index(code) if code in order else len(order))


def gated(wanted: gate.Request, folder: Path, waivers: Sequence[waive.Waiver] = ()) -> errors.ExitCode:
    """Run a gate, print its verdict, and write it in a folder; of one part of several, the rows alone."""
    if wanted.shard == (1, 1):
        return judged(wanted, folder, waivers).exit_code
    path = _place(folder)
    written = _observed(wanted, Path(f"{path}.jsonl"))
    shared.out(f"part {wanted.shard[0]} of {wanted.shard[1]}: {path}.jsonl")
    return errors.ExitCode.CLEAN if written.complete else errors.ExitCode.INDETERMINATE


def judged(wanted: gate.Request, folder: Path, waivers: Sequence[waive.Waiver] = ()) -> gate.GateVerdict:
    """Run a whole gate, print its verdict, write it in a folder, and return it."""
    path = _place(folder)
    return _reported(gate.summed_up([_observed(wanted, Path(f"{path}.jsonl"))]), path, waivers)


def _place(folder: Path) -> Path:
    """Return what a run's files begin with."""
    return folder / f"gate-transformers-{environment.environment()['transformers']}-{results.stamp()}"


def _merged(options: shared.Options) -> gate.GateVerdict:
    names = [word.partition("=")[0] for word in options.words if word.startswith("--")]
    others = [name for name in names if name not in ("--merge", "--strict", "--results", "--waive")]
    if others or options.candidate:
        raise errors.UsageError(
            f"--merge reads results, and takes no {others[0] if others else 'candidate'}",
            "the shards were run with their own options; --strict may be added",
        )
    shards = [results.read(path) for path in options.merge]
    verdict = gate.summed_up(shards, strict=options.strict)
    say(f"{wording.number(gate.judged_again(shards), 'row')} judged again: they say what was observed")
    return verdict


def _request(options: shared.Options) -> gate.Request:
    clone, candidate = options.repo, options.candidate
    shared.refuse(
        (clone and candidate, "a candidate and --repo", "name one of them"),
        (options.ref and not clone, "--ref is of a clone", "name it with --repo"),
        (
            not (clone or candidate),
            "there is no candidate",
            "name a release, wheel, sdist, checkout, CLONE@REF or URL",
        ),
    )
    chosen = tuple(dict.fromkeys(map(shared.cell_named, options.cells)))
    if clone and not options.ref and builds.has_changes(Path(clone)):
        say(f"{clone} has changes that are not committed, and not run: name the folder to have them run")
    specs = (options.base or _base(candidate), candidate or f"{clone}@{options.ref or 'HEAD'}")
    return gate.request(
        *(builds.prepare(builds.parse(spec), say=_installing) for spec in specs),
        allow_api=tuple(options.allow_api),
        strict=options.strict,
        same_version=options.same_version,
        seed=options.seed,
        shard=options.shard,
        fresh=options.fresh,
        chosen=chosen,
        budget=0.0 if chosen else options.budget,
        draws=options.draws,
        require_exercised=options.require_exercised,
    )


def _base(candidate: str | None) -> str:
    """Return the newest release that is not the candidate, and say of what day the list is."""
    found = builds.released()
    say(wording.released(found))
    return next(release for release in reversed(found.all) if release != candidate)


def _installing(line: str) -> None:
    """Start the server too: what has to be installed has not been observed, and is to be run."""
    say(line)
    forkserver.warm_up()


class _Shown(gate.Watcher):
    """Shows a run's progress."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def row(self, row: results.Row) -> None:
        self._steps.done(f"running {row.build}", known=row.seen.recalled)

    def traced(self, observation: Observation) -> None:
        self._steps.done("looking for what ran", known=observation.recalled)

    def more(self, number: int) -> None:
        self._steps.more(number)

    def say(self, line: str) -> None:
        say(line)


def _observed(wanted: gate.Request, path: Path) -> results.Results:
    """Run both builds, write the results, and return them as they are read back."""
    if wanted.budget or wanted.draws or wanted.chosen:
        say("looking for known defects that can be mended in both builds")
    wanted = gate.with_mended(wanted)
    total = 2 * len(gate.cells(wanted))
    with shared.writes(path), gate.opened(wanted, path) as writer, progress(total) as steps:
        say(f"rows as they come: {path}")
        ending, worse = gate.run_both(wanted, writer, _Shown(steps))
        writer.gate = untrusted.plain(replace(ending, reproducers=_reproducers(wanted, worse)))
    return results.read(path)


def _reproducers(wanted: gate.Request, worse: Mapping[str, Sequence[matrix.Cell]]) -> dict[str, str]:
    """Return failure -> a file that shows it on the candidate and not on the base, for the first few."""
    found = {}
    with Cache() as cache, canary.Engine(cache=cache, fresh=not wanted.recalls) as engine:
        for failure, cells in list(worse.items())[:_REPRODUCERS]:
            found[failure] = _reproducer(engine, wanted, cells[:_TRIED])
    return found


def _reproducer(engine: Engine, wanted: gate.Request, cells: Sequence[matrix.Cell]) -> str:
    """Return a file that shows why one of these cells is worse; a comment that says why there is none."""
    reasons = []
    for cell in cells:
        try:
            return reproduce.emit(engine, wanted.candidate, cell, lambda _: None, reproduce.Wanted(good=wanted.base))
        except errors.HeadcountError as error:  # the command beside it shows the failure too
            reasons.append(f"# no file: {error}")
    return reasons[0]


def _reported(verdict: gate.GateVerdict, path: Path, waivers: Sequence[waive.Waiver]) -> gate.GateVerdict:
    """Print the verdict, write it for all who read it, and return it.

    Raises:
        UsageError: a waiver is of no use: after all else is written.
    """
    useless = None
    try:
        verdict = replace(verdict, waived=waive.waived(waivers, verdict.of(gate.Change.REGRESSED)))
    except errors.UsageError as error:
        useless = error
    page = report.markdown(verdict)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.md").write_text(page, "utf-8")
        Path(f"{path}.xml").write_text(report.junit(verdict), "utf-8")
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(page)
    except OSError as error:
        raise errors.SetupError(
            f"cannot write beside {path}: {error.strerror}", "--results DIR names a folder"
        ) from error
    annotations = report.annotations(verdict) if os.environ.get("GITHUB_ACTIONS") else []
    shared.out("\n".join([report.text(verdict), "", f"reports: {path}.md, .xml", *annotations]))
    if useless:
        raise useless
    return verdict
