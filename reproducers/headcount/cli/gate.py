"""`headcount gate`: options, a run or a merge of shards, and everything that is written about it."""

import argparse
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from headcount import builds, results
from headcount.builds import git as clones
from headcount.gate import run as gating
from headcount.reproduce import prove as reproduction
from headcount.isolation import forkserver as server
from headcount.isolation.engine import Engine
from headcount.environment import environment, harness_digest
from headcount.errors import ExitCode, HeadcountError, SetupError, UsageError
from headcount.gate.compare import Sort, Verdict
from headcount.gate.run import Request
from headcount.matrix import Cell
from headcount.report import gate as report
from headcount.report.console import progress, say
from headcount.results import Results, Row, Writer
from headcount.isolation.cache import Store

#: Files that show a regression, each of another failure, in one report.
_REPRODUCERS = 5

DESCRIPTION = """Both builds are asked every cell of the matrix. A cell that was fine and is not is a regression,
if it fails so again in a fresh process; a public name that is gone is one too."""

EXIT_CODES = """exit codes: 0 fit, 1 something got worse, 2 the call was wrong, 3 undecided (a build cannot be tested,
a failure does not repeat, a version is taken), 4 the set-up failed, 130 interrupted. A shard alone exits with 0
once it has asked; the verdict is --merge's."""

#: What --merge takes beside files.
_MERGING = ("--strict", "--results")


def add(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE", help="a release, wheel, sdist, checkout, CLONE@REF or URL"
    )
    command.add_argument("--repo", metavar="CLONE", help="with --ref, in place of CANDIDATE: a local clone")
    command.add_argument("--ref", metavar="REF", help="its commit, tag or branch (default: HEAD)")
    command.add_argument(
        "--base", default=builds.RELEASES[-1], metavar="BUILD", help="what it is held against (default: %(default)s)"
    )
    command.add_argument("--strict", action="store_true", help="a cell that only changed fails too")
    command.add_argument(
        "--allow-api", action="append", default=[], metavar="NAME", help="a public name that is meant to go; a * may do"
    )
    command.add_argument("--same-version", action="store_true", help="it may bear the base's version: a pull request")
    command.add_argument("--shard", type=_shard, default=(1, 1), metavar="K/N", help="only part K of N of the cells")
    command.add_argument("--merge", nargs="+", type=Path, metavar="FILE", help="sum up the results of all shards")
    command.add_argument("--seed", type=int, metavar="N", help="ask in another order, each N in its own")
    command.add_argument("--fresh", action="store_true", help="ask anew what was asked before")
    command.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the gate, or merge shards; returns the exit code."""
    harness_digest()  # as it is before a candidate's code is run, by its build already
    if options.merge:
        asked = [word.partition("=")[0] for word in options.words if word.startswith("--")]
        others = [word for word in asked if word not in ("--merge", *_MERGING)]
        if others or options.candidate:
            raise UsageError(
                f"--merge reads results, and takes no {others[0] if others else 'candidate'}",
                "the shards were asked with their own options; --strict may be added",
            )
        verdict = gating.summed_up([results.read(path) for path in options.merge], strict=options.strict)
        _tell(verdict, options.results / f"gate-merged-{results.stamp()}")
        return verdict.exit_code
    request = _request(options)
    path = options.results / f"gate-transformers-{environment()['transformers']}-{results.stamp()}"
    written = _observed(request, Path(f"{path}.jsonl"))
    number, shards = request.shard
    if shards > 1:
        print(f"part {number} of {shards}: {path}.jsonl")  # noqa: T201 - a command's output
        return ExitCode.CLEAN if written.complete else ExitCode.INDETERMINATE
    verdict = gating.summed_up([written])
    _tell(verdict, path)
    return verdict.exit_code


def _request(options: argparse.Namespace) -> Request:
    spec = options.candidate
    if options.repo:
        if spec:
            raise UsageError("a candidate and --repo", "name one of them")
        spec = f"{options.repo}@{options.ref or 'HEAD'}"
        if not options.ref and clones.has_changes(Path(options.repo)):
            say(f"{options.repo} has changes that are not committed, and not asked: name the folder to have them asked")
    elif options.ref:
        raise UsageError("--ref is of a clone", "name it with --repo")
    if not spec:
        raise UsageError("there is no candidate", "name a release, wheel, sdist, checkout, CLONE@REF or URL")
    base, candidate = (builds.prepare(builds.parse(name), say=_installing) for name in (options.base, spec))
    return gating.request(
        base,
        candidate,
        allow_api=tuple(options.allow_api),
        strict=options.strict,
        same_version=options.same_version,
        seed=options.seed,
        shard=options.shard,
        fresh=options.fresh,
    )


def _installing(line: str) -> None:
    """What has to be installed has not been observed, and is to be asked."""
    say(line)
    server.warm_up()


def _observed(request: Request, path: Path) -> Results:
    """Both builds asked, and the results written, then read as anyone would."""
    header = gating.header(request)
    try:
        say(f"rows as they come: {path}")
        with (
            Writer(path, (request.base, request.candidate), more={"gate": header}) as writer,
            progress(2 * len(gating.cells(request))) as steps,
        ):

            def tell(row: Row) -> None:
                steps.done(f"asking {row['build']}", known=row["observation"].get("recalled", False))

            worse = gating.run(request, writer, tell, steps.more)
            writer.closing["reproducers"] = _reproducers(request, worse)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror or error}", "--results DIR names a folder") from error
    return results.read(path)


def _reproducers(request: Request, worse: Mapping[str, Cell]) -> dict[str, str]:
    """Failure -> a file that shows it, for the first few that are told apart."""
    found = {}
    with Store() as store, Engine(store=store, fresh=not request.recalls) as engine:
        for failure, cell in list(worse.items())[:_REPRODUCERS]:
            try:
                found[failure] = reproduction.emit(engine, request.candidate, cell, lambda _: None)
            except HeadcountError as error:  # a nicety: the command beside it shows the failure too
                found[failure] = f"# no file: {error}"
    return found


def _tell(verdict: Verdict, path: Path) -> None:
    """Print the verdict, and write it for all who read it."""
    page = report.markdown(verdict, _commands(verdict), verdict.reproducers)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.md").write_text(page, "utf-8")
        Path(f"{path}.xml").write_text(report.junit(verdict), "utf-8")
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(page)
    except OSError as error:
        raise SetupError(f"cannot write beside {path}: {error.strerror}", "--results DIR names a folder") from error
    lines = [report.text(verdict), "", f"reports: {path}.md, .xml"]
    if os.environ.get("GITHUB_ACTIONS"):
        lines += report.annotations(verdict)
    print("\n".join(lines), flush=True)  # noqa: T201 - a command's output


def _commands(verdict: Verdict) -> dict[str, str]:
    """Cell -> what to type to see it alone."""
    spec = verdict.candidate["spec"]
    session = f"matrix(transformers='{verdict.environment['transformers']}')"
    return {
        d.cell: f'nox -s "{session}" -- --build {shlex.quote(spec)} -k "{d.cell} and not {d.cell}-"'
        for d in verdict.of(Sort.REGRESSED)
    }


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found and 1 <= int(found[1]) <= int(found[2]):
        return int(found[1]), int(found[2])
    raise argparse.ArgumentTypeError(f"{text!r} is no part: 1/3 is the first of three")
