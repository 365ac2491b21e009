"""headcount emit, headcount minimise: a failing call as one file, of the matrix or of a user's own."""

from pathlib import Path

from headcount import builds, canary, check, defects, errors, examine, isolation, matrix, reproduce
from headcount.cli import shared
from headcount.environment import environment
from headcount.report import upstream
from headcount.report.console import progress, say

_BUILDS = "a release, wheel, sdist, checkout, CLONE@REF or URL"

_FORMS = {"script": reproduce.Form.SCRIPT, "pytest": reproduce.Form.TEST}

_OPTIONS = (
    shared.option(
        "cell",
        metavar="CELL|FILE.py[:NAME]|RELEASE",
        help="as in the matrix's test ids, or your own file, as check takes it; or a release, for all its open defects",
    ),
    shared.SET,
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
    shared.option(
        "-o", "--output", type=Path, metavar="FILE", help="a new file (default: print it); of a release, a new folder"
    ),
)

add = shared.command(
    "emit",
    "write a failing call as one Python file that stands alone",
    *_OPTIONS,
    examples=(
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps3 --build 1.6.1",
        "1.6.1-vit-local-prunenum-keepdims-heads1of2-chan1of2-steps3 --as pytest -o test_it.py",
        "1.6.1 -o open",
    ),
    exit_codes=shared.EXIT_CODES_WRITTEN,
)
add_minimise = shared.command(
    "minimise",
    "shrink a failing call as far as it still fails in the same way, then write it",
    *_OPTIONS,
    examples=(
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps3 --build 1.6.1",
        "vit-local-prunenum-keepdims-heads1of2-chan1of2-steps3 --build 1.6.1 -o shown.py",
        "mine.py --build 1.6.1 --set iterative_steps=2",
    ),
    exit_codes=shared.EXIT_CODES_WRITTEN,
)


def run(options: shared.Options, *, minimal: bool) -> int:
    shared.check_new(options.output)
    if options.cell in builds.RELEASES:
        return _folder(options, minimal=minimal)
    file = shared.file_changed(options.cell, options.set) if check.names_file(options.cell) else None
    if options.set and file is None:
        raise errors.UsageError("--set changes a call in a file of your own", "a cell's id says the whole call")
    cell = None if file else shared.cell_named(options.cell)
    build = _build(options, cell)
    overlay = builds.prepare(build, say=say)
    good = builds.prepare(builds.parse(options.good), say=say) if options.good else None
    wanted = reproduce.Wanted(minimal, good, _FORMS[options.form])
    with isolation.Cache() as cache, canary.Engine(cache=cache, also=check.PRELOADED if file else ()) as engine:
        if cell is not None:
            text = reproduce.emit(engine, overlay, cell, say, wanted)
        elif file is not None:
            text = reproduce.emit_own(engine, overlay, file, say, wanted)
    other = f", and nothing with {good.label}" if good else ""
    shared.hand_over(options.output, text, f"shows it when run with {overlay.label}, and exits with 1{other}")
    return errors.ExitCode.CLEAN


def _folder(options: shared.Options, *, minimal: bool) -> int:
    """Write a file, and the text of an issue, for each defect that a release has."""
    release = options.cell
    shared.refuse(
        (options.output is None, f"{release} has many defects", "-o FOLDER says where their files go"),
        (options.build or options.good or options.set, "a release takes -o and --as alone", "leave others out"),
    )
    overlay = builds.prepare(builds.parse(release), say=say)
    recorded = defects.recorded(environment()["transformers"])
    open_here = (defect for defect in defects.DEFECTS if release in recorded.releases.get(defect.id, ()))
    known = sorted(open_here, key=lambda defect: defect.severity)
    options.output.mkdir()
    missing = 0
    with examine.Pool() as pool, progress(len(known)) as steps:
        wanted = reproduce.Wanted(minimal, form=_FORMS[options.form])

        def written(engine: isolation.Engine, defect: defects.Defect) -> tuple[defects.Defect, str]:
            try:
                text = reproduce.showing(engine, overlay, defect, release, wanted)
            except errors.HeadcountError as error:
                return defect, str(error)
            name = f"{defect.id.replace('-', '_')}.py"
            name = name if wanted.form is reproduce.Form.SCRIPT else f"test_{name}"
            shared.write_new(options.output / name, text)
            shown = upstream.Shown(name, text, release, reproduce.run(engine, overlay, text))
            shared.write_new(options.output / f"{defect.id}.md", upstream.issue(defect, shown))
            return defect, ""

        for defect, problem in pool.map(written, known):
            steps.done(defect.id)
            missing += bool(problem)
            if problem:
                say(f"{defect.id}: {problem}; its own file is reproducers/{defect.reproducer.file}")
    say(f"{options.output}: {len(known) - missing} of the {len(known)} defects of {release}, each a file and an issue")
    return errors.ExitCode.INDETERMINATE if missing else errors.ExitCode.CLEAN


def _build(options: shared.Options, cell: matrix.Cell | None) -> builds.Build:
    """Return the build that is named, by the option or in a cell's id.

    Raises:
        UsageError: none is, or two are.
    """
    named = shared.build_named(options.cell, cell) if cell else ""
    if not (wanted := options.build or named):
        raise errors.UsageError("no build is named", f"--build says which: {_BUILDS}")
    build = builds.parse(wanted)
    if named not in ("", build.label):
        raise errors.UsageError(
            f"the id names build {named}, and --build {build.label}", "leave one out, or name the same"
        )
    return build
