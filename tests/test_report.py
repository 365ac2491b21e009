"""The report: its numbers are the rows', it says what is missing, and what a build says is never markup."""

import json
import os
import re
from collections import Counter
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
from headcount.gate import run as gating
from headcount.matrix import cells as matrix
from headcount.cli import main
from headcount.defects import Outcome
from headcount.isolation.engine import Engine
from headcount.errors import ExitCode, UsageError
from headcount.models import FAMILIES, small
from headcount.observation import Ending, Observation
from headcount.oracle.expectation import expect
from headcount.report import counting, document, html, summary, support, timeline
from headcount.report.support import State
from headcount.report.timeline import Mark
from headcount.results import Writer, judged
from headcount.oracle.verdict import Kind
from test_runner import ISSUE_410, PLAIN

SCHEMA = json.loads(files("headcount.report").joinpath("report.schema.json").read_text("utf-8"))
CELLS = [matrix.by_id(matrix.default_cells())[name] for name in (PLAIN, ISSUE_410)]
HOSTILE = "</script><script>document.title='forged'</script><img src=x onerror=\"document.title='forged'\">"


@pytest.fixture(autouse=True)
def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells that are asked here are all there are."""
    monkeypatch.setattr("headcount.report.document.every_cell", lambda: CELLS)


def edited(source: Path, target: Path, change: Callable[[list[Any]], object]) -> Path:
    """A results file that someone has changed, and made to look whole."""
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    change(lines)
    rows = lines[1:-1]
    lines[-1] |= {"rows": len(rows), "verdicts": Counter(row["verdict"] for row in rows)}
    target.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return target


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
    left = {left["name"]: (left["seen"], left["fits"]) for left in found["left"][wrong["left"]]}
    assert cell["expected"]["heads, block 0"] == "2"
    assert left["heads, block 0"] == ("1", False)
    assert left["heads that the pruner reports, block 0"] == ("1", True)
    fine = next(row for row in found["rows"] if row["verdict"] == "ok")
    assert all(left["fits"] for left in found["left"][fine["left"]])


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

    def one_less(lines: list[Any]) -> None:
        del lines[2]

    def without(build: str) -> Callable[[list[Any]], None]:
        def change(lines: list[Any]) -> None:
            lines[:] = [line for line in lines if line.get("build") != build]

        return change

    def in_rows(**changed: object) -> Callable[[list[Any]], object]:
        return lambda lines: [row.update(changed) for row in lines[1:-1] if row["verdict"] != "ok"]

    def in_builds(**changed: object) -> Callable[[list[Any]], object]:
        return lambda lines: [build.update(changed) for build in lines[0]["builds"]]

    absent = edited(plain, tmp_path / "absent.jsonl", without("injects"))
    twice = edited(plain, tmp_path / "twice.jsonl", lambda lines: lines.insert(-1, lines[1]))
    strange = edited(plain, tmp_path / "strange.jsonl", in_rows(defect="never-heard-of"))
    part = edited(plain, tmp_path / "part.jsonl", one_less)
    other = edited(plain, tmp_path / "other.jsonl", in_builds(digest="other"))
    moved = edited(plain, tmp_path / "moved.jsonl", lambda lines: lines[0].update(harness="other"))
    miscounted = tmp_path / "miscounted.jsonl"
    miscounted.write_text(text.replace('"verdicts":{"ok":3', '"verdicts":{"ok":2'))
    untestable = observed(tmp_path, "crash-import")
    for paths, code, says in (
        ([cut], ExitCode.INDETERMINATE, "is cut off after 2 rows"),
        ([plain, foreign], ExitCode.USAGE, "is no results file"),
        ([plain, odd], ExitCode.USAGE, "'fine' is not a valid Kind"),
        ([plain, plain], ExitCode.INDETERMINATE, f"is twice in {plain.name}"),
        ([plain, twice], ExitCode.INDETERMINATE, f"is in {plain.name} and in twice.jsonl"),
        ([part], ExitCode.INDETERMINATE, "part.jsonl is of a part of the matrix: correct was asked 1 of its 2 cells"),
        (
            [plain, other],
            ExitCode.INDETERMINATE,
            "correct, wrong-heads, injects had other code in one than in the other",
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
        assert main(["report", *map(str, paths), "-o", str(page)]) == code
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
    base, candidate = observed(tmp_path, "correct"), observed(tmp_path, "wrong-heads")
    assert main(["report", "--compare", str(base), str(candidate), "--format", "json", "-o", "-"]) == ExitCode.CLEAN
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert found["comparisons"][0]["counts"] == {"regressed": 1, "still ok": 1}
    (difference,) = found["comparisons"][0]["differences"]
    assert [found["builds"][found["rows"][place]["build"]] for place in difference["rows"]] == [
        "correct",
        "wrong-heads",
    ]
    assert "compared with" in html.render(found)
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
    found_ = ["report", "--compare", str(base), str(few), "-o", str(tmp_path / "few.html")]
    assert main(found_) == ExitCode.INDETERMINATE
    assert f"1 cells are only in {base.name}, and are not compared" in capsys.readouterr().err
    elsewhere = tmp_path / "line.jsonl"
    elsewhere.write_text(re.sub(r'"transformers":"[\d.]+"', '"transformers":"9.9.9"', base.read_text()))
    assert main(["report", "--compare", str(base), str(elsewhere)]) == ExitCode.USAGE
    assert "of two lines of transformers" in capsys.readouterr().err


def gate_of(tmp_path: Path, base: str, candidate: str, **options: Any) -> Path:
    """A gate's file."""
    asked = gating.request(
        miniatures.build(tmp_path / candidate, base, claims="1.6.0", version="1.6.0"),
        miniatures.build(tmp_path / candidate, candidate),
        **options,
    )
    path = tmp_path / f"gate-{base}-{candidate}.jsonl"
    with Writer(path, (asked.base, asked.candidate), more={"gate": gating.header(asked)}) as writer:
        gating.run(asked, writer, lambda _: None)
    return path


