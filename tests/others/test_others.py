"""Real networks of timm and torchvision, on real releases. Where there is neither, `nox -s timm` has them."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from headcount import builds, check
from headcount.isolation import Engine
from headcount.oracle import Kind

pytestmark = pytest.mark.skipif(not (find_spec("timm") and find_spec("torchvision")), reason="timm is not installed")

NETWORKS = Path(__file__).with_name("networks.py")

RELEASES = ("1.4.0", "1.5.3", "1.6.1")

#: Network -> the kind of verdict of each release; None: what is left fits together, and the network's own code does
#: not run with it. With norms of queries and keys, and gated MLPs, releases raise. BEiT and Swin read a layer's weight
#: without calling the layer.
EXPECTED: dict[str, tuple[Kind | None, Kind | None, Kind | None]] = {
    "plain": (Kind.OK, Kind.OK, Kind.OK),
    "registers": (Kind.OK, Kind.OK, Kind.OK),
    "qk_norm": (Kind.CRASH, Kind.CRASH, Kind.CRASH),
    "qk_norm_ignored": (Kind.WRONG_HEADS, Kind.WRONG_HEADS, Kind.WRONG_HEADS),
    "map_pool": (None, None, None),
    "beit": (Kind.WRONG_SHAPE, Kind.WRONG_SHAPE, Kind.WRONG_SHAPE),
    "deit": (Kind.OK, Kind.OK, Kind.OK),
    "eva": (Kind.CRASH, Kind.CRASH, Kind.CRASH),
    "swin_v2": (Kind.CRASH, Kind.CRASH, Kind.CRASH),
    "torchvision_vit": (None, Kind.OK, Kind.OK),
    "torchvision_swin": (Kind.TIMEOUT, Kind.TIMEOUT, Kind.TIMEOUT),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_kinds(name: str) -> None:
    file = check.File(NETWORKS, name)
    timeout = 30.0 if Kind.TIMEOUT in EXPECTED[name] else check.TIMEOUT
    with Engine(also=check.PRELOADED) as engine:
        for release, kind in zip(RELEASES, EXPECTED[name], strict=True):
            found = check.check(engine, builds.prepare(builds.parse(release)), file, timeout).judgement
            assert found.verdict.kind is (kind or Kind.OK), (release, found.verdicts)
            assert bool(found.undecided) is (kind is None), (release, found.undecided)
