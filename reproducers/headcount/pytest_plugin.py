"""pytest as the matrix's runner: options, the builds, a row per cell, the table, the exit status."""

import gc
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # what plugins that run tests again use; there is no public name

from headcount import builds
from headcount.matrix import cells as matrix
from headcount.isolation import forkserver as server
from headcount.builds import Overlay
from headcount.defects import Outcome, catalogue
from headcount.isolation.engine import Engine
from headcount.environment import CPU, DEVICE, environment
from headcount.errors import ExitCode, HeadcountError, UsageError
from headcount.matrix import Cell
from headcount.report import table
from headcount.report.console import Steps, progress
from headcount.results import Row, Writer, encode, stamp
from headcount.isolation.cache import Store
from headcount.oracle.verdict import Kind

OVERLAYS: pytest.StashKey[list[Overlay]] = pytest.StashKey()
ROW = pytest.StashKey[Row]()
SERVER: pytest.StashKey[Mapping[str, Any]] = pytest.StashKey()
LACKING: pytest.StashKey[str] = pytest.StashKey()

#: Where the full-size cell runs when no builds are named: before, in and after the defect, and now.
FULL_SIZE_RELEASES = ("1.4.0", "1.4.1", "1.4.2", builds.RELEASES[-1])


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("headcount", "the matrix of builds and cells")
    group.addoption(
        "--build",
        action="append",
        default=[],
        metavar="BUILD",
        help="a build to test: a release, a wheel, an sdist, a checkout, CLONE@REF or a URL; "
        f"may be given several times (default: the {len(builds.RELEASES)} releases with head pruning)",
    )
    group.addoption(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="only cells of this family, or this model as in the test ids: dinov2, vit12h, … ; may be given several "
        "times",
    )
    group.addoption(
        "--all",
        action="store_true",
        help="every plain call on every family, in one step and in two, where the default takes one that prunes heads, "
        "and one of a bare backbone",
    )
    group.addoption(
        "--fresh", action="store_true", help="observe every cell anew, though the same build was seen with it before"
    )
    group.addoption(
        "--device",
        default=CPU,
        metavar="DEVICE",
        help="where cells run: cpu, cuda where there is a GPU, or another device that torch knows; what is left is "
        "compared on the CPU (default: cpu)",
    )
    group.addoption(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder for JSON Lines (default: results)"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Say where cells run, and name the JUnit file after the line of transformers: nox runs all with one path."""
    os.environ[DEVICE] = config.option.device
    asked = config.getoption("xmlpath", None)
    if asked and not hasattr(config, "workerinput"):
        path = Path(asked)
        config.option.xmlpath = str(path.with_stem(f"{path.stem}-transformers-{environment()['transformers']}"))


# --- builds: installed once, by the process that was called ---------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        config.stash[OVERLAYS] = [
            Overlay(label, Path(path), *rest) for label, path, *rest in config.workerinput["overlays"]
        ]
        config.stash[LACKING] = config.workerinput["lacking"]
        server.join(config.workerinput["server"])
        return
    try:
        config.stash[LACKING] = server.lacks_device()
        config.stash[OVERLAYS] = _prepare(config)
        config.stash[SERVER] = _server(config)
    except HeadcountError as error:
        pytest.exit(str(error), returncode=error.exit_code)
    if not config.option.collectonly:
        config.pluginmanager.register(Recorder(config, _open_results(config)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["server"] = node.config.stash[SERVER]
    node.workerinput["lacking"] = node.config.stash[LACKING]
    node.workerinput["overlays"] = [
        (o.label, str(o.path), o.version, o.digest, o.spec) for o in node.config.stash[OVERLAYS]
    ]


def _prepare(config: pytest.Config) -> list[Overlay]:
    models = {name for cell in matrix.known_cells().values() for name in (cell.model.id, cell.model.family)}
    if unknown := set(config.option.model) - models:
        raise UsageError(f"no such model: {', '.join(sorted(unknown))}", f"there are {', '.join(sorted(models))}")
    wanted = builds.parse_all(config.option.build or builds.RELEASES)
    terminal = config.get_terminal_writer()
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda build: builds.prepare(build, say=terminal.line), wanted))


