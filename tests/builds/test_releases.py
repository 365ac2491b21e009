"""Which releases there are: the index asked as the installer asks it, its answer kept, and what is said without one."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from headcount import builds, wording
from headcount.bisect import releases as span
from headcount.builds import OFFLINE, RELEASES, Released, installer
from headcount.builds.spec import RECORDED_ON
from headcount.cli import main
from headcount.errors import ExitCode
from helpers import PLAIN, make_wheel, run_matrix

Ask = Callable[[], Released]

#: What the index has -> how it lists it.
INDEX = {
    "1.2.9": "",
    "1.5.4": "",
    "1.6.1": "",
    "1.6.2": "",
    "1.6.3": ' data-yanked="it prunes nothing"',
    "1.7.0rc1": "",
    "1.8.0": ' data-requires-python="&gt;=9.1"',
}

#: A list of before.
BEFORE = Released(("1.6.2",), {}, "2026-01-02", 1.0)


@pytest.fixture(params=["uv", "pip"])
def which_installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With uv, and with pip where this Python has one."""
    if request.param == "uv" and not installer.find_uv():
        pytest.skip("there is no uv")
    if request.param == "pip":
        monkeypatch.delenv("HEADCOUNT_UV", raising=False)
        monkeypatch.setattr("headcount.builds.installer.find_uv", lambda: None)
        python = _python_with_pip()
        monkeypatch.setattr("headcount.builds.installer.command", lambda: [python, "-m", "pip", "install"])
    return str(request.param)


def _python_with_pip() -> str:
    """The interpreter that this environment was made from: it has pip where this one has not."""
    found = [sys.executable, str(Path(sys.base_prefix, "bin", "python3"))]
    for python in found:
        if shutil.which(python) and not os.system(f"'{python}' -m pip --version >/dev/null 2>&1"):  # noqa: S605
            return python
    pytest.skip("there is no pip")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks as a new process does, with a cache of its own, and no place but those that a test names."""
    for name in list(os.environ):
        if re.match(r"(UV|PIP)_(DEFAULT_INDEX|INDEX|EXTRA_INDEX|FIND_LINKS|NO_INDEX)", name):
            monkeypatch.delenv(name)
    monkeypatch.delenv(OFFLINE)
    monkeypatch.setenv("HEADCOUNT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def asked() -> Released:
        builds.released.cache_clear()
        return builds.released()

    yield asked
    builds.released.cache_clear()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as an index."""
    root = tmp_path / "served"
    (root / "torch-pruning").mkdir(parents=True)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=root)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        yield root
        server.shutdown()


def fill(root: Path) -> None:
    links = []
    for version, attributes in INDEX.items():
        wheel = make_wheel(root / "torch-pruning", version=version)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        links.append(f'<a href="{wheel.name}#sha256={digest}"{attributes}>{wheel.name}</a>')
    (root / "torch-pruning/index.html").write_text(f"<!DOCTYPE html><html><body>{' '.join(links)}</body></html>")


def keep(ask: Ask, tmp_path: Path, found: Released) -> None:
    """Let an answer lie in the cache, in the place where these settings have it."""
    ask()
    (file,) = (tmp_path / "cache/releases").iterdir()
    file.write_text(json.dumps(vars(found)))


def test_what_the_index_has_beyond_the_recorded(which_installer: str, ask: Ask, served: Path) -> None:
    fill(served)
    found = ask()
    assert found.new == ("1.5.4", "1.6.2")
    assert found.all == (*RELEASES[:-2], "1.5.4", *RELEASES[-2:], "1.6.2")
    assert (found.newest, found.problem) == ("1.6.2", "")
    assert found.left_out.items() >= {"1.7.0rc1": "a pre-release", "1.8.0": "for Python >=9.1"}.items()
    if which_installer == "uv":  # pip says it from version 24 on
        assert found.left_out["1.6.3"] == "yanked"
    said = wording.released(found)
    assert said.startswith(f"releases as of {found.day}; new, and not recorded: 1.5.4, 1.6.2; left out: ")
    assert "1.7.0rc1 (a pre-release)" in said


def test_an_answer_holds_for_an_hour(ask: Ask, served: Path, tmp_path: Path) -> None:
    fill(served)
    first = ask()
    shutil.rmtree(served)
    shutil.rmtree(tmp_path / "uv", ignore_errors=True)
    assert ask() == first
    keep(ask, tmp_path, replace(first, asked=first.asked - 3601))
    again = ask()
    assert (again.new, again.day) == (first.new, first.day), "what was known before holds"
    assert again.problem
    keep(ask, tmp_path, replace(first, asked=first.asked + 1e6))
    assert ask().problem, "an answer from the future holds for nothing"


