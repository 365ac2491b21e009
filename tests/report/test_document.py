"""The report: its numbers are the rows', it says what is missing, and what a build says is never markup."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import miniatures
from headcount import results
from headcount.cli import main
from headcount.defects import Outcome
from headcount.errors import ExitCode, UsageError
from headcount.gate import Change
from headcount.oracle import Kind
from headcount.report import document, formats, sources
from headcount.report.timeline import Mark
from helpers import (
    HOSTILE,
    ISSUE_410,
    REPORTED,
    edited,
    gate_file,
    hostile_results,
    miniature_results,
    read_lines,
    write_lines,
)

SCHEMA = json.loads(files("headcount.report").joinpath("report.schema.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells that are run here are all there are."""
    monkeypatch.setattr("headcount.report.sources.default_cells", lambda: REPORTED)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature_results(tmp_path_factory.mktemp("results"), "correct", "wrong-heads", "injects")


def made_of(*paths: Path) -> document.Document:
    return document.make(sources.load(paths))


def test_the_document_is_as_its_schema_says(plain: Path) -> None:
    found = made_of(plain).to_json()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(found, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "rows": [{**found["rows"][0], "verdict": "fine"}]}, SCHEMA)
    assert set(SCHEMA["$defs"]["verdict"]["enum"]) == set(Kind)
    assert set(SCHEMA["properties"]["rows"]["items"]["properties"]["outcome"]["enum"]) == set(Outcome)
    assert SCHEMA["properties"]["format"]["const"] == document.FORMAT


def test_its_numbers_are_the_rows(plain: Path) -> None:
    rows = results.read(plain).rows
    made = made_of(plain)
    found = made.to_json()
    (counted,) = found["counts"].values()
    assert counted == {kind: n for kind in Kind if (n := sum(row.verdict.kind is kind for row in rows))}
    assert len(found["rows"]) == len(rows) == 3 * len(REPORTED)
    assert formats.counts(made)[0].endswith("6 cells: 3 ok, 0 explained by a known defect, 3 unexpected")
    wrong = next(row for row in found["rows"] if row["verdict"] == "wrong-heads")
    cell = found["cells"][wrong["cell"]]
    left = {left["name"]: (left["seen"], left["fits"]) for left in found["left"][wrong["left"]]}
    assert cell["expected"]["heads, block 0"] == "2"
    assert left["heads, block 0"] == ("1", False)
    assert left["heads that the pruner reports, block 0"] == ("1", True)
    assert found["texts"][wrong["reason"]] == "block 0: 1 head is left, 2 should be: too few"
    fine = next(row for row in found["rows"] if row["verdict"] == "ok")
    assert all(left["fits"] for left in found["left"][fine["left"]])


