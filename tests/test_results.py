"""Results files: written as the run goes, known as cut off when they are, merged only if they fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headcount import results
from headcount.builds import Overlay
from headcount.defects import Explanation, Outcome
from headcount.errors import UsageError
from headcount.examine import Examined
from headcount.matrix.cells import EDGE_CASES
from headcount.observation import Ending, Failure, Observation, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.report import table
from headcount.untrusted import plain

BUILD = Overlay("1.4.1", Path("overlay"), "1.4.1", "abc")


FINE = Verdict(Kind.OK)
CRASH = Verdict(Kind.CRASH, failure=Failure("KeyError", "'x'", "pruner._prune", Phase.STEP))
COUNT = Verdict(Kind.WRONG_HEADS, Finding(Rule.STEPS, Kind.WRONG_HEADS, Problem.COUNT, 1, "heads", "", (3,), (4, 5), 6))


def line(
    index: int = 0,
    outcome: Outcome = Outcome.EXPECTED,
    build: str = "1.4.1",
    verdict: Verdict = FINE,
    defect: str = "",
) -> results.Row:
    overlay = replace(BUILD, label=build)
    explanation = Explanation(outcome, defect)
    return results.Row.of(Examined(overlay, EDGE_CASES[index], Observation(Ending.FINISHED), verdict, explanation))


def written(path: Path, *rows: results.Row, complete: bool = True) -> results.Results:
    writer = results.Writer(path, [BUILD], ["nox"])
    for row in rows:
        writer.write(row)
    writer.close(complete=complete)
    return results.read(path)


def test_round_trip(tmp_path: Path) -> None:
    read = written(tmp_path / "r.jsonl", line(0), line(1))
    assert read.complete
    assert [row.cell for row in read.rows] == [EDGE_CASES[0].id, EDGE_CASES[1].id]
    assert read.header.builds == (results.Build("1.4.1", "", "1.4.1", "abc"),)
    assert read.header.environment.keys() == {"python", "torch", "transformers", "numpy"}
    assert read.rows[0].config["head_pruning_ratio"] == 0.5
    assert read.footer is not None
    assert read.footer.verdicts == {"ok": 2}


def test_a_run_that_raises_leaves_no_footer(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(KeyboardInterrupt), results.Writer(path, [BUILD]) as writer:
        writer.write(line())
        raise KeyboardInterrupt
    read = results.read(path)
    assert len(read.rows) == 1
    assert not read.complete


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    for spoil in (Path.unlink, lambda path: (path.unlink(), path.write_text("another"))):
        path = tmp_path / "results.jsonl"
        with pytest.raises(OSError, match="removed or replaced"), results.Writer(path, [BUILD]):
            spoil(path)
        path.unlink(missing_ok=True)


def test_a_line_cut_in_the_middle_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path, line(0), line(1))
    path.write_text(path.read_text()[: -len('"}\n') - 200])
    read = results.read(path)
    assert not read.complete
    assert len(read.rows) <= 2


def test_a_row_that_is_missing_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path, line(0), line(1))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]))
    assert not results.read(path).complete


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "does not begin with a header"),
        ("not json\n{}\n", "line 1 is no JSON"),
        ('{"kind": "row"}\n', "does not begin with a header"),
        ('{"kind": "header", "format": 99}\n', "has format 99, not 2"),
        ('{"kind": "header", "format": 1}\n', "has format 1, not 2 .read it with the Headcount that wrote it"),
    ],
)
def test_a_foreign_file(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=says):
        results.read(path)


def test_merging(tmp_path: Path) -> None:
    one = written(tmp_path / "1.jsonl", line(0))
    two = written(tmp_path / "2.jsonl", line(1))
    assert len(results.merge([one, two]).rows) == 2
    assert results.merge([one, two]).complete


def test_merging_refuses_what_does_not_fit(tmp_path: Path) -> None:
    one = written(tmp_path / "1.jsonl", line(0))
    with pytest.raises(UsageError, match="is in two of the results"):
        results.merge([one, written(tmp_path / "2.jsonl", line(0))])
    with pytest.raises(UsageError, match="are cut off"):
        results.merge([one, written(tmp_path / "3.jsonl", line(1), complete=False)])
    other = replace(one, header=replace(one.header, environment={"torch": "1.0"}), rows=(), footer=results.Footer(0))
    with pytest.raises(UsageError, match="environment differs"):
        results.merge([one, other])
    with pytest.raises(UsageError, match="no results"):
        results.merge([])


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    written(tmp_path / "r.jsonl", line())
    with pytest.raises(FileExistsError):
        results.Writer(tmp_path / "r.jsonl", [BUILD])


def test_the_table_fits_a_terminal() -> None:
    rows = [
        line(0, build=f"1.{minor}.{patch}", verdict=COUNT, defect="no-channels-no-heads")
        for minor, patches in ((3, 8), (4, 4), (5, 4), (6, 2))
        for patch in range(patches)
        for _ in range(123)
    ]
    rows.append(line(0, Outcome.UNEXPECTED_FAILURE, "1.6.1", CRASH))
    text = table.render(rows)
    assert max(map(len, text.splitlines())) <= 80
    older, newer = text.split("cells that show a defect")[1:]
    assert older.splitlines()[1].split() == ["no-channels-no-heads", "local", *["123"] * 9]
    assert newer.splitlines()[1].split() == ["UNEXPLAINED", "local", *["·"] * 8, "1"], "first what needs a look"
    assert "123" in text
    assert "…" not in text


def test_what_came_of_the_newest_build_in_words() -> None:
    known = [
        line(0, verdict=COUNT, defect=name) for name in ("no-channels-no-heads", "no-channels-no-heads", "eval-mode")
    ]
    rows = [line(0, build="1.6.0", verdict=CRASH), *(line(0) for _ in range(4)), *known]
    build = rows[-1].build
    assert table.sentence(rows) == f"{build}: 4 of 7 calls right; 3 hit 2 known defects; nothing new"
    rows.append(line(0, Outcome.UNEXPECTED_FAILURE, verdict=CRASH))
    assert table.sentence(rows) == f"{build}: 4 of 8 calls right; 3 hit 2 known defects; 1 new"


def test_a_ref_of_a_clone_is_shown_whole() -> None:
    assert "Torch-Pruning@v1.6.0" in table.render([line(0, build="1.6.0"), line(0, build="Torch-Pruning@v1.6.0")])


@pytest.mark.parametrize("verdict", [FINE, CRASH, COUNT])
def test_a_row_is_read_back_as_it_was(verdict: Verdict) -> None:
    row = line(0, Outcome.EXPECTED if verdict is FINE else Outcome.UNEXPECTED_FAILURE, verdict=verdict)
    assert json.loads(row.to_json())["kind"] == "row"
    assert results.Row.from_json(row.to_json()).verdict == verdict
    assert results.Row.from_json(row.to_json(), short=True) == replace(
        results.Row.from_json(row.to_json()), observation=None
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verdict": {"kind": "crash"}}, "contradicts itself: crash, expected, none"),
        ({"verdict": {"kind": "ok", "finding": plain(COUNT.finding)}}, "contradicts itself: ok, expected, none"),
        ({"verdict": {"kind": "crash", "finding": plain(COUNT.finding)}}, "contradicts itself: crash"),
        ({"verdict": {"kind": "crush"}}, "'crush' is not a valid Kind"),
        ({"verdict": {"kind": "ok", "mood": "fine"}}, "row.verdict has unknown fields"),
        ({"seconds": "long"}, "row.seconds holds a str where none belongs"),
        ({"build": "1.5.0"}, "a build that the header does not list"),
        ({"transformers": "1"}, "of another transformers version than the header"),
    ],
)
def test_a_row_that_was_edited(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    path = tmp_path / "r.jsonl"
    written(path, line(0))
    header, row, footer = path.read_text().splitlines()
    path.write_text("\n".join([header, json.dumps(json.loads(row) | changes), footer, ""]))
    with pytest.raises(UsageError, match="line 2") as raised:
        results.read(path)
    assert says in str(raised.value)
