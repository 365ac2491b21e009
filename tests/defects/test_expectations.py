"""What is recorded: read strictly, and compared strictly both ways."""

from dataclasses import replace

import pytest
from record import path_of, text_of

from headcount.builds import RELEASES
from headcount.defects import DEFECTS, Outcome, column, expectations, explain, recorded, versions
from headcount.defects.expectations import Token
from headcount.errors import SetupError
from headcount.matrix import Cell, Config
from headcount.matrix.cells import known_cells
from headcount.models import Model
from headcount.observation import Failure, Phase
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict

IDS = {defect.id for defect in DEFECTS}
VERSION = versions()[0]
TEXT = path_of(VERSION).read_text("utf-8")

CRASH = Failure(
    "AttributeError", "no attribute 'initial_total_heads'", "pruner.algorithms.metapruner._prune", Phase.STEP
)
CELL = next(known_cells()[id_] for id_ in recorded(VERSION).cells["410-total-heads"])
FREE = Cell(Model(), Config())


@pytest.mark.parametrize(
    ("verdict", "cell", "version", "outcome"),
    [
        (Verdict(Kind.CRASH, failure=CRASH), CELL, "1.4.1", Outcome.EXPECTED),
        (Verdict(Kind.OK), CELL, "1.4.1", Outcome.UNEXPECTEDLY_FIXED),
        (Verdict(Kind.CRASH, failure=CRASH), FREE, "1.4.1", Outcome.UNEXPECTED_FAILURE),
        (Verdict(Kind.CRASH, failure=CRASH), CELL, "1.4.3", Outcome.UNEXPECTED_FAILURE),
        (
            Verdict(Kind.CRASH, failure=replace(CRASH, exception="IndexError")),
            CELL,
            "1.4.1",
            Outcome.UNEXPECTED_FAILURE,
        ),
        (
            Verdict(Kind.CRASH, failure=replace(CRASH, message="no attribute 'initial_head_dim'")),
            CELL,
            "1.4.1",
            Outcome.UNEXPECTED_FAILURE,
        ),
        (Verdict(Kind.OK), FREE, "1.4.1", Outcome.EXPECTED),
        (Verdict(Kind.UNTESTABLE), CELL, "1.4.1", Outcome.INDETERMINATE),
        (Verdict(Kind.NOT_APPLICABLE), CELL, "1.4.1", Outcome.EXPECTED),
        (Verdict(Kind.OK), CELL, "1.4.1.post1", Outcome.UNEXPECTEDLY_FIXED),
    ],
)
def test_strict_both_ways(verdict: Verdict, cell: Cell, version: str, outcome: Outcome) -> None:
    assert explain(cell, verdict, version, VERSION).outcome is outcome


def test_another_wrong_answer_is_not_expected() -> None:
    """A count that is wrong in another way than recorded is another token."""
    id_, token = next(
        (id_, row["1.6.1"]) for id_, row in recorded(VERSION).tokens.items() if row["1.6.1"].defect == "steps-compound"
    )
    number = int(token.found.rpartition("=")[2])
    block = int(token.found.partition(".")[2].partition("=")[0])
    found = Finding(Rule.STEPS, Kind.WRONG_HEADS, Problem.COUNT, block, "heads", "", (number,), (9,), 12)
    for finding, outcome in (
        (found, Outcome.EXPECTED),
        (replace(found, found=(number + 1,)), Outcome.UNEXPECTED_FAILURE),
    ):
        verdict = Verdict(Kind.WRONG_HEADS, finding)
        assert explain(known_cells()[id_], verdict, "1.6.1", VERSION).outcome is outcome


def test_outside_the_matrix_a_failure_only_looks_like_a_defect() -> None:
    cell = Cell(Model(heads=7), CELL.config)
    found = explain(cell, Verdict(Kind.CRASH, failure=CRASH), "1.4.1", VERSION)
    assert (found.outcome, found.defect, found.looks_like) == (Outcome.UNEXPECTED_FAILURE, "", ("410-total-heads",))
    assert explain(cell, Verdict(Kind.OK), "1.4.1", VERSION).outcome is Outcome.EXPECTED


def test_a_build_is_held_to_the_release_that_it_comes_after() -> None:
    assert [column(version) for version in ("1.6.1", "1.6.2", "1.4.1.dev1", "0", "99")] == [
        "1.6.1",
        "1.6.1",
        "1.4.0",
        "1.3.0",
        RELEASES[-1],
    ]


def test_the_nearest_transformers_version_is_taken() -> None:
    assert recorded("99").transformers == versions()[-1]
    assert recorded("4.0").transformers == versions()[0]


@pytest.mark.parametrize("version", versions())
def test_what_is_written_reads_back(version: str) -> None:
    text = path_of(version).read_text("utf-8")
    found = expectations.parse(text, f"expectations/{version}.tsv", IDS)
    assert text_of(found.tokens) == text
    assert len(found.tokens) == len(known_cells())


LINES = TEXT.split("\n")


def edited(number: int, line: str) -> str:
    return "\n".join([*LINES[: number - 1], line, *LINES[number:]])


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "its columns are not the 18 releases"),
        (edited(1, LINES[0].replace("1.6.1", "1.6.2")), 1, "its columns are not"),
        (edited(7, LINES[6].replace("\tok", "\tfine", 1)), 7, "'fine' is no token"),
        (edited(7, LINES[6].replace("\tok", "\tcrash:no-such:x", 1)), 7, "there is no defect 'no-such'"),
        (edited(7, LINES[6].replace("\tok", "\tok:410-total-heads:", 1)), 7, "is no token"),
        (edited(7, LINES[6].replace("\tok", "\tcrash:410-total-heads:", 1)), 7, "is no token"),
        (edited(7, LINES[6].replace("\tok", "\tcrash:grouped-unknown:x", 1)), 7, "grouped-unknown cannot show in"),
        (edited(7, LINES[6] + "\tok"), 7, "it has 19 tokens for 18 releases"),
        (edited(7, f"no-{LINES[6]}"), 7, "the matrix has no cell 'no-"),
        (edited(7, LINES[7]), 8, "is there twice, or out of order"),
        ("\n".join(LINES[:500]), 500, "it is cut off"),
        (TEXT.replace(f"#end\t{len(LINES) - 3}", "#end\t7"), len(LINES) - 1, "it is cut off"),
        ("\n".join([*LINES[:6], *LINES[7:-2], f"#end\t{len(LINES) - 4}", ""]), len(LINES) - 2, "it lacks the cell"),
    ],
)
def test_a_file_that_was_edited_or_cut_off(text: str, line: int, says: str) -> None:
    with pytest.raises(SetupError, match=f"line {line}: ") as raised:
        expectations.parse(text, "expectations/x.tsv", IDS)
    assert says in str(raised.value)
    assert "nox -s record writes these files" in str(raised.value)


def test_tokens_read_back() -> None:
    for text in ("ok", "n/a", "-", "crash:410-total-heads:AttributeError@_prune", "desync:float-heads:reported:q.0=0"):
        assert str(Token.parse(text, IDS)) == text
