"""Users' own networks in a report: kept by check, a row a build, and told without their code."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from headcount import check, results
from headcount.builds import Overlay
from headcount.cli import main
from headcount.errors import ExitCode, UsageError
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.report import document, formats, sources
from helpers import HOSTILE, ISSUE_410, REPORTED, miniature_results, read_lines, write_lines

SCHEMA = json.loads(files("headcount.report").joinpath("report.schema.json").read_text("utf-8"))

FILE = check.File(Path("/home/of/somebody/mine.py"))
CRASH = Verdict(
    Kind.CRASH, failure=Failure("IndexError", "list index out of range", "ops.get_in_channels", Phase.STEP, "secret()")
)
COUNT = Verdict(Kind.WRONG_HEADS, Finding(Rule.STEPS, Kind.WRONG_HEADS, Problem.COUNT, 1, "heads", "", (3,), (4, 5), 6))

RIGHT = check.Judgement()
CRASHES = check.Judgement((CRASH, COUNT))
UNDECIDED = check.Judgement((), ("the network's own code does not run",))


def build(label: str) -> Overlay:
    return Overlay(label, Path("overlay"), label, f"digest of {label}")


def kept(path: Path, judged: dict[str, check.Judgement], file: check.File = FILE, detail: str = "") -> Path:
    """A results file, as check --results writes it."""
    sight = check.Sight(Observation(Ending.FINISHED, detail=detail))
    with results.Writer(path, map(build, judged)) as writer:
        for label, judgement in judged.items():
            writer.write(results.Network.of(file, check.Checked(build(label), sight, judgement)))
    return path


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    judged = {"1.4.0": RIGHT, "1.4.2": RIGHT, "1.5.3": CRASHES, "1.6.0": CRASHES, "1.6.1": UNDECIDED}
    return kept(tmp_path / "mine.jsonl", judged)


def made_of(*paths: Path) -> document.Document:
    return document.make(sources.load(paths))


def test_a_row_is_read_back_without_the_file_s_code(mine: Path) -> None:
    read = results.read(mine)
    assert read.complete
    assert read.rows == ()
    assert [row.judgement.is_right for row in read.networks] == [True, True, False, False, False]
    assert read.networks[2].judgement.verdicts[1] == COUNT
    assert read.networks[2].key[1:] == ("1.5.3", "mine.py")
    text = mine.read_text("utf-8")
    assert "secret" not in text
    assert "somebody" not in text


@pytest.mark.parametrize(
    ("judgement", "says"),
    [
        ({"verdicts": [{"kind": "ok"}]}, "contradicts itself: ok"),
        (
            {"verdicts": [{"kind": "untestable", "finding": {**json.loads(json.dumps(vars(COUNT.finding)))}}]},
            "contradict",
        ),
        ({"verdict": []}, "verdict"),
        ([], "judgement"),
    ],
    ids=["fine", "finding", "name", "kind"],
)
def test_a_row_that_was_edited_is_refused(mine: Path, tmp_path: Path, judgement: object, says: str) -> None:
    lines = read_lines(mine)
    lines[1]["judgement"] = judgement
    with pytest.raises(UsageError, match=says):
        results.read(write_lines(tmp_path / "edited.jsonl", lines))


def test_a_cell_is_no_network(tmp_path: Path) -> None:
    """Whatever it calls itself, and wherever in its line."""
    header, row, *others = read_lines(miniature_results(tmp_path, "correct"))
    del row["kind"]
    for renamed in ({**row, "kind": "network"}, {"kind": "network", **row}):
        with pytest.raises(UsageError, match="line 2"):
            results.read(write_lines(tmp_path / "renamed.jsonl", [header, renamed, *others]))


def test_networks_are_merged_once_each(mine: Path, tmp_path: Path) -> None:
    other = kept(tmp_path / "other.jsonl", {"1.6.1": RIGHT}, replace(FILE, function="other"))
    merged = results.merge([results.read(mine), results.read(other)])
    assert [row.file for row in merged.networks] == ["mine.py"] * 5 + ["mine.py:other"]
    assert merged.complete
    with pytest.raises(UsageError, match=r"1\.4\.0-mine\.py is in two"):
        results.merge([results.read(mine), results.read(mine)])


def test_neighbours_that_do_the_same_are_told_together(mine: Path) -> None:
    made = made_of(mine)
    (network,) = made.networks
    assert [(run.names, run.state) for run in network.runs] == [
        ("1.4.0, 1.4.2", "right"),
        ("1.5.3 to 1.6.0", "crash"),
        ("1.6.1", "not judged"),
    ]
    assert network.runs[1].looks_like == ("summed-output",)
    assert network.runs[1].reasons == (
        "crash: IndexError at step in ops.get_in_channels: list index out of range",
        "wrong-heads: block 1: 3 heads are left, 4 to 5 should be: too few",
    )
    assert network.runs[2].reasons == UNDECIDED.undecided
    assert network.advice == "take 1.4.2: the newest that prunes it right"
    assert (made.problems, made.exit_code) == ((), ExitCode.CLEAN)


def test_where_none_is_right_none_is_advised(tmp_path: Path) -> None:
    made = made_of(kept(tmp_path / "none.jsonl", {"1.6.1": CRASHES}))
    assert made.networks[0].advice == "none of these prunes it right"


def test_the_document_is_as_its_schema_says(mine: Path) -> None:
    found = made_of(mine).to_json()
    jsonschema.validate(found, SCHEMA)
    (network,) = found["networks"]
    assert [run["builds"] for run in network["runs"]] == [[0, 1], [2, 3], [4]]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "networks": [{**network, "code": "secret()"}]}, SCHEMA)


def test_the_page_and_the_markdown_have_them(mine: Path) -> None:
    made = made_of(mine)
    page = formats.html(made.to_json())
    assert '<h2 id="networks-title">Your networks</h2>' in page
    assert '<td data-v="crash">crash</td><td>crash: IndexError' in page
    assert '<td data-v="ok">right</td>' in page
    assert page.count(" hidden>") == 5  # what the matrix fills
    text = formats.markdown(made)
    assert "- `mine.py, transformers " in text
    assert "| `1.4.0, 1.4.2` | right |  |\n" in text
    assert "; looks like summed-output` |\n" in text


def test_they_stand_beside_the_matrix(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = miniature_results(tmp_path, "correct")
    monkeypatch.setattr("headcount.report.sources.default_cells", lambda: REPORTED)
    made = made_of(cells, mine)
    assert made.problems == ()
    assert made.builds == ("1.4.0", "1.4.2", "1.5.3", "1.6.0", "1.6.1", "correct")
    page = formats.html(made.to_json())
    assert "Your networks" in page
    assert ISSUE_410 in page
    assert " hidden>" not in page
    assert "Your networks" not in formats.html(made_of(cells).to_json())


def test_what_is_missing_is_said(mine: Path, tmp_path: Path) -> None:
    lines = read_lines(mine)
    cut = write_lines(tmp_path / "cut.jsonl", lines[:-1])
    assert "cut.jsonl is cut off after 5 rows: run it again" in made_of(cut).problems
    one_less = {**lines[-1], "rows": 4, "verdicts": {}}
    silent = write_lines(tmp_path / "silent.jsonl", [lines[0], *lines[2:-1], one_less])
    assert "silent.jsonl has no rows of 1.4.0" in made_of(silent).problems
    twice = made_of(mine, mine).problems
    assert any(problem.startswith("1.4.0-mine.py, transformers ") for problem in twice)
    lost = check.Judgement((Verdict(Kind.UNTESTABLE, ending=Ending.UNIMPORTABLE),))
    untested = made_of(kept(tmp_path / "lost.jsonl", {"1.6.1": lost}, detail="no such module"))
    assert untested.problems == ("could not be tested: 1 network with 1.6.1",)
    assert untested.exit_code == ExitCode.INDETERMINATE
    assert untested.networks[0].runs[0].state == "untestable"


def test_what_a_build_says_is_no_markup(tmp_path: Path) -> None:
    hostile = check.Judgement((replace(CRASH, failure=Failure(HOSTILE, HOSTILE, HOSTILE)),), (HOSTILE,))
    path = kept(tmp_path / "hostile.jsonl", {HOSTILE: hostile}, replace(FILE, path=Path(f"/{HOSTILE}|.py")))
    made = made_of(path)
    assert "<script>document" not in formats.html(made.to_json())
    (row,) = [line for line in formats.markdown(made).splitlines() if line.startswith("| `")]
    assert row.count("|") == 5  # four columns


def test_check_keeps_what_it_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net-work.py"
    file.write_text("def check(): ...")
    monkeypatch.setattr("headcount.builds.prepare", lambda wanted, **_: build(wanted.label))
    sight = check.Sight(Observation(Ending.FINISHED))
    judged = {"1.4.0": RIGHT, "1.6.1": CRASHES}
    monkeypatch.setattr(
        "headcount.check.check_all",
        lambda prepared, *_: (check.Checked(each, sight, judged[each.label]) for each in prepared),
    )
    words = ["check", str(file), "--build", "1.4.0", "--build", "1.6.1", "--results"]
    monkeypatch.chdir(tmp_path)
    for number in "12":
        monkeypatch.setattr("headcount.results.stamp", lambda number=number: f"20260101-12000{number}-7")
        assert main([*words, "results"]) == ExitCode.REGRESSION
    first, second = sorted(Path("results").glob("check-*-net-work-*.jsonl"))
    assert [row.verdict.kind for row in results.read(first).networks] == [Kind.OK, Kind.CRASH]
    assert f"results: {first}" in capsys.readouterr().err
    # The newest of a network is what a report takes.
    assert main(["report", "--format", "json", "-o", "-"]) == ExitCode.CLEAN
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["files"]] == [second.name]
    assert main([*words, str(file)]) == ExitCode.SETUP
    assert "--results DIR names another" in capsys.readouterr().err