def _server(config: pytest.Config) -> Mapping[str, Any]:
    """One server for all workers, which imports while these start; none if all that is asked seems to be known."""
    if config.option.collectonly or config.stash[LACKING] or not getattr(config.option, "numprocesses", None):
        return {}
    first = matrix.default_cells()[0]
    with Store() as store:
        known = not config.option.fresh and all(store.get(overlay, first) for overlay in config.stash[OVERLAYS])
    return {} if known else server.shared(many=True)


def _open_results(config: pytest.Config) -> Writer:
    name = f"transformers-{environment()['transformers']}-{stamp()}"
    folder: Path = config.option.results
    overlays = config.stash[OVERLAYS]
    try:
        return Writer(folder / f"{name}.jsonl", overlays)
    except OSError as error:
        pytest.exit(_cannot_write(folder, error), ExitCode.SETUP)


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write results to {path}: {error.strerror or error} (--results DIR names another folder)"


# --- cells --------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not {"overlay", "cell"} <= set(metafunc.fixturenames):
        return
    overlays = metafunc.config.stash[OVERLAYS]
    pairs = [(overlay, cell) for overlay in overlays for cell in _cells(metafunc.config, overlay)]
    # The full-size cells first: at the end, one of them would keep a core waiting for the other.
    pairs.sort(key=lambda pair: not pair[1].model.full_size)
    metafunc.parametrize(
        ("overlay", "cell"),
        [
            pytest.param(o, c, id=f"{o.label}-{c.id}", marks=[pytest.mark.full_size] if c.model.full_size else [])
            for o, c in pairs
        ],
    )


def _cells(config: pytest.Config, overlay: Overlay) -> list[Cell]:
    cells = list(matrix.every_cell() if config.option.all else matrix.default_cells())
    if config.option.build or overlay.version in FULL_SIZE_RELEASES:
        cells.append(matrix.ISSUE_410)
    wanted = set(config.option.model)
    return [cell for cell in cells if not wanted or wanted & {cell.model.id, cell.model.family}]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip everything where there is no such device."""
    if lacking := config.stash[LACKING]:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=lacking))


def pytest_collection_finish() -> None:
    """What was collected lives as long as the run: garbage need not be looked for there again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    with Store() as store, Engine(store=store, fresh=pytestconfig.option.fresh, many=True) as running:
        yield running


@pytest.fixture(scope="session")
def overlays(pytestconfig: pytest.Config) -> list[Overlay]:
    """All builds of this run."""
    return pytestconfig.stash[OVERLAYS]


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Any:
    """Call it with the row of the cell that the test ran."""

    def _keep(row: Row) -> None:
        request.node.stash[ROW] = row

    return _keep


