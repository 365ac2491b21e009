"""The report: its numbers are the rows', it says what is missing, and what a build says is never markup."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import miniatures
from headcount import matrix, results
from headcount.cli import main
from headcount.defects import Outcome
from headcount.engine import Engine
from headcount.errors import ExitCode, UsageError
from headcount.report import document, html, summary
from headcount.results import Writer, judged
from headcount.verdicts import Kind
from test_runner import ISSUE_410, PLAIN

SCHEMA = json.loads(files("headcount.report").joinpath("report.schema.json").read_text("utf-8"))
CELLS = [matrix.by_id(matrix.default_cells())[name] for name in (PLAIN, ISSUE_410)]
HOSTILE = "</script><script>document.title='forged'</script><img src=x onerror=\"document.title='forged'\">"


def observed(tmp_path: Path, *names: str, complete: bool = True) -> Path:
    """A results file of miniatures, as the matrix writes it."""
    path = tmp_path / f"{'-'.join(names)}.jsonl"
    overlays = [miniatures.build(tmp_path / "builds" / path.stem, name) for name in names]
    with Engine(cell_timeout=5.0) as engine:
        writer = Writer(path, overlays)
        for overlay in overlays:
            for cell in CELLS:
                writer.write(judged(overlay, cell, engine.run(overlay, cell)))
        writer.close(complete=complete)
    return path


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return observed(tmp_path_factory.mktemp("results"), "correct", "wrong-heads", "injects")


def test_the_document_is_as_its_schema_says(plain: Path) -> None:
    found = document.make(document.load([plain])).to_json()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(found, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "rows": [{**found["rows"][0], "verdict": "fine"}]}, SCHEMA)
    assert set(SCHEMA["$defs"]["verdict"]["enum"]) == set(Kind)
    assert set(SCHEMA["properties"]["rows"]["items"]["properties"]["outcome"]["enum"]) == set(Outcome)


def test_its_numbers_are_the_rows(plain: Path) -> None:
    rows = results.read(plain).rows
    made = document.make(document.load([plain]))
    found = made.to_json()
    (counted,) = found["counts"].values()
    assert counted == {kind: n for kind in Kind if (n := sum(row["verdict"] == kind for row in rows))}
    assert len(found["rows"]) == len(rows) == 3 * len(CELLS)
    assert summary.counts(made)[0].endswith("6 cells: 3 ok, 0 explained by a known defect, 3 unexpected")
    wrong = next(row for row in found["rows"] if row["verdict"] == "wrong-heads")
    cell = found["cells"][wrong["cell"]]
    seen = dict(line.rsplit(": ", 1) for line in found["texts"][wrong["seen"]].splitlines())
    assert cell["expected"]["heads, block 0"] == "2"
    assert seen["heads, block 0"] == seen["heads that the pruner reports, block 0"].split(", ")[0] == "1"


def test_what_is_missing_is_said(tmp_path: Path, plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the page and on the terminal, and by the exit code; never a page that looks complete."""
    cut = observed(tmp_path, "correct", complete=False)
    foreign, empty = tmp_path / "foreign.jsonl", tmp_path / "empty.jsonl"
    foreign.write_text('{"name": "something else"}\n')
    empty.write_text("")
    text = plain.read_text()
    odd, mixed = tmp_path / "odd.jsonl", tmp_path / "mixed.jsonl"
    odd.write_text(text.replace('"verdict":"ok"', '"verdict":"fine"'))
    mixed.write_text(text.replace('"harness":"', '"harness":"other').replace('"cell":"vit', '"cell":"other-vit'))
    for paths, code, says in (
        ([cut], ExitCode.INDETERMINATE, "is cut off after 2 rows"),
        ([plain, foreign], ExitCode.USAGE, "is no results file"),
        ([plain, odd], ExitCode.USAGE, "is none of ours"),
        ([plain, plain], ExitCode.INDETERMINATE, "is in two of the files"),
        ([plain, mixed], ExitCode.INDETERMINATE, "the files are mixed"),
        ([plain, tmp_path / "nowhere.jsonl"], ExitCode.USAGE, "cannot read"),
    ):
        page = tmp_path / "page.html"
        assert main(["report", *map(str, paths), "-o", str(page)]) == code
        assert "NOT COMPLETE: " in (err := capsys.readouterr().err)
        assert says in err
        assert "This report is not complete." in page.read_text()
        page.unlink()
    for paths in ([empty], [foreign], [tmp_path / "nowhere.jsonl"]):
        assert main(["report", *map(str, paths), "-o", str(tmp_path / "page.html")]) == ExitCode.USAGE
        assert not (tmp_path / "page.html").exists()


