"""A failing call on a user's own network, shrunk and written as one file; with fake builds of known mistakes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headcount import check
from headcount.builds import Overlay
from headcount.errors import UsageError
from headcount.isolation import Engine
from headcount.reproduce import Wanted, emit_own

VIT = (Path(__file__).parents[1] / "check" / "files" / "vit.py").read_text("utf-8")

SIZED = VIT.replace("def check():", "def check(layers=2, mlp=96):").replace(
    "num_hidden_layers=2, intermediate_size=96", "num_hidden_layers=layers, intermediate_size=mlp"
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(also=check.PRELOADED)


def _file(folder: Path, text: str) -> check.File:
    path = folder / "mine.py"
    path.write_text(text, "utf-8")
    return check.named(str(path))


#: A fake build's mistake -> what the file has of it.
SHOWN = {
    "wrong-heads": "heads left: {heads:g}, expected 4",
    "wrong-channels": "channels left: {channels}, expected",
    "desync": "heads are reported",
    "crash-construct": "kind is ",
    "crash-step": "kind is ",
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_file_shows_it(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path, name: str) -> None:
    program = '\n\nif __name__ == "__main__":\n    raise SystemExit("as a program")\n'
    wanted = Wanted(good=miniature("correct"))
    text = emit_own(engine, miniature(name), _file(tmp_path, VIT + program), print, wanted)
    assert SHOWN[name] in text, text
    assert "as a program" not in text


def test_the_smallest_call(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    said: list[str] = []
    text = emit_own(engine, miniature("desync"), _file(tmp_path, SIZED), said.append, Wanted(minimal=True))
    assert "check(layers=1, mlp=1)" in text
    assert "  layers: 1" in said
    assert "  prune_head_dims: left out" in said


def test_what_no_file_is_written_of(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    for build, text, said in (
        ("correct", VIT, "does not fail on"),
        ("wrong-selection", VIT, "no file can show that"),
        ("desync", "import torch_pruning\n", "is a script"),
        ("desync", f"import neighbour\n{VIT}", "imports neighbour, which lies beside it"),
    ):
        (tmp_path / "neighbour.py").write_text("", "utf-8")
        with pytest.raises(UsageError, match=said):
            emit_own(engine, miniature(build), _file(tmp_path, text), print)


def test_what_can_be_changed(engine: Engine, miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    file = _file(tmp_path, SIZED)
    assert file.sizes == {"layers": 2, "mlp": 96}
    changed = file.changed(layers=1, head_pruning_ratio=0.5, prune_head_dims=None)
    assert changed.sizes == {"layers": 1, "mlp": 96}
    assert changed.options == "mine.py --set head_pruning_ratio=0.5 --set layers=1 --set prune_head_dims=None"
    found = check.check(engine, miniature("correct"), changed)
    (attention,) = found.sight.pruned[0].attentions
    assert (attention.heads, len(attention.listed[0].left[0])) == (6, 3)
    assert found.sight.pruned[0].call.prune_head_dims