# --- rows ---------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    if call.when == "call":
        row = item.stash.get(ROW, None)
        # As text: that crosses from an xdist worker at a tenth of what a nested value costs.
        report.headcount_row = None if row is None else encode(row)  # type: ignore[attr-defined]
        if report.passed and row and row["defect"]:
            # No exception says so, as pytest.xfail would: to format one takes longer than to judge a cell.
            report.outcome, report.wasxfail = "skipped", f"{row['defect']}: {row['reason']}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """One report for a cell, after it: setup and teardown say nothing if they pass, and to tell costs as much each."""
    if "cell" not in getattr(item, "fixturenames", ()):
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """No letter for a cell that is as expected: a bar, or a line now and then, says how far the run has come.

    With -v, or -vv where there is a -q, pytest has its way.
    """
    quiet = hasattr(report, "headcount_row") and report.outcome in ("passed", "skipped")
    if not quiet or config.option.verbose > 0:
        return None
    known = hasattr(report, "wasxfail")
    return ("xfailed", "", "XFAIL") if known else (report.outcome, "", report.outcome.upper())


class Recorder:
    """Writes the rows as they come in, in the process that was called, and says at the end what they amount to."""

    def __init__(self, config: pytest.Config, writer: Writer) -> None:
        self.config = config
        self.writer = writer
        self.rows: list[Row] = []
        self.recalled = 0
        self.never_seen: list[str] = []
        self.claims_failed = False
        self.unexpected = 0
        self.asked = 0
        self.cut_off = False
        self._shown = ExitStack()
        self._steps: Steps | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._begin(ids)

    def _begin(self, ids: list[str]) -> None:
        cells = self.asked = sum("::test_cell[" in id_ for id_ in ids)
        if self._steps is None and cells and not self.config.option.collectonly:
            stream = self.config.get_terminal_writer()._file  # noqa: SLF001 - stderr is captured
            self._steps = self._shown.enter_context(progress(cells, stream))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        encoded = getattr(report, "headcount_row", None)
        if encoded is None:
            # A claim about issue 410 that does not hold is a finding; a test without a row broke down.
            self.claims_failed |= report.failed and report.when == "call" and "test_cell" not in report.nodeid
            return
        row = json.loads(encoded)
        try:
            self.writer.write(row, encoded)
        except OSError as error:
            pytest.exit(_cannot_write(self.writer.path, error), ExitCode.SETUP)
        self.unexpected += row["outcome"] != Outcome.EXPECTED
        known = row["observation"].get("recalled", False)
        if self._steps is not None:
            self._steps.done(f"{row['build']}, {self.unexpected} unexpected", known=known)
        self.recalled += known
        del row["observation"]  # what the table does not need adds up over a run
        self.rows.append(row)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._shown.close()
        stopped = session.shouldstop or session.shouldfail
        ran_all = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not stopped
        self.cut_off = not ran_all
        try:
            self.writer.close(complete=ran_all)
            if not self.writer.rows:
                self.writer.path.unlink()
        except OSError as error:
            pytest.exit(_cannot_write(self.writer.path, error), ExitCode.SETUP)
        if not ran_all and any(row["outcome"] != Outcome.EXPECTED for row in self.rows):
            session.exitstatus = ExitCode.REGRESSION  # -x, say: what was found is found
        elif ran_all:
            self.never_seen = never_seen(self.rows)
            session.exitstatus = self._status(exitstatus)

    @property
    def tested_nothing(self) -> bool:
        """Whether there were cells, and none of them applies to its build."""
        return bool(self.rows) and all(row["verdict"] == Kind.NOT_APPLICABLE for row in self.rows)

    def _status(self, exitstatus: int) -> ExitCode:
        """The exit status of a run that came to its end."""
        if self.config.stash[LACKING] or self.tested_nothing:
            return ExitCode.INDETERMINATE
        outcomes = {row["outcome"] for row in self.rows}
        unexpected = outcomes & {Outcome.UNEXPECTED_FAILURE, Outcome.UNEXPECTEDLY_FIXED}
        if unexpected or self.never_seen or self.claims_failed:
            return ExitCode.REGRESSION
        if Outcome.INDETERMINATE in outcomes:
            return ExitCode.INDETERMINATE
        return ExitCode.CLEAN if exitstatus == pytest.ExitCode.OK else ExitCode.SETUP

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if lacking := self.config.stash[LACKING]:
            terminalreporter.line(f"nothing was tested: {lacking} (without --device, cells run on the CPU)", red=True)
        if not self.rows:
            return  # and the results file is gone too
        if self.tested_nothing:
            reasons = ", ".join(sorted({row["reason"] for row in self.rows}))
            terminalreporter.line(f"nothing was tested: {reasons}", red=True)
        overlays = self.config.stash[OVERLAYS]
        order = {overlay.label: index for index, overlay in enumerate(overlays)}
        rows = sorted(self.rows, key=lambda row: order[row["build"]])
        terminalreporter.section(
            "headcount: " + ", ".join(f"{name} {number}" for name, number in environment().items())
        )
        terminalreporter.line(table.render(rows))
        for item in self.never_seen:
            terminalreporter.line(f"NEVER SEEN: {item}: the catalogue says it is there, and no cell shows it", red=True)
        terminalreporter.line(table.totals(rows))
        if self.recalled:
            terminalreporter.line(f"{self.recalled} of them were observed before (--fresh observes all anew)")
        terminalreporter.line(f"results: {self.writer.path}")
        if self.cut_off:
            asked = f"{len(self.rows)} of {self.asked} cells were judged"
            terminalreporter.line(f"cut off: {asked}; what the others show, nobody knows: run it again", red=True)


def never_seen(rows: list[Row]) -> list[str]:
    """Defects that the catalogue says a build has, and that none of its cells showed though all were run."""
    transformers = environment()["transformers"]
    everything = len(matrix.default_cells())
    by_build: dict[str, list[Row]] = {}
    for row in rows:
        by_build.setdefault(row["build"], []).append(row)
    return [
        f"{defect.id} on {build}"
        for build, own in by_build.items()
        if len(own) >= everything
        for defect in catalogue().defects
        if defect.affects(own[0]["version"], transformers) and defect.id not in {row["defect"] for row in own}
    ]
