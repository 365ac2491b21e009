"""headcount emit, headcount minimise: a failing cell as one file."""

from pathlib import Path

from headcount import builds, errors, isolation, reproduce
from headcount.cli import shared
from headcount.report.console import say

_BUILDS = "a release, wheel, sdist, checkout, CLONE@REF or URL"

_FORMS = {"script": reproduce.Form.SCRIPT, "pytest": reproduce.Form.TEST}

_OPTIONS = (
    shared.option("cell", metavar="CELL", help="as in the matrix's test ids, with or without the build"),
    shared.option("--build", action=shared.Once, help=f"{_BUILDS} (default: the release that the id names)"),
    shared.option(
        "--as",
        dest="form",
        choices=_FORMS,
        default="script",
        help="a script whose exit status tells, or a test for Torch-Pruning's own tests/ (default: %(default)s)",
    ),
    shared.option(
        "--good", metavar="BUILD", help="a build on which the file must show nothing: of a regression, the base"
    ),
    shared.option("-o", "--output", type=Path, metavar="FILE", help="a new file (default: print it)"),
)

add = shared.command(
    "emit",
    "write a failing cell of the matrix as one Python file that stands alone",
    *_OPTIONS,
    exit_codes=shared.EXIT_CODES_WRITTEN,
)
add_minimise = shared.command(
    "minimise",
    "shrink a failing cell as far as it still fails in the same way, then write it",
    *_OPTIONS,
    exit_codes=shared.EXIT_CODES_WRITTEN,
)


def run(options: shared.Options, *, minimal: bool) -> int:
    shared.check_new(options.output)
    cell = shared.cell_named(options.cell)
    named = shared.build_named(options.cell, cell)
    if not (wanted := options.build or named):
        raise errors.UsageError("the id names no build", f"--build says which: {_BUILDS}")
    build = builds.parse(wanted)
    if named not in ("", build.label):
        raise errors.UsageError(
            f"the id names build {named}, and --build {build.label}", "leave one out, or name the same"
        )
    overlay = builds.prepare(build, say=say)
    good = builds.prepare(builds.parse(options.good), say=say) if options.good else None
    with isolation.Cache() as cache, isolation.Engine(cache=cache) as engine:
        text = reproduce.emit(engine, overlay, cell, say, reproduce.Wanted(minimal, good, _FORMS[options.form]))
    if options.output is None:
        shared.out(text, end="")
    else:
        shared.write_new(options.output, text)
        other = f", and nothing with {good.label}" if good else ""
        say(f"{options.output}: shows it when run with {overlay.label}, and exits with 1{other}")
    return errors.ExitCode.CLEAN
