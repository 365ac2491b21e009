"""All commands: their help, and what of the shell reaches them."""

from pathlib import Path

import pytest

from headcount.cli import main, parser
from headcount.environment import DEVICE
from headcount.errors import ExitCode
from helpers import ISSUE_410, miniature_wheel

COMMANDS = (
    *("emit", "minimise", "reproduce", "bisect", "history", "support", "which", "check", "explore", "fix", "gate"),
    *("report", "report-upstream", "site"),
)


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids="-".join)
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "exit codes: 0 " in said
    assert "130 interrupted" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_three_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a call that is taken."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert said.count("examples:") == 1
    calls = [line.split() for line in said.partition("examples:\n")[2].partition("\n\n")[0].splitlines()]
    assert [words[:2] for words in calls] == [["headcount", command]] * 3
    for words in calls:
        parser().parse_args(words[1 : words.index(">") if ">" in words else None])


def test_a_device_left_in_the_shell_reaches_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the matrix runs on other devices, and checks that they are there."""
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(DEVICE, "meta")
    wheel = miniature_wheel(tmp_path, "crash-step")
    assert main(["minimise", f"test_cell[{ISSUE_410}]", "--build", wheel]) == ExitCode.CLEAN
