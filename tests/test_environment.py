"""What an observation depends on: no more of this package than the isolated process imports."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import headcount
from headcount import environment
from headcount.builds import Overlay
from headcount.isolation import Engine

PACKAGE = Path(headcount.__file__).parent

LOADED = """
import json, sys
ANSWER = json.dumps([m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "headcount"])
"""


def observing() -> set[Path]:
    """The files that the digest covers."""
    places = [PACKAGE / place for place in environment.OBSERVING]
    return {file for place in places for file in ([place] if place.suffix else place.rglob("*.py"))}


def test_what_the_server_imports_is_what_is_digested() -> None:
    code = f"import headcount.isolation.preload, headcount.isolation.shared\n{LOADED}\nprint(ANSWER)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(map(Path, json.loads(done.stdout))) == observing()


def test_what_a_process_imports_is_what_is_digested(
    engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path
) -> None:
    """The program that started it, and all that it imports, has no part in it."""
    script = tmp_path / "script.py"
    script.write_text(f"import torch_pruning\n{LOADED}")
    loaded = set(map(Path, json.loads(engine.run_script(miniature("correct"), script).answer)))
    assert loaded - {PACKAGE / "isolation" / "preload_networks.py"} == observing()


def test_no_torch_is_imported_to_run_cells() -> None:
    code = "import sys; from headcount.isolation import Cache, Engine; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_source_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the isolated process imports; all else changes the harness's alone."""
    for place in (*environment.OBSERVING, "oracle"):
        file = tmp_path / (place if place.endswith(".py") else f"{place}/one.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("one = 1\n")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))

    def digests() -> tuple[str, str]:
        environment.observing_digest.cache_clear()
        return environment.observing_digest(), environment.source_digest()

    before = digests()
    (tmp_path / "oracle" / "one.py").write_text("one = 2\n")
    other = digests()
    (tmp_path / "models" / "one.py").write_text("one = 2\n")
    another = digests()
    monkeypatch.undo()
    environment.observing_digest.cache_clear()
    assert before[0] == other[0] != another[0]
    assert len({before[1], other[1], another[1]}) == 3


def test_pythons_own_variables_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONOPTIMIZE", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "1")
        assert name not in environment.harmless_environment()


def test_an_observation_knows_how_python_was_started() -> None:
    """Without assertions, say, another answer comes out."""
    said = [
        subprocess.run(
            [sys.executable, *flags, "-c", "from headcount.environment import interpreter; print(interpreter())"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flags in ((), (), ("-O",), ("-X", "dev"), ("-W", "error"))
    ]
    assert said[0] == said[1]
    assert len(set(said)) == 4


def test_secrets_are_not_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "1")
    monkeypatch.setenv("LC_ALL", "C")
    assert "SECRET_TOKEN" not in environment.harmless_environment()
    assert environment.harmless_environment()["LC_ALL"] == "C"


def test_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "device" not in environment.environment()
    monkeypatch.setenv(environment.DEVICE, "cpu:0")
    assert environment.device() == "cpu"
    monkeypatch.setenv(environment.DEVICE, "cuda:1")
    assert environment.environment()["device"] == "cuda:1"
