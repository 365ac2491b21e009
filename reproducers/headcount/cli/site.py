"""`headcount site`: the folder that is published: the report, badges, a feed."""

import json
from datetime import UTC, datetime
from pathlib import Path

from headcount import defects, environment, errors
from headcount.cli import report, shared
from headcount.report import console, document, formats, site, sources

add = shared.command(
    "site",
    "the folder that is published: the report, an endpoint for a badge of each release and family, a feed",
    shared.option(
        "results",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help="the matrix's (default: the newest of each version in results/)",
    ),
    shared.option("-o", "--output", type=Path, default=Path("results/site"), help="a folder (default: %(default)s)"),
    shared.option(
        "--address",
        default="https://example.org/headcount/",
        metavar="URL",
        help="where it will be: of the feed's links",
    ),
    more="""Any server of files serves it: python -m http.server -d results/site. A badge is
https://img.shields.io/endpoint?url=URL/badges/1.6.1.json.""",
    examples=(
        "",
        "results/transformers-5.23.0-*.jsonl -o public",
        "--address https://OWNER.github.io/headcount/",
    ),
    exit_codes=report.EXIT_CODES,
)


def run(options: shared.Options) -> int:
    made = document.make(sources.load(options.results or report.newest(Path("results"))))
    folder: Path = options.output
    shared.refuse((folder.exists() and not folder.is_dir(), f"{folder} is no folder", "-o FOLDER names another"))
    address = f"{options.address.rstrip('/')}/"
    transformers = defects.recorded(environment.environment()["transformers"]).transformers
    files = {"index.html": formats.html(made.to_json())}
    files |= {f"badges/{name}.json": json.dumps(badge) + "\n" for name, badge in site.badges(made.rows).items()}
    files["feed.xml"] = site.feed(address, transformers, datetime.now(UTC).isoformat(timespec="seconds"))
    with shared.writes(folder, "-o FOLDER names another"):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", "backslashreplace")
    for problem in made.problems:
        console.say(f"NOT COMPLETE: {problem}")
    console.say(f"{folder}: {len(files)} files; python -m http.server -d {folder} serves them")
    return errors.ExitCode(made.exit_code)