def test_a_gate_s_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the names that are gone and the doubts, everywhere; an undecided one is not complete."""
    monkeypatch.setattr("headcount.gating.every_cell", lambda: CELLS)
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    worse = gate_of(tmp_path, "correct", "wrong-heads")
    assert main(["report", str(worse), "--format", "json", "-o", "-"]) == ExitCode.CLEAN
    said = capsys.readouterr()
    assert "NOT fit for release; cells that got worse: 1: 1 regressed, 1 still ok" in said.err
    found = json.loads(said.out)
    jsonschema.validate(found, SCHEMA)
    answer = found["comparisons"][0]["gate"]
    assert answer["exit_code"] == 1
    assert answer["headline"].partition("transformers 4.57.6: ")[2] == "NOT fit for release; cells that got worse: 1"
    header = json.loads(worse.read_text().splitlines()[0])
    lost = {"path": "torch_pruning.gone", "removed": True, "what": "public name removed", "allowed": False}
    header["gate"] |= {"breaches": [lost], "doubts": [HOSTILE]}
    other = tmp_path / "doubtful.jsonl"
    other.write_text("\n".join([json.dumps(header), *worse.read_text().splitlines()[1:]]) + "\n")
    for style, needle in (("html", "<code>torch_pruning.gone</code>: public name removed"), ("markdown", "gone")):
        assert main(["report", str(other), "--format", style, "-o", "-"]) == ExitCode.CLEAN
        said = capsys.readouterr()
        assert needle in said.out
        assert "doubtful" in said.out
    assert "NOT fit" in said.err
    undecided = gate_of(tmp_path, "correct", "crash-import")
    assert main(["report", str(undecided), "-o", str(tmp_path / "page.html")]) == ExitCode.INDETERMINATE
    assert "undecided" in capsys.readouterr().err
    header["gate"]["breaches"] = [1]
    other.write_text("\n".join([json.dumps(header), *worse.read_text().splitlines()[1:]]) + "\n")
    assert main(["report", str(other), "-o", str(tmp_path / "page.html")]) == ExitCode.INDETERMINATE
    assert "these are no results of a gate" in capsys.readouterr().err
    again = edited(worse, tmp_path / "again.jsonl", lambda lines: lines[0].pop("gate"))
    assert main(["report", str(worse), str(again), "-o", str(tmp_path / "page.html")]) == ExitCode.INDETERMINATE
    assert "is in gate-correct-wrong-heads.jsonl and in again.jsonl" in capsys.readouterr().err


def test_what_is_mended_does_not_show(tmp_path: Path, plain: Path) -> None:
    """The catalogue foretold it, the cell is fine: the defect is named, and is not there."""

    def mend(lines: list[Any]) -> None:
        row = next(row for row in lines[1:-1] if (row["build"], row["cell"]) == ("correct", ISSUE_410))
        row |= {"defect": "410-total-heads", "outcome": "unexpectedly-fixed"}

    made = document.make(document.load([edited(plain, tmp_path / "mended.jsonl", mend)]))
    (found,) = made.timelines
    assert found.marks[0] == Mark.FINE
    assert "410-total-heads was foretold, and does not show" in summary.markdown(made)


def test_a_comparison_of_a_build_with_itself_changed(tmp_path: Path) -> None:
    """Each file's rows are shown under a name of their own."""
    path = observed(tmp_path, "correct")
    killed = {"verdict": "killed", "reason": "it was", "outcome": "unexpected-failure"}
    changed = edited(path, tmp_path / "changed.jsonl", lambda lines: lines[1].update(killed))
    sources = document.apart(*document.load([path, changed]))
    made = document.make(sources, [document.compare(*sources)])
    assert (made.problems, made.builds) == ((), ("correct (correct.jsonl)", "correct"))
    (difference,) = made.to_json()["comparisons"][0]["differences"]
    assert len(difference["rows"]) == 2
    assert made.to_json()["specs"] == ["correct", "correct"]


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


