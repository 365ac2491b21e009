#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]"]
# ///
"""Headcount's sessions. `nox -l` lists them; what follows `--` goes to the tool that a session runs."""

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint"]

#: The base environment of every build; the transformers versions that expectations are recorded for.
TORCH = "2.13.0"
TRANSFORMERS = ("4.57.6", "5.23.0")

#: timm needs torchvision, and that a torch that it has a build for.
TIMM = ("timm==1.0.31", "torch==2.14.1", "torchvision==0.29.1")

#: What GitHub reads: its schema, and the files.
GITHUB = {
    "github-workflows": ("ci.yml", "gate.yml", "site.yml"),
    "github-actions": ("../../action.yml",),
    "dependabot": ("../dependabot.yml",),
    "github-issue-forms": ("../ISSUE_TEMPLATE/problem.yml",),
    "github-issue-config": ("../ISSUE_TEMPLATE/config.yml",),
}

#: What has generated parts.
READMES = ("README.md", "reproducers/README.md", "tests/README.md")

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, transformers: str, *groups: str) -> None:
    """Install the base environment: torch, one transformers version, this harness.

    An environment that has all this is left alone: a second run costs nothing, and works offline.
    """
    groups_wanted = nox.project.dependency_groups(PROJECT, *groups)
    requirements = [f"torch=={TORCH}", f"transformers=={transformers}", *groups_wanted]
    backend = os.environ.get("UV_TORCH_BACKEND") or installer_environment().get("UV_TORCH_BACKEND", "")
    chosen = f"torch's backend: {backend}\n"
    wanted = "\n".join([*requirements, chosen + Path("pyproject.toml").read_text("utf-8")])
    stamp = Path(session.virtualenv.location, "headcount-installed.txt")
    before = stamp.read_text("utf-8") if stamp.is_file() else ""
    if before == wanted:
        session.log("the environment is up to date")
        return
    stamp.unlink(missing_ok=True)
    # To uv a build of torch for another backend is the same version, and stays.
    again = ["--reinstall-package", "torch"] * (session.venv_backend == "uv" and chosen not in before)
    session.install(*requirements, *again, "--editable", ".", env=installer_environment())
    if not session._runner.global_config.no_install:  # noqa: SLF001 - with -R nothing was installed, and nothing says so
        stamp.write_text(wanted, "utf-8")


def installer_environment() -> dict[str, str]:
    """Let uv find what pip finds, take CPU builds of torch by default, and compile byte code once."""
    environment = {"UV_COMPILE_BYTECODE": "1"}
    wheelhouse = os.environ.get("PIP_FIND_LINKS")
    if wheelhouse and "UV_FIND_LINKS" not in os.environ:
        environment["UV_FIND_LINKS"] = wheelhouse
    elif not wheelhouse and "UV_FIND_LINKS" not in os.environ and "UV_TORCH_BACKEND" not in os.environ:
        environment["UV_TORCH_BACKEND"] = "cpu"
    return environment


def run_environment() -> dict[str, str]:
    """Return the variables of a run, with the uv that nox brings, which need not be on PATH."""
    beside = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    fixed = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONDONTWRITEBYTECODE": ""}
    return fixed | ({"HEADCOUNT_UV": beside} if beside else {})


def run_headcount(session: nox.Session, transformers: str, *arguments: str) -> None:
    """Run a command; its progress goes to stderr, so that what it prints can be sent to a file."""
    install(session, transformers, "test")
    session.run("headcount", *arguments, env=run_environment(), stderr=None, interrupt_timeout=20)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def matrix(session: nox.Session, transformers: str) -> None:
    """Run every head-pruning call on every release; options go to pytest: --build 1.4.1 --build ../new -k local."""
    install(session, transformers, "test")
    # The matrix has no use for these plugins, which cost time around each of thousands of cells.
    lean = ["-p", "no:logging", "-p", "no:hypothesispytest"]
    arguments = ["-q", "-n", "auto", "--dist", "worksteal", *lean, "tests/matrix", *session.posargs]
    # Time to write the footer, the table and where the results are, when it is interrupted.
    session.run("pytest", *arguments, env=run_environment(), interrupt_timeout=20, terminate_timeout=5)


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
    install(session, transformers, "test")
    session.run("python", "tests/recording/record.py", *session.posargs, env=run_environment(), interrupt_timeout=20)


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
    install(session, transformers, "test")
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "tests/claims", *session.posargs, env=run_environment())


@nox.session
def matrix_timm(session: nox.Session) -> None:
    """Hold releases to what is known of networks of timm and torchvision; 5.5 GB: they need a torch of their own."""
    needed = nox.project.dependency_groups(PROJECT, "test")
    session.install(*TIMM, f"transformers=={TRANSFORMERS[-1]}", *needed, "--editable", ".", env=installer_environment())
    arguments = ["-n", "auto", "tests/others", *session.posargs]
    session.run("pytest", *arguments, env=run_environment(), interrupt_timeout=20)


@nox.session
def tests(session: nox.Session) -> None:
    """Test the harness itself, with fake builds; options go to pytest, and files stand in place of all."""
    install(session, TRANSFORMERS[0], "test")
    session.run(
        "pytest",
        "-n",
        "auto",
        "--ignore=tests/matrix",
        "--ignore=tests/claims",
        "--ignore=tests/bench",
        "--ignore=tests/mutants",
        *session.posargs,
        env=run_environment(),
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the matrix, as ratios to a plain session per release and to the floor; -- --help for options."""
    install(session, TRANSFORMERS[0], "test")
    session.run("python", "tests/bench/bench.py", *session.posargs, env=run_environment())


@nox.session
def explanations(session: nox.Session) -> None:
    """Measure whether a cure can fail to explain: mistakes that no remedy mends, and remedies left out."""
    install(session, TRANSFORMERS[0], "test")
    beside = {"PYTHONPATH": os.pathsep.join(("tests", "tests/mutants"))}
    session.run("python", "tests/explanations/measure.py", *session.posargs, env=run_environment() | beside)


@nox.session
def mutants(session: nox.Session) -> None:
    """Count the mistakes in the head pruning that the gate catches; -- --draws N --seed SEED, -- --help says more."""
    install(session, TRANSFORMERS[0], "test")
    # It gives its score in the words of the README's tables.
    beside = {"PYTHONPATH": "tests"}
    session.run("python", "tests/mutants/mutants.py", *session.posargs, env=run_environment() | beside)


@nox.session
@nox.parametrize("transformers", TRANSFORMERS)
def coverage(session: nox.Session, transformers: str) -> None:
    """Say which functions of the newest release the default matrix runs, and why not the others; -- --release 1.6.0."""
    install(session, transformers, "test", "coverage")
    session.run("python", "tests/reach/reach.py", *session.posargs, env=run_environment())


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, strict mypy, the order of the modules, the freshness of the READMEs' tables, and look at workflows."""
    install(session, TRANSFORMERS[0], "test", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("cog", "--check", "-P", *READMES, env={"PYTHONPATH": "tests"})
    for schema, files in GITHUB.items():
        paths = (f".github/workflows/{name}" for name in files)
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    session.run("zizmor", "--offline", "--no-progress", ".github", "action.yml")
    if shutil.which("actionlint"):  # its package on the index downloads it from elsewhere
        session.run("actionlint", external=True)


@nox.session
def readme(session: nox.Session) -> None:
    """Make the READMEs' generated parts anew."""
    install(session, TRANSFORMERS[0], "lint")
    session.run("cog", "-r", "-P", *READMES, env={"PYTHONPATH": "tests"})
