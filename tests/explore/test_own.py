"""Random calls on a user's own network, with fake builds."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from headcount import check, explore
from headcount.builds import Overlay
from headcount.examine import Pool
from headcount.oracle import Kind
from headcount.report import own

VIT = (Path(__file__).parents[1] / "check" / "files" / "vit.py").read_text("utf-8")


def _file(folder: Path) -> check.File:
    path = folder / "mine.py"
    sized = VIT.replace("def check():", "def check(layers=2):").replace(
        "num_hidden_layers=2", "num_hidden_layers=layers"
    )
    path.write_text(sized, "utf-8")
    return check.named(str(path))


def test_draws(tmp_path: Path) -> None:
    file = _file(tmp_path)
    drawn = [*islice(explore.own_draws(file, 5), 200)]
    assert drawn == [*islice(explore.own_draws(file, 5), 200)] != [*islice(explore.own_draws(file, 6), 200)]
    assert drawn[0] == file
    assert len(set(drawn)) == len(drawn)
    assert {"layers", "global_pruning", "round_to"} <= {name for each in drawn for name, _ in each.changes}


def test_what_comes_of_them(miniature: Callable[[str], Overlay], tmp_path: Path) -> None:
    files = [*islice(explore.own_draws(_file(tmp_path), 1), 12)]
    with Pool(also=check.PRELOADED) as pool:
        assert not [call for call in explore.own_ran(pool, miniature("correct"), files) if call.fails]
        build = miniature("desync")
        ran = [*explore.own_ran(pool, build, files)]
        failing = [*explore.own_cured(pool, build, [call for call in ran if call.fails])]
        kinds = [*explore.own_kinds(pool, build, failing, [build, miniature("correct")])]
    assert failing
    assert all(call.cured is None for call in failing), "no remedy is of a fake build"
    assert {kind.smallest.verdict.kind for kind in kinds} == {Kind.DESYNC}
    assert all(kind.releases == (build.label,) for kind in kinds)
    said = own.summary(build.label, 1, ran, failing) + own.kind(1, kinds[0], build.label, "a.py", "")
    assert f"{len(failing)} fail: known defects explain 0" in said
    assert own.causes(failing[0]) == [f"no known defect explains it: no remedy makes {build.label} right"]
    assert "smallest call: headcount check mine.py --set" in said
