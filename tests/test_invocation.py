"""Hints name commands in the way Headcount was called."""

import sys

import pytest

from headcount.invocation import CALLED_BY, command, matrix


@pytest.mark.parametrize(
    ("by", "program", "prefix", "told", "matrix_told"),
    [
        (
            "nox",
            "/env/bin/headcount",
            "/env",
            "nox -s \"headcount(transformers='5.23.0')\" -- history 410",
            "nox -s \"matrix(transformers='5.23.0')\" -- --new",
        ),
        (
            "",
            "/home/user/.cache/uv/archive-v0/x/bin/headcount",
            "/home/user/.cache/uv/archive-v0/x",
            "uvx headcount history 410",
            "pytest -p headcount.pytest_plugin --pyargs headcount.suite --new",
        ),
        (
            "",
            "/env/site-packages/headcount/__main__.py",
            "/env",
            "python -m headcount history 410",
            "pytest -p headcount.pytest_plugin --pyargs headcount.suite --new",
        ),
        (
            "",
            "/env/bin/headcount",
            "/env",
            "headcount history 410",
            "pytest -p headcount.pytest_plugin --pyargs headcount.suite --new",
        ),
    ],
)
def test_what_is_told(
    by: str, program: str, prefix: str, told: str, matrix_told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CALLED_BY, by)
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "prefix", prefix)
    assert command("history 410", "5.23.0") == told
    assert matrix("--new", "5.23.0") == matrix_told


def test_the_matrix_without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CALLED_BY, "nox")
    assert matrix() == "nox -s matrix"
