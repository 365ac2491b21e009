"""pytest as the matrix's runner: options, the builds, a row per cell, the table, the exit status.

Load it with `pytest -p headcount.pytest_plugin --pyargs headcount.suite`, or from a conftest. A test that takes
`overlay` and `cell` is run for every cell on every build.
"""

import gc
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # what plugins that run tests again use; there is no public name

from headcount import (
    builds,
    canary,
    defects,
    environment,
    errors,
    examine,
    invocation,
    observation,
    oracle,
    results,
    scratch,
    untrusted,
    wording,
)
from headcount.isolation import Cache, Engine, forkserver
from headcount.matrix import Cell, cells
from headcount.report import console, table

OVERLAYS: pytest.StashKey[list[builds.Overlay]] = pytest.StashKey()
ROW = pytest.StashKey[results.Row]()
SERVER: pytest.StashKey[Mapping[str, Any]] = pytest.StashKey()
LACKING: pytest.StashKey[str] = pytest.StashKey()
BESIDE: pytest.StashKey[tuple[str, Mapping[str, str]] | None] = pytest.StashKey()

_OPTIONS: dict[str, dict[str, Any]] = {
    "--build": {
        "action": "append",
        "default": [],
        "metavar": "BUILD",
        "help": "a build to test: a release, a wheel, an sdist, a checkout, CLONE@REF or a URL; may be given several "
        f"times (default: the {len(builds.RELEASES)} releases with head pruning that are recorded)",
    },
    "--new": {
        "action": "store_true",
        "help": "beside the recorded releases, those that the package index has beyond them, held to what is recorded "
        "of the one before",
    },
    "--model": {
        "action": "append",
        "default": [],
        "metavar": "MODEL",
        "help": "only cells of this family, or this model as in the test ids: dinov2, vit12h, ...; may be given "
        "several times",
    },
    "--all": {
        "action": "store_true",
        "help": "every plain call on every family, in one step and in two; the default takes one that prunes heads, "
        "and one of a bare backbone",
    },
    "--fresh": {
        "action": "store_true",
        "help": "observe every cell anew, though the same build was observed with it before",
    },
    "--device": {
        "default": environment.CPU,
        "metavar": "DEVICE",
        "help": "where cells run: cpu, cuda where there is a GPU, or another device that torch knows; what is left is "
        "compared on the CPU (default: cpu)",
    },
    "--with": {
        "dest": "packages",
        "action": "append",
        "default": [],
        "metavar": "PACKAGE",
        "help": "a package to put beside the base environment, as pip names it: torch==2.14.1; may be given several "
        "times",
    },
    "--results": {
        "type": Path,
        "default": Path("results"),
        "metavar": "DIR",
        "help": "folder for JSON Lines (default: results)",
    },
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("headcount", "the matrix of builds and cells")
    for name, settings in _OPTIONS.items():
        group.addoption(name, **settings)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set where cells run, and name the JUnit file after the transformers version: nox runs both with one path."""
    config.addinivalue_line("markers", "full_size: a model of everyday size, which costs seconds and a gigabyte")
    os.environ[environment.DEVICE] = config.option.device
    if not hasattr(config, "workerinput"):
        console.heed_signals()
        scratch.clear()
    _stand_beside(config)
    wanted = config.getoption("xmlpath", None)
    if wanted and not hasattr(config, "workerinput"):
        path = Path(wanted)
        config.option.xmlpath = str(
            path.with_stem(f"{path.stem}-transformers-{environment.environment()['transformers']}")
        )


def _stand_beside(config: pytest.Config) -> None:
    """Find the packages that the run was given, as the process that was called has installed them."""
    found: tuple[str, Mapping[str, str]] | None = None
    if hasattr(config, "workerinput"):
        found = config.workerinput["beside"]
    else:
        os.environ.pop(environment.BESIDE, None)
        try:
            if asked := config.option.packages:
                made = builds.prepare_beside(asked, say=console.say)
                found = str(made.path), dict(made.shown)
        except errors.HeadcountError as error:
            pytest.exit(str(error), returncode=error.exit_code)
        config.stash[BESIDE] = found
    if found is not None:
        environment.stand_beside(*found)


# --- builds: installed once, by the process that was called ---------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        config.stash[OVERLAYS] = [
            builds.Overlay(label, Path(path), *rest) for label, path, *rest in config.workerinput["overlays"]
        ]
        config.stash[LACKING] = config.workerinput["lacking"]
        forkserver.join(config.workerinput["server"])
        return
    try:
        config.stash[LACKING] = forkserver.lacks_device()
        config.stash[OVERLAYS] = _prepare(config)
        config.stash[SERVER] = _server(config)
    except errors.HeadcountError as error:
        pytest.exit(str(error), returncode=error.exit_code)
    if not config.option.collectonly:
        config.pluginmanager.register(Recorder(config, _open_results(config)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    stash = node.config.stash
    node.workerinput |= {
        "server": stash[SERVER],
        "lacking": stash[LACKING],
        "beside": stash[BESIDE],
        "overlays": [(label, str(path), *rest) for label, path, *rest in map(astuple, stash[OVERLAYS])],
    }


def _prepare(config: pytest.Config) -> list[builds.Overlay]:
    if config.option.new and config.option.build:
        raise errors.UsageError("--new and --build", "name the new release with --build")
    models = {name for cell in cells.known_cells().values() for name in (cell.model.id, cell.model.family)}
    if unknown := set(config.option.model) - models:
        raise errors.UsageError(
            f"no such model: {', '.join(sorted(unknown))}", f"there are {', '.join(sorted(models))}"
        )
    say = config.get_terminal_writer().line
    say(_installed())
    wanted = builds.parse_all(config.option.build or _releases(say, new=config.option.new))
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda build: builds.prepare(build, say=say), wanted))


def _installed() -> str:
    """Name the installed versions, and the transformers version whose record applies."""
    versions = environment.environment()
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    recorded = defects.recorded(versions["transformers"]).transformers
    return named + f"; held to what is recorded of transformers {recorded}" * (recorded != versions["transformers"])


def _releases(say: Callable[[str], None], *, new: bool) -> tuple[str, ...]:
    """Return the recorded releases, so that a run means the same every day; with `new`, newer ones too."""
    found = builds.released()
    more = " (--new runs it too)" if found.new and not new else ""
    say(f"{wording.released(found)}{more}")
    return found.all if new else builds.RELEASES


def _server(config: pytest.Config) -> Mapping[str, Any]:
    """Start one server for all workers, which imports while these start; none if everything seems to be observed."""
    if config.option.collectonly or config.stash[LACKING] or not getattr(config.option, "numprocesses", None):
        return {}
    with Cache() as cache:
        known = not config.option.fresh and all(
            cache.get(observation.Observation, overlay, cells.default_cells()[0]) for overlay in config.stash[OVERLAYS]
        )
    return {} if known else forkserver.warm_up(many=True)


def _open_results(config: pytest.Config) -> results.Writer:
    folder: Path = config.option.results
    overlays = config.stash[OVERLAYS]
    try:
        return results.Writer(
            folder / f"transformers-{environment.environment()['transformers']}-{results.stamp()}.jsonl", overlays
        )
    except OSError as error:
        pytest.exit(_cannot_write(folder, error), errors.ExitCode.SETUP)


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write results to {path}: {error.strerror or error} (--results DIR names another folder)"


# --- cells ---------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"overlay", "cell"} <= set(metafunc.fixturenames):
        return
    pairs = [(o, cell) for o in metafunc.config.stash[OVERLAYS] for cell in _cells(metafunc.config, o)]
    # The slow cells first: at the end, one of them would keep a core waiting for the other.
    pairs.sort(key=lambda pair: pair[1] not in cells.SLOW and not pair[1].model.full_size)
    metafunc.parametrize(
        ("overlay", "cell"),
        [
            pytest.param(o, c, id=f"{o.label}-{c.id}", marks=pytest.mark.full_size if c.model.full_size else ())
            for o, c in pairs
        ],
    )


def _cells(config: pytest.Config, overlay: builds.Overlay) -> list[Cell]:
    found = list(cells.every_cell() if config.option.all else cells.default_cells())
    if config.option.build or overlay.version in cells.SLOW_RELEASES:
        found.append(cells.ISSUE_410)
    if config.option.all and defects.column(overlay.version) in cells.SLOW_RELEASES:
        found += [cell for cell in cells.SLOW if cell not in found]
    wanted = set(config.option.model)
    return [cell for cell in found if not wanted or wanted & {cell.model.id, cell.model.family}]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if lacking := config.stash[LACKING]:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=lacking))


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from what was collected: it lives as long as the run."""
    gc.freeze()


@pytest.fixture(scope="session")
def matrix_engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """The engine of the command line's options. A suite's own `engine` does not take its place."""
    with Cache() as cache, canary.Engine(cache=cache, fresh=pytestconfig.option.fresh, many=True) as running:
        yield running


@pytest.fixture(scope="session")
def overlays(pytestconfig: pytest.Config) -> list[builds.Overlay]:
    return pytestconfig.stash[OVERLAYS]


def report(item: pytest.Item, found: examine.Examined) -> None:
    """Keep the row of the cell that a test has run, and let the test end as the row says."""
    item.stash[ROW] = results.Row.of(found)
    verdict, explanation = found.verdict, found.explanation
    match explanation.outcome:
        case defects.Outcome.UNEXPECTED_FAILURE:
            pytest.fail(
                f"{wording.verdict(verdict)}\n{wording.explanation(explanation)}\n"
                f"{untrusted.clean(str(verdict.signature))}\n{_emit(found)}",
                pytrace=False,
            )
        case defects.Outcome.UNEXPECTEDLY_FIXED:
            pytest.fail(
                f"fine, but a defect should show: {wording.explanation(explanation)}\n"
                "if this build mends it, all is well: nox -s record records a new release",
                pytrace=False,
            )
        case defects.Outcome.INDETERMINATE:
            pytest.fail(wording.verdict(verdict), pytrace=False)
        case defects.Outcome.EXPECTED if verdict.kind is oracle.Kind.NOT_APPLICABLE:
            pytest.skip(wording.reason(verdict))


def _emit(found: examine.Examined) -> str:
    """Return the command that writes a cell as a file that stands alone."""
    words = f"emit {found.cell.id} --build {shlex.quote(found.build.spec or found.build.label)}"
    return invocation.command(words, environment.environment()["transformers"])


# --- rows ----------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Put the row into the test's report; a known defect makes it an xfail."""
    made: pytest.TestReport = yield
    if call.excinfo and isinstance(call.excinfo.value, errors.SetupError):
        made.headcount_stop = str(call.excinfo.value)  # type: ignore[attr-defined]
    if call.when == "call":
        row = item.stash.get(ROW, None)
        # As text: that crosses from an xdist worker at a tenth of what a nested value costs.
        made.headcount_row = None if row is None else row.to_json()  # type: ignore[attr-defined]
        if made.passed and row and row.explanation.defect:
            # No exception says so, as pytest.xfail would: to format one takes longer than to judge a cell.
            made.outcome, made.wasxfail = "skipped", f"{row.explanation.defect}: {wording.reason(row.verdict)}"
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Send one report for a cell, after it: setup and teardown say nothing if they pass, and cost as much each."""
    if "cell" not in getattr(item, "fixturenames", ()):
        return None
    for made in runtestprotocol(item, log=False, nextitem=nextitem):
        if made.when == "call" or not made.passed:
            item.ihook.pytest_runtest_logreport(report=made)
    return True


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Print no letter for a cell that is as expected: a bar, or a line now and then, says how far the run has come.

    With -v, or -vv where there is a -q, pytest has its way.
    """
    if not hasattr(report, "headcount_row") or report.failed or config.option.verbose > 0:
        return None
    return ("xfailed", "", "XFAIL") if hasattr(report, "wasxfail") else (report.outcome, "", report.outcome.upper())


@dataclass(eq=False)
class Recorder:
    """Writes the rows as they come in, in the process that was called, and says at the end what they amount to."""

    config: pytest.Config
    writer: results.Writer
    rows: list[results.Row] = field(default_factory=list)
    claims_failed: bool = False
    unexpected: int = 0
    wanted: int = 0
    ran_all: bool = False
    _shown: ExitStack = field(default_factory=ExitStack)
    _steps: console.Steps | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:  # noqa: ARG002 - xdist's names
        self._begin(ids)

    def _begin(self, ids: list[str]) -> None:
        self.wanted = sum("::test_cell[" in id_ for id_ in ids)
        if self._steps is None and self.wanted:
            stream = self.config.get_terminal_writer()._file  # noqa: SLF001 - stderr is captured
            self._steps = self._shown.enter_context(console.progress(self.wanted, stream))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if why := getattr(report, "headcount_stop", ""):  # a fault of ours: with the next cell it would be the same
            pytest.exit(why, errors.ExitCode.SETUP)
        line = getattr(report, "headcount_row", None)
        if line is None:
            # A claim about issue 410 that does not hold is a finding; a test without a row broke down.
            self.claims_failed |= report.failed and report.when == "call" and "test_cell" not in report.nodeid
            return
        row = results.Row.from_json(line, short=True)
        try:
            self.writer.write(row, line)
        except OSError as error:
            pytest.exit(_cannot_write(self.writer.path, error), errors.ExitCode.SETUP)
        self.unexpected += row.outcome not in (defects.Outcome.EXPECTED, defects.Outcome.INDETERMINATE)
        if self._steps is not None:
            self._steps.done(f"{row.build}, {self.unexpected} unexpected", known=row.recalled)
        self.rows.append(row)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._shown.close()
        stopped = session.shouldstop or session.shouldfail
        self.ran_all = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not stopped
        try:
            self.writer.close(complete=self.ran_all)
            if not self.writer.rows:
                self.writer.path.unlink()
        except OSError as error:
            pytest.exit(_cannot_write(self.writer.path, error), errors.ExitCode.SETUP)
        if self.ran_all:
            session.exitstatus = self._status(exitstatus)
        elif self.unexpected:
            session.exitstatus = errors.ExitCode.REGRESSION  # -x, say: what was found is found

    @property
    def tested_nothing(self) -> bool:
        """Whether there were cells, and none of them applies to its build."""
        return bool(self.rows) and all(row.verdict.kind is oracle.Kind.NOT_APPLICABLE for row in self.rows)

    def _status(self, exitstatus: int) -> errors.ExitCode:
        if self.config.stash[LACKING] or self.tested_nothing:
            return errors.ExitCode.INDETERMINATE
        if self.unexpected or self.claims_failed:
            return errors.ExitCode.REGRESSION
        if any(row.outcome is defects.Outcome.INDETERMINATE for row in self.rows):
            return errors.ExitCode.INDETERMINATE
        return errors.ExitCode.CLEAN if exitstatus == pytest.ExitCode.OK else errors.ExitCode.SETUP

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.line
        if lacking := self.config.stash[LACKING]:
            write(f"nothing was tested: {lacking} (without --device, cells run on the CPU)", red=True)
        if not self.rows:
            return  # and the results file is gone too
        if self.tested_nothing:
            reasons = ", ".join(sorted({wording.reason(row.verdict) for row in self.rows}))
            write(f"nothing was tested: {reasons}", red=True)
        order = [overlay.label for overlay in self.config.stash[OVERLAYS]]
        rows = sorted(self.rows, key=lambda row: order.index(row.build))
        versions = ", ".join(f"{name} {number}" for name, number in environment.environment().items())
        terminalreporter.section(f"headcount: {versions}")
        said = table.sentence(rows)
        write(said, bold=True)
        write("")
        write(table.render(rows))
        write("")
        write(said, bold=True)
        write(table.totals(rows))
        if recalled := sum(row.recalled for row in self.rows):
            write(f"{recalled} of them were observed before (--fresh observes all anew)")
        write(f"results: {self.writer.path}")
        if not self.ran_all:
            write(
                f"cut off: {len(self.rows)} of {self.wanted} cells were judged; "
                "what the others show, nobody knows: run it again",
                red=True,
            )
