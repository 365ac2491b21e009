"""The known defects' own files, as a person reads them. What they do, `nox -s reproduce` tests."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from headcount.defects import DEFECTS, REPRODUCERS, Defect
from headcount.errors import UsageError
from headcount.reproduce import find


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.id)
def test_every_defect_has_its_file(defect: Defect) -> None:
    text = (REPRODUCERS / defect.reproducer.file).read_text("utf-8")
    block = re.search(r"(?ms)^# /// script$\n(.*?)^# ///$", text)
    assert block is not None
    metadata = tomllib.loads(re.sub(r"(?m)^# ?", "", block[1]))
    assert f"torch-pruning=={defect.reproducer.bad}" in metadata["dependencies"]
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree) or ""
    assert defect.title[1:] in docstring.splitlines()[0]
    assert "Shows in " in docstring
    assert (defect.upstream or "not reported upstream") in docstring
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"copy", "signal", "sys", "traceback", "torch", "torch_pruning", "transformers"}
    assert len([line for line in text.splitlines() if line]) <= 45  # what a person would write, and read


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.id)
def test_a_defect_is_found_by_its_id_and_its_file(defect: Defect) -> None:
    assert find(defect.id) is defect
    assert find(defect.reproducer.file) is defect
    assert find(str(REPRODUCERS / defect.reproducer.file)) is defect


def test_a_defect_is_found_by_upstream_s_number() -> None:
    assert find("410") is find("#410") is find("410-total-heads")


def test_a_file_of_one_s_own_is_none_of_the_catalogue_s(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.touch()
    with pytest.raises(UsageError, match="is not one of the catalogue's files"):
        find(str(own))
