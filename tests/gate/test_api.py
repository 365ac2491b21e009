"""Public names that go: renamed, no longer taken, gone without a trace in the source."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headcount import gate
from headcount.builds import Overlay
from headcount.errors import ExitCode, UsageError
from headcount.gate import GateVerdict
from headcount.results import Build
from helpers import gated, with_digest


@pytest.mark.parametrize(
    ("old", "new", "allowed", "found"),
    [
        ("def f(a): pass", "def g(a): pass", (), [("f", True, False)]),
        ("def f(a): pass", "def g(a): pass", ("f",), [("f", True, True)]),
        ("def f(a): pass", "def g(a): pass\nf = g", (), None),
        ("def f(a, b=1): pass", "def f(a): pass", (), [("f(b)", True, False)]),
        ("def f(a, b=1): pass", "def f(a): pass", ("b",), [("f(b)", True, True)]),
        ("def f(a): pass", "def f(a, b): pass", (), [("f", False, False)]),
        ("def _f(a): pass", "", (), []),
    ],
)
def test_names_that_go(
    tmp_path: Path,
    made: Callable[..., Overlay],
    old: str,
    new: str,
    allowed: tuple[str, ...],
    found: list[tuple[str, bool, bool]] | None,
) -> None:
    base, candidate = made("correct", "1.6.1"), made("hang")
    for overlay, text in ((base, old), (candidate, new)):
        (overlay.path / "torch_pruning" / "__init__.py").write_text(text + "\n")
    header = gate.header(gate.request(base, candidate, allow_api=allowed))
    if found is None:
        assert not any(broken.removed for broken in header.api_breaks)
        return
    assert [(b.path, b.removed, b.allowed) for b in header.api_breaks] == found
    builds = [Build(o.label, o.spec, o.version, o.digest) for o in (base, candidate)]
    verdict = GateVerdict(builds[0], builds[1], {}, (), header.api_breaks)
    lost = any(removed and not meant for _, removed, meant in found)
    assert (verdict.exit_code is ExitCode.REGRESSION) == lost


def test_many_names_hide_none(made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("many-names")
    with (base.path / "torch_pruning" / "__init__.py").open("a") as module:
        module.write("exec('def gone(): pass')\n")
    base = with_digest(base)
    header = gate.header(gate.request(base, candidate))
    assert [broken.path for broken in header.api_breaks if broken.removed] == ["gone"]


def test_names_that_go_without_a_trace_in_the_source(made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("hang")
    package = "from torch_pruning.inner import f, g, h\n"
    for overlay, text in ((base, package), (candidate, f"{package}del g\nh = None\n")):
        (overlay.path / "torch_pruning" / "inner.py").write_text("def f(): pass\ndef g(): pass\ndef h(): pass\n")
        (overlay.path / "torch_pruning" / "__init__.py").write_text(text)
    header = gate.header(gate.request(base, candidate))
    assert [broken.path for broken in header.api_breaks if broken.removed] == ["g", "h"]


def test_a_source_that_cannot_be_read(made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("hang")
    (candidate.path / "torch_pruning" / "__init__.py").write_text("def (:")
    with pytest.raises(UsageError, match="the source of hang cannot be read"):
        gate.header(gate.request(base, candidate))


@pytest.mark.parametrize("name", ["loses-a-name", "loses-a-name-and-lies"])
def test_what_it_prints_hides_no_name_that_is_gone(tmp_path: Path, made: Callable[..., Overlay], name: str) -> None:
    verdict = gated(tmp_path, made("two-names", "1.6.1"), made(name))
    assert [b.path for b in verdict.api_breaks if b.lost] == ["MetaPruner"]
    assert verdict.exit_code is ExitCode.REGRESSION


def test_what_goes_with_a_base_class_is_gone(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    verdict = gated(tmp_path, made("an-heir", "1.6.1"), made("loses-its-base"))
    assert [b.path for b in verdict.api_breaks if b.lost] == ["Heir.old"]
    assert verdict.exit_code is ExitCode.REGRESSION


def test_a_module_that_is_there_and_not_imported_is_gone(made: Callable[..., Overlay]) -> None:
    base, candidate = made("correct", "1.6.1"), made("hang")
    for overlay, text in ((base, "def f(): pass\nfrom torch_pruning import inner\n"), (candidate, "def f(): pass\n")):
        (overlay.path / "torch_pruning" / "inner.py").write_text("def f(): pass\n")
        (overlay.path / "torch_pruning" / "__init__.py").write_text(text)
    header = gate.header(gate.request(base, candidate))
    assert "inner" in [broken.path for broken in header.api_breaks if broken.removed]


@pytest.mark.parametrize(
    ("name", "lost"),
    [("by-globals", []), ("by-getattr", []), ("by-any", []), ("by-alias-less", ["another(two)"])],
)
def test_an_alias_keeps_a_name_with_what_it_takes(made: Callable[..., Overlay], name: str, lost: list[str]) -> None:
    header = gate.header(gate.request(made("a-name", "1.6.1"), made(name)))
    assert [broken.path for broken in header.api_breaks if broken.removed] == lost


def test_names_that_cannot_be_listed_are_a_doubt(tmp_path: Path, made: Callable[..., Overlay]) -> None:
    verdict = gated(tmp_path, made("correct", "1.6.1"), made("lists-nothing"))
    assert "what lists-nothing offers once it is imported cannot be listed" in verdict.ending.doubts
    assert verdict.exit_code is not ExitCode.CLEAN