def test_a_folder_of_wheels_is_looked_at_each_time(
    which_installer: str, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", " ".join(map(str, folders)))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert ask().problem
    make_wheel(folders[1], version="1.6.1")
    assert (ask().new, ask().problem) == ((), "")
    make_wheel(folders[1], version="1.6.2")
    make_wheel(folders[0], version="1.6.4")
    assert ask().new == ("1.6.2", "1.6.4")


def test_nonsense(which_installer: str, ask: Ask, served: Path) -> None:
    (served / "torch-pruning/index.html").write_text('<html>{"name": ]')
    found = ask()
    assert (found.all, found.day) == (RELEASES, RECORDED_ON)
    assert "torch-pruning" in found.problem
    assert "\n" not in wording.released(found)


def test_an_index_that_does_not_answer(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs: the time for it ends, what was known holds, and it is not waited for again at once."""
    monkeypatch.setattr("headcount.builds.releases._ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert ask().all == RELEASES
        keep(ask, tmp_path, BEFORE)
        found = ask()
    assert (found.new, found.day) == (("1.6.2",), "2026-01-02")
    assert re.search("timed? ?out|takes too long", found.problem)
    monkeypatch.setattr("headcount.builds.releases._asked", lambda: pytest.fail("it is asked again"))
    assert ask() == found


def test_an_installer_that_has_no_end(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.builds.releases._ALL_SECONDS", 1)
    monkeypatch.setattr("headcount.builds.installer.command", lambda: ["sh", "-c", "exec sleep 60"])
    found = ask()
    assert (found.all, found.problem) == (RELEASES, "it takes too long")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"new": 1}', '{"new": ["1.6.2"], "more": 2}', "\udcff"])
def test_what_is_kept_is_no_list(ask: Ask, served: Path, tmp_path: Path, text: str) -> None:
    fill(served)
    keep(ask, tmp_path, BEFORE)
    (file,) = (tmp_path / "cache/releases").iterdir()
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert ask().new == ("1.5.4", "1.6.2")


def test_a_cache_that_cannot_be_written(ask: Ask, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(served)
    (served / "file").write_text("")
    monkeypatch.setenv("HEADCOUNT_CACHE", str(served / "file"))
    assert ask().newest == "1.6.2"


def test_it_is_not_asked_where_that_is_not_wanted(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headcount.builds.releases._asked", lambda: pytest.fail("it is asked"))
    monkeypatch.setenv(OFFLINE, "1")
    assert (ask().all, ask().day) == (RELEASES, RECORDED_ON)
    assert not (tmp_path / "cache").exists()


# --- who knows of a new release ------------------------------------------------------------------


@pytest.fixture
def wheelhouse(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Miniatures in place of all releases, and a new one."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    for version in (*RELEASES, "1.6.2"):
        make_wheel(folder, version=version)
    monkeypatch.setenv("PIP_FIND_LINKS", f"{folder} {tmp_path}")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    ask()
    return folder


def test_which_tells_the_new_one(wheelhouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = tmp_path / "told.json"
    assert main(["which", "--head-ratio", "1/3", "--json", str(told)]) == ExitCode.CLEAN
    said = capsys.readouterr().out
    assert "take 1.6.2: the newest that does it right (1.3.0 to 1.6.1 too)" in said
    assert said.rstrip().endswith("; new, and not recorded: 1.6.2")
    answer = json.loads(told.read_text())
    assert (answer["take"], answer["releases_as_of"]) == ("1.6.2", builds.released().day)


def test_support_has_a_column_for_it(wheelhouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--heads", "6"]) == ExitCode.CLEAN
    said = capsys.readouterr().out
    assert "new, and not recorded: 1.6.2" in said
    assert main(["support", "--model", "vit"]) == ExitCode.CLEAN
    assert "; new, and not recorded: 1.6.2" in capsys.readouterr().out


def test_bisect_ends_at_it(wheelhouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert span().points == (*RELEASES, "1.6.2")
    make_wheel(wheelhouse, version="1.6.2", code="raise KeyError('new')")
    assert main(["bisect", PLAIN, "--good", "1.6.0"]) in (ExitCode.CLEAN, ExitCode.INDETERMINATE)
    printed = capsys.readouterr()
    assert "1.6.2" in printed.out
    assert "new, and not recorded: 1.6.2" in printed.err


def test_the_gate_takes_it_as_its_base(
    wheelhouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    for candidate, base in (("1.6.1", "1.6.2"), ("1.6.2", "1.6.1")):
        main(["gate", candidate, "--cell", PLAIN, "--results", str(tmp_path / base)])
        printed = capsys.readouterr()
        assert f"{candidate}, against {base}, " in printed.out
        assert "new, and not recorded: 1.6.2" in printed.err


def test_the_matrix_says_it_and_runs_it_with_new(wheelhouse: Path, tmp_path: Path) -> None:
    told = run_matrix(tmp_path, "-k", PLAIN)
    assert "new, and not recorded: 1.6.2 (--new runs it too)" in told.stdout
    assert "18 cells: " in told.stdout
    ran = run_matrix(tmp_path, "-k", PLAIN, "--new")
    assert "19 cells: " in ran.stdout
    assert "(--new runs it too)" not in ran.stdout
    refused = run_matrix(tmp_path, "--new", "--build", "1.6.1")
    assert refused.returncode == ExitCode.USAGE
    assert "name the new release with --build" in refused.stdout + refused.stderr


def test_a_new_one_that_cannot_be_installed_is_left_out(wheelhouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = make_wheel(wheelhouse, version="1.6.2")
    wheel.write_bytes(wheel.read_bytes()[:100])
    with contextlib.suppress(SystemExit):
        assert main(["which", "--head-ratio", "1/3"]) == ExitCode.CLEAN
    printed = capsys.readouterr()
    assert "1.6.2 is new, and left out: cannot install torch-pruning==1.6.2" in printed.err
    assert "take 1.6.1: the newest" in printed.out