FINE, SHOWS, HIDDEN, UNKNOWN = Mark.FINE, Mark.SHOWS, Mark.HIDDEN, Mark.UNKNOWN


@pytest.mark.parametrize(
    ("builds", "marks", "story"),
    [
        (("1.4.0", "1.4.1", "1.4.2"), (FINE, SHOWS, FINE), "introduced in 1.4.1, fixed in 1.4.2"),
        (
            ("1.4.0", "1.4.1", "1.4.2"),
            (SHOWS, UNKNOWN, FINE),
            "there by 1.4.0, fixed after 1.4.0, in 1.4.2 or before",
        ),
        (("1.4.0", "1.4.1", "1.4.2"), (HIDDEN, SHOWS, UNKNOWN), "there by 1.4.1"),
        (("1.3.0", "1.6.1"), (FINE, SHOWS), "introduced after 1.3.0, in 1.6.1 or before"),
        (("1.3.0", "1.3.1", "1.3.2"), (SHOWS, HIDDEN, SHOWS), "there from 1.3.0"),
        (("1.4.1", "my-checkout"), (SHOWS, FINE), "in 1.4.1"),
        (("1.4.2", "1.4.1"), (FINE, SHOWS), "in 1.4.1"),
    ],
)
def test_a_defect_s_story(builds: tuple[str, ...], marks: tuple[Mark, ...], story: str) -> None:
    """A build that nobody asked has neither introduced nor fixed anything."""
    assert timeline.story(builds, marks) == story


def test_a_mark_needs_a_cell_that_was_asked(tmp_path: Path, plain: Path) -> None:
    lines = [json.loads(line) for line in plain.read_text().splitlines()]
    builds = ("correct", "wrong-heads", "injects")
    shown = {"defect": "410-total-heads", "verdict": "crash", "outcome": "expected"}
    by_build = {b: next(r for r in lines[1:-1] if (r["build"], r["cell"]) == (b, ISSUE_410)) for b in builds}
    by_build["injects"] |= shown
    by_build["wrong-heads"] |= {"verdict": "untestable", "outcome": "indeterminate"}
    path = tmp_path / "marks.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    (found,) = document.make(document.load([path])).timelines
    assert found.marks == (FINE, UNKNOWN, SHOWS)
    by_build["wrong-heads"] |= {"verdict": "wrong-heads", "outcome": "unexpected-failure"}
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    (found,) = document.make(document.load([path])).timelines
    assert found.marks == (FINE, HIDDEN, SHOWS)


def test_totals_and_leave_are_counted(plain: Path) -> None:
    """What is ranked together has one line, on both sides; a model that may stay as it was fits."""
    cells = matrix.known_cells().values()
    together = next(
        c for c in cells if expect(c.model, c.config).head_total and expect(c.model, c.config).channel_totals
    )
    expectation = expect(together.model, together.config)
    sizes = {role: max(counts) for role, counts in expectation.channels.items()}
    every = {role: tuple(range(size)) for role, size in sizes.items()}
    width = together.model.heads * together.model.head_dim
    every |= {f"{name}.{block}": tuple(range(width)) for name in "qkvo" for block in range(together.model.layers)}
    whole = Observation(Ending.FINISHED, kept=every, sizes={role: len(kept) for role, kept in every.items()})
    names = {left.name: left for left in counting.observed(expectation, whole)}
    assert not names["heads in all"].fits
    assert names["heads in all"].seen == str(together.model.heads * together.model.layers)
    assert set(counting.expected(expectation)) <= set(names)
    free = replace(expectation, may_leave=True)
    assert all(left.fits for left in counting.observed(free, whole))
    assert counting.expected(free)["or else"] == "the whole model, as it was"