def test_what_is_missing_is_said(tmp_path: Path, plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the page and on the terminal, and by the exit code; never a page that looks complete."""
    cut = miniature_results(tmp_path, "correct", complete=False)
    foreign, empty = tmp_path / "foreign.jsonl", tmp_path / "empty.jsonl"
    foreign.write_text('{"name": "something else"}\n')
    empty.write_text("")
    text = plain.read_text()
    odd, mixed = tmp_path / "odd.jsonl", tmp_path / "mixed.jsonl"
    odd.write_text(text.replace('"verdict":{"kind":"ok"', '"verdict":{"kind":"fine"'))
    mixed.write_text(text.replace('"harness":"', '"harness":"other').replace('"cell":"vit', '"cell":"other-vit'))

    def one_less(lines: list[Any]) -> None:
        del lines[2]

    def without(build: str) -> Callable[[list[Any]], None]:
        def change(lines: list[Any]) -> None:
            lines[:] = [line for line in lines if line.get("build") != build]

        return change

    def explained_by(defect: str) -> Callable[[list[Any]], object]:
        failing = {"outcome": "expected", "defect": defect}
        return lambda lines: [r.update(explanation=failing) for r in lines[1:-1] if r["verdict"]["kind"] != "ok"]

    def in_builds(**changed: object) -> Callable[[list[Any]], object]:
        return lambda lines: [build.update(changed) for build in lines[0]["builds"]]

    absent = edited(plain, tmp_path / "absent.jsonl", without("injects"))
    twice = edited(plain, tmp_path / "twice.jsonl", lambda lines: lines.insert(-1, lines[1]))
    strange = edited(plain, tmp_path / "strange.jsonl", explained_by("never-heard-of"))
    part = edited(plain, tmp_path / "part.jsonl", one_less)
    other = edited(plain, tmp_path / "other.jsonl", in_builds(digest="other"))
    moved = edited(plain, tmp_path / "moved.jsonl", lambda lines: lines[0].update(harness="other"))
    blind = edited(plain, tmp_path / "blind.jsonl", lambda lines: lines[1].pop("observation"))
    older = edited(plain, tmp_path / "older.jsonl", lambda lines: lines[0].update(format=1))
    miscounted = tmp_path / "miscounted.jsonl"
    miscounted.write_text(text.replace('"verdicts":{"ok":3', '"verdicts":{"ok":2'))
    untestable = miniature_results(tmp_path, "crash-import")
    for paths, code, says in (
        ([cut], ExitCode.INDETERMINATE, "is cut off after 2 rows"),
        ([plain, foreign], ExitCode.USAGE, "is no results file"),
        ([plain, odd], ExitCode.USAGE, "'fine' is not a valid Kind"),
        ([plain, blind], ExitCode.USAGE, "blind.jsonl has a row without its observation"),
        ([plain, older], ExitCode.USAGE, "has format 1, not 2"),
        ([plain, plain], ExitCode.INDETERMINATE, f"is twice in {plain.name}"),
        ([plain, twice], ExitCode.INDETERMINATE, f"is in {plain.name} and in twice.jsonl"),
        ([part], ExitCode.INDETERMINATE, "part.jsonl is of a part of the matrix: correct ran 1 of its 2 cells"),
        (
            [plain, other],
            ExitCode.INDETERMINATE,
            "correct, injects, wrong-heads had other code in one than in the other",
        ),
        ([moved], ExitCode.INDETERMINATE, "moved.jsonl was made by another version of Headcount"),
        ([mixed], ExitCode.INDETERMINATE, "2 cells are not of this matrix"),
        ([miscounted], ExitCode.INDETERMINATE, "miscounted.jsonl is cut off"),
        ([absent], ExitCode.INDETERMINATE, "absent.jsonl has no rows of injects"),
        ([untestable], ExitCode.INDETERMINATE, "could not be tested: 2 cells of crash-import"),
        ([strange], ExitCode.INDETERMINATE, "the catalogue has no defect never-heard-of"),
        ([plain, mixed], ExitCode.INDETERMINATE, "the files are mixed"),
        ([plain, tmp_path / "nowhere.jsonl"], ExitCode.USAGE, "cannot read"),
    ):
        page = tmp_path / "page.html"
        assert main(["report", *map(str, paths), "-o", str(page)]) == code, says
        assert "NOT COMPLETE: " in (err := capsys.readouterr().err)
        assert says in err
        assert "This report is not complete." in page.read_text()
        page.unlink()
    assert main(["report", str(plain), "-o", str(plain)]) == ExitCode.USAGE
    assert plain.read_text() == text, "the results are not written over"
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
    base, candidate = miniature_results(tmp_path, "correct"), miniature_results(tmp_path, "wrong-heads")
    assert main(["report", "--compare", str(base), str(candidate), "--format", "json", "-o", "-"]) == ExitCode.CLEAN
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert found["comparisons"][0]["counts"] == {"regressed": 1, "still ok": 1}
    (difference,) = found["comparisons"][0]["differences"]
    assert [found["builds"][found["rows"][place]["build"]] for place in difference["rows"]] == [
        "correct",
        "wrong-heads",
    ]
    assert "compared with" in formats.html(found)
    assert main(["report", "--compare", str(base), str(candidate), "--format", "markdown", "-o", "-"]) == ExitCode.CLEAN
    assert "1 regressed" in capsys.readouterr().out
    other = tmp_path / "other.jsonl"
    other.write_text(base.read_text().replace('"cell":"vit', '"cell":"other-vit'))
    assert main(["report", "--compare", str(base), str(other)]) == ExitCode.USAGE
    assert "have no cell in common" in capsys.readouterr().err
    assert main(["report", str(base), "--compare", str(base), str(candidate)]) == ExitCode.USAGE
    assert main(["report", "--compare", str(base), str(base), "-o", str(tmp_path / "same.html")]) == ExitCode.CLEAN
    assert "Every cell is as it was." in (tmp_path / "same.html").read_text()
    few = edited(candidate, tmp_path / "few.jsonl", lambda lines: lines.pop(2))
    capsys.readouterr()
    words = ["report", "--compare", str(base), str(few), "-o", str(tmp_path / "few.html")]
    assert main(words) == ExitCode.INDETERMINATE
    assert f"1 cells are only in {base.name}, and are not compared" in capsys.readouterr().err
    elsewhere = tmp_path / "version.jsonl"
    elsewhere.write_text(re.sub(r'"transformers":"[\d.]+"', '"transformers":"9.9.9"', base.read_text()))
    assert main(["report", "--compare", str(base), str(elsewhere)]) == ExitCode.USAGE
    assert "of two transformers versions" in capsys.readouterr().err


def test_a_gate_s_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the names that are gone and the doubts, everywhere; an undecided one is not complete."""
    monkeypatch.setattr("headcount.gate.plan.every_cell", lambda: REPORTED)
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    base = miniatures.build(tmp_path, claims="1.6.0", version="1.6.0")
    worse = gate_file(tmp_path, base, miniatures.build(tmp_path, "wrong-heads"))
    assert main(["report", str(worse), "--format", "json", "-o", "-"]) == ExitCode.CLEAN
    said = capsys.readouterr()
    assert "NOT fit for release; calls that got worse: 1: 1 regressed, 1 still ok" in said.err
    found = json.loads(said.out)
    jsonschema.validate(found, SCHEMA)
    answer = found["comparisons"][0]["gate"]
    assert answer["exit_code"] == 1
    headline = answer["headline"].partition("transformers ")[2].partition(": ")[2]
    assert headline == "NOT fit for release; calls that got worse: 1"
    header, *rest = read_lines(worse)
    lost = {"path": "torch_pruning.gone", "removed": True, "what": "public name removed", "allowed": False}
    header["gate"] |= {"api_breaks": [lost], "doubts": [HOSTILE]}
    other = write_lines(tmp_path / "doubtful.jsonl", [header, *rest])
    for style, needle in (("html", "<code>torch_pruning.gone</code>: public name removed"), ("markdown", "gone")):
        assert main(["report", str(other), "--format", style, "-o", "-"]) == ExitCode.CLEAN
        said = capsys.readouterr()
        assert needle in said.out
        assert "doubtful" in said.out
    assert "NOT fit" in said.err
    undecided = gate_file(tmp_path, base, miniatures.build(tmp_path, "crash-import"))
    assert main(["report", str(undecided), "-o", str(tmp_path / "page.html")]) == ExitCode.INDETERMINATE
    assert "undecided" in capsys.readouterr().err
    header["gate"]["api_breaks"] = [1]
    write_lines(other, [header, *rest])
    assert main(["report", str(other), "-o", str(tmp_path / "page.html")]) == ExitCode.INDETERMINATE
    assert "these are no results of a gate" in capsys.readouterr().err
    again = edited(worse, tmp_path / "again.jsonl", lambda lines: lines[0].pop("gate"))
    assert main(["report", str(worse), str(again), "-o", str(tmp_path / "page.html")]) == ExitCode.INDETERMINATE
    assert f"is in {worse.name} and in again.jsonl" in capsys.readouterr().err


def test_what_is_mended_does_not_show(tmp_path: Path, plain: Path) -> None:
    """It is recorded, and the cell is fine: the defect is named, and is not there."""

    def mend(lines: list[Any]) -> None:
        row = next(row for row in lines[1:-1] if (row["build"], row["cell"]) == ("correct", ISSUE_410))
        row["explanation"] = {"outcome": "unexpectedly-fixed", "defect": "410-total-heads"}

    made = made_of(edited(plain, tmp_path / "mended.jsonl", mend))
    (found,) = made.timelines
    assert found.marks[0] == Mark.FINE
    assert "410-total-heads is recorded, and does not show" in formats.markdown(made)


def test_what_an_unexplained_failure_looks_like(tmp_path: Path, plain: Path) -> None:
    def alike(lines: list[Any]) -> None:
        lines[-2]["explanation"]["looks_like"] = ["idle-step", "float-heads"]

    found = made_of(edited(plain, tmp_path / "alike.jsonl", alike)).to_json()
    jsonschema.validate(found, SCHEMA)
    assert found["rows"][-1]["looks_like"] == ["idle-step", "float-heads"]


def test_a_comparison_of_a_build_with_itself_changed(tmp_path: Path) -> None:
    """Each file's rows are shown under a name of their own."""
    path = miniature_results(tmp_path, "correct")
    killed = {
        "verdict": {"kind": "killed", "ending": "killed", "detail": "it was"},
        "explanation": {"outcome": "unexpected-failure"},
    }
    changed = edited(path, tmp_path / "changed.jsonl", lambda lines: lines[1].update(killed))
    both, comparison = sources.compare(*sources.load([path, changed]))
    made = document.make(both, [comparison])
    assert (made.problems, made.builds) == ((), ("correct (correct.jsonl)", "correct"))
    (difference,) = made.to_json()["comparisons"][0]["differences"]
    assert len(difference["rows"]) == 2
    assert made.to_json()["specs"] == ["correct", "correct"]


def test_several_builds_are_compared_by_name(tmp_path: Path, plain: Path) -> None:
    """Each with its own, though the base's are then shown under other names."""
    other = edited(plain, tmp_path / "other.jsonl", lambda lines: lines[0].update(started="later"))
    _, comparison = sources.compare(*sources.load([plain, other]))
    assert [difference.change for difference in comparison.differences].count(Change.STILL_OK) == 3
    assert comparison.changed == []


def test_where_it_is_written(tmp_path: Path, plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never over a device, nor in place of a link."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "real" / "page.html")
    assert main(["report", str(plain), "-o", str(link)]) == ExitCode.CLEAN
    assert link.is_symlink()
    assert (tmp_path / "real" / "page.html").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert main(["report", str(plain), "--format", "markdown", "-o", str(pipe)]) == ExitCode.CLEAN
    assert os.read(reader, 100).startswith(b"## Headcount")
    os.close(reader)
    for folder in (str(tmp_path), ".", "/"):
        assert main(["report", str(plain), "-o", folder]) == ExitCode.USAGE
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["build", "cell", "config", "verdict", "explanation", "outcome", "observation"])
@pytest.mark.parametrize("value", [None, [1], 7, {"a": 1}, "x", float("nan")])
def test_a_row_of_another_kind(tmp_path: Path, plain: Path, name: str, value: object) -> None:
    """Said in a line, with the exit code of a wrong call; never a traceback."""
    lines = read_lines(plain)
    (lines[1]["explanation"] if name == "outcome" else lines[1])[name] = value
    path = write_lines(tmp_path / "row.jsonl", lines)
    code = main(["report", str(path), "-o", str(tmp_path / "page.html")])
    foreign_cell = (name, value) == ("cell", "x")
    any_config = (name, value) == ("config", {"a": 1})
    assert code == (ExitCode.INDETERMINATE if foreign_cell else ExitCode.CLEAN if any_config else ExitCode.USAGE)


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


def test_what_a_build_says_is_no_markup(tmp_path: Path, plain: Path) -> None:
    made = made_of(hostile_results(plain, tmp_path))
    page = formats.html(made.to_json())
    tags = _Tags(page)
    assert (tags.found.count("script"), tags.found.count("img"), tags.handlers) == (2, 0, [])
    assert "<script>document" not in page
    unfenced = re.sub(r"(?s)(```+)text\n.*?\n\1", "", formats.markdown(made))
    assert "<script>" not in re.sub(r"(`+) .*? \1|`[^`]*`", "", unfenced)


def test_a_source_without_results() -> None:
    with pytest.raises(UsageError, match="there are no results"):
        document.make([])
    broken = sources.Source("name", None, "why")
    with pytest.raises(UsageError, match="why"):
        sources.compare(broken, replace(broken, name="other"))