def test_the_newest_results_are_taken(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == ExitCode.USAGE
    assert "nox -s matrix makes some" in capsys.readouterr().err
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "transformers-4.57.6-20260101-000000-1.jsonl").write_text(plain.read_text())
    assert main(["report"]) == ExitCode.CLEAN
    assert "This report is not complete." not in Path("results/report.html").read_text()
    assert "written: results/report.html" in capsys.readouterr().err


def test_two_results_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, candidate = observed(tmp_path, "correct"), observed(tmp_path, "wrong-heads")
    assert main(["report", "--compare", str(base), str(candidate), "--format", "json", "-o", "-"]) == ExitCode.CLEAN
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert found["comparison"]["counts"] == {"regressed": 1, "still ok": 1}
    assert "compared with" in html.render(found)
    assert main(["report", "--compare", str(base), str(candidate), "--format", "markdown", "-o", "-"]) == ExitCode.CLEAN
    assert "1 regressed" in capsys.readouterr().out
    other = tmp_path / "other.jsonl"
    other.write_text(base.read_text().replace('"cell":"vit', '"cell":"other-vit'))
    assert main(["report", "--compare", str(base), str(other)]) == ExitCode.USAGE
    assert "have no cell in common" in capsys.readouterr().err
    assert main(["report", str(base), "--compare", str(base), str(candidate)]) == ExitCode.USAGE


class _Tags(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def hostile(plain: Path, tmp_path: Path) -> Path:
    """Results in which everything that a build may say tries to be markup."""
    lines = [json.loads(line) for line in plain.read_text().splitlines()]
    lines[0]["builds"].append({"label": HOSTILE, "spec": "", "version": "1", "digest": ""})
    for row in lines[1:-1]:
        row["reason"] = row["signature"] = HOSTILE
        row["observation"]["failure"] = {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}
    forged: dict[str, Any] = {**lines[1], "build": HOSTILE, "cell": HOSTILE, "model": HOSTILE, "verdict": "crash"}
    lines.insert(-1, {**forged, "outcome": "unexpected-failure"})
    lines[-1]["rows"] += 1
    path = tmp_path / f"{HOSTILE[:8].replace('/', '')}.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def test_what_a_build_says_is_no_markup(tmp_path: Path, plain: Path) -> None:
    made = document.make(document.load([hostile(plain, tmp_path)]))
    page = html.render(made.to_json())
    tags = _Tags(page)
    assert (tags.found.count("script"), tags.found.count("img"), tags.handlers) == (2, 0, [])
    assert "<script>document" not in page
    unfenced = re.sub(r"(?s)(```+)text\n.*?\n\1", "", summary.markdown(made))
    assert "<script>" not in re.sub(r"(`+) .*? \1|`[^`]*`", "", unfenced)


def test_a_source_without_results() -> None:
    with pytest.raises(UsageError, match="there are no results"):
        document.make([])
    broken = document.Source("name", None, "why")
    with pytest.raises(UsageError, match="why"):
        document.compare(broken, replace(broken, name="other"))


def test_an_overlay_of_another_name(tmp_path: Path) -> None:
    """Builds that are no releases are listed one by one."""
    path = observed(tmp_path, "wrong-heads")
    rows = path.read_text().replace('"defect":null', '"defect":"steps-compound"')
    path.write_text(rows)
    assert document.releases_of(document.make(document.load([path]))) == {"steps-compound": "wrong-heads"}