@pytest.mark.parametrize("name", ["build", "cell", "config", "verdict", "reason", "defect", "outcome", "observation"])
@pytest.mark.parametrize("value", [None, [1], 7, {"a": 1}, "x", float("nan")])
def test_a_row_of_another_kind(tmp_path: Path, plain: Path, name: str, value: object) -> None:
    """Said in a line, with the exit code of a wrong call; never a traceback."""
    lines = [json.loads(line) for line in plain.read_text().splitlines()]
    lines[1][name] = value
    path = tmp_path / "row.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    code = main(["report", str(path), "-o", str(tmp_path / "page.html")])
    says_nothing_wrong = (name, value) in (("reason", "x"), ("config", {"a": 1}), ("defect", None))
    foreign_cell = (name, value) == ("cell", "x")
    expected_code = ExitCode.INDETERMINATE if foreign_cell else ExitCode.CLEAN if says_nothing_wrong else ExitCode.USAGE
    assert code == expected_code


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
    path.write_text(path.read_text().replace('null,"outcome":"unexp', '"steps-compound","outcome":"unexp'))
    (found,) = document.make(document.load([path])).timelines
    assert (found.defect.id, found.story) == ("steps-compound", "in wrong-heads")


# --- the support table ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "bare", "release", "line", "state", "shown"),
    [
        ("vit", False, "1.6.1", "4.57.6", State.WORKS, ()),
        ("vit", False, "1.4.1", "4.57.6", State.BROKEN, ("410-total-heads",)),
        ("dinov2", False, "1.6.1", "4.57.6", State.EXTRA, ("concat-half",)),
        ("dinov3", False, "1.6.1", "5.23.0", State.UNTRACED, ("split-tokens",)),
        ("clip", True, "1.6.1", "4.57.6", State.FIXED, ()),
        ("clip", True, "1.6.1", "5.23.0", State.WORKS, ()),
        ("swin", False, "1.6.1", "5.23.0", State.BROKEN, ("per-head-table",)),
        ("dinov3", False, "1.6.1", "4.50.0", State.MISSING, ()),
    ],
)
def test_which_family_works(family: str, bare: bool, release: str, line: str, state: State, shown: Any) -> None:
    found = support.support(small(family, bare=bare), release, line)
    assert (found.state, found.defects) == (state, shown)


@pytest.mark.parametrize(
    ("release", "state", "shown"),
    [
        ("1.4.0", State.BROKEN, ("411-stale-groups",)),
        ("1.4.2", State.WORKS, ()),
        ("1.5.0", State.WORKS, ()),
        ("1.6.1", State.BROKEN, ("steps-compound",)),
    ],
)
def test_which_release_works_in_steps(release: str, state: State, shown: Any) -> None:
    found = support.support(small("vit"), release, "5.23.0", calls=matrix.STEPPED_CALLS)
    assert (found.state, found.defects) == (state, shown)


@pytest.mark.parametrize("options", [[], ["--in-steps"]])
def test_the_support_table_has_all(capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str]) -> None:
    assert main(["support", *options, "--json", str(tmp_path / "support.json")]) == ExitCode.CLEAN
    printed = capsys.readouterr().out
    plain = json.loads((tmp_path / "support.json").read_text())
    assert list(plain) == list(support.LINES)
    for family in FAMILIES.values():
        assert printed.count(f"\n{family.title}  ") == len(plain)
    shown = {
        defect for models in plain.values() for by in models.values() for s in by.values() for defect in s["defects"]
    }
    assert all(f"  {defect}: " in printed for defect in shown)
    assert max(map(len, printed.splitlines())) <= 120


def test_the_support_table_of_one_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--model", "dinov2", "--transformers", "4.57.6"]) == ExitCode.CLEAN
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("DINOv2")]
    assert rows == ["DINOv2", "DINOv2, bare"]
    assert main(["support", "--model", "dino"]) == ExitCode.USAGE
    assert "no such model: dino (there are beit, " in capsys.readouterr().err
    assert main(["support", "--transformers", "4.99"]) == ExitCode.USAGE
    assert "nothing is known of transformers 4.99 (there are 4.57.6, 5.23.0)" in capsys.readouterr().err
