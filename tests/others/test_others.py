"""Networks of timm and torchvision on real releases, as expected.toml has it. `nox -s matrix_timm` has both."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from headcount import builds, check, defects, untrusted, wording
from headcount.isolation import Engine
from headcount.oracle import Kind

HERE = Path(__file__).parent
NETWORKS = HERE / "networks.py"

lacking = pytest.mark.skipif(not (find_spec("timm") and find_spec("torchvision")), reason="timm is not installed")

#: All releases are for the plain one, these for the others.
FEW = ("1.4.0", "1.5.3", "1.6.1")
OTHERS = (
    "registers",
    "qk_norm",
    "qk_norm_ignored",
    "map_pool",
    "deit",
    "beit",
    "dinov2",
    "eva",
    "swin_v2",
    "torchvision_vit",
    "torchvision_swin",
)
RELEASES: Mapping[str, tuple[str, ...]] = {"plain": builds.RELEASES} | dict.fromkeys(OTHERS, FEW)

#: As networks.py has them.
CALLS = ("local", "global", "heads", "steps", "dims", "both")

#: The network whose pruner is never made, whatever the call: one tells it.
NEVER_MADE = "torchvision_swin"

CASES = [(network, call) for network in RELEASES for call in (CALLS[:1] if network == NEVER_MADE else CALLS)]

NOT_JUDGED = "not-judged"

#: Seconds after which what is known to have no end is taken for that.
NO_END = 30.0


@dataclass(frozen=True)
class Entry:
    """What fails, and why. What no entry is about is right.

    Attributes:
        releases: as in "1.3.0 to 1.4.0, 1.4.2".
        verdict: its kind; "not-judged" where what is left fits together and the network's own code does not run.
        says: in the words of the verdict.
        why: a known defect, or a sentence.
    """

    networks: tuple[str, ...]
    releases: str
    verdict: str
    why: str
    says: str = ""
    calls: tuple[str, ...] = CALLS

    def covers(self, network: str, call: str, release: str) -> bool:
        """Whether it is about this."""
        numbers = builds.RELEASES
        spans = (span.partition(" to ") for span in self.releases.split(", "))
        return (
            network in self.networks
            and call in self.calls
            and any(numbers.index(a) <= numbers.index(release) <= numbers.index(b or a) for a, _, b in spans)
        )


@cache
def entries() -> tuple[Entry, ...]:
    """What is expected to fail."""
    read = tomllib.loads((HERE / "expected.toml").read_text("utf-8"))["expected"]
    return tuple(untrusted.checked(Entry, each, "expected.toml") for each in read)


def entry(network: str, call: str, release: str) -> Entry | None:
    """The one entry about this; None if it is right."""
    found = [each for each in entries() if each.covers(network, call, release)]
    assert len(found) <= 1, (network, call, release, found)
    return found[0] if found else None


def test_every_entry_is_about_something_and_says_why() -> None:
    used = [entry(network, call, release) for network, call in CASES for release in RELEASES[network]]
    known = {defect.id for defect in defects.DEFECTS}
    for each in entries():
        assert each in used, each
        assert each.why in known or each.why.endswith("."), each


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(also=check.PRELOADED) as made:
        yield made


@cache
def checked(engine: Engine, network: str, call: str, release: str) -> check.Checked:
    expected = entry(network, call, release)
    timeout = NO_END if expected and expected.verdict == Kind.TIMEOUT else check.TIMEOUT
    build = builds.prepare(builds.parse(release))
    return check.check(engine, build, check.File(NETWORKS, f"{network}_{call}"), timeout)


@lacking
@pytest.mark.parametrize(("network", "call"), CASES)
def test_as_expected(engine: Engine, network: str, call: str) -> None:
    for release in RELEASES[network]:
        judgement, expected = checked(engine, network, call, release).judgement, entry(network, call, release)
        said = (release, [wording.verdict(verdict) for verdict in judgement.verdicts], judgement.undecided)
        if expected is None:
            assert judgement.is_right, said
        elif expected.verdict == NOT_JUDGED:
            assert judgement.verdict.kind is Kind.OK, said
            assert expected.says in "".join(judgement.undecided), said
            assert judgement.undecided, said
        else:
            assert judgement.verdict.kind == expected.verdict, said
            assert expected.says in wording.verdict(judgement.verdict), said
            assert _is_it(expected.why, judgement, release), said


def _is_it(why: str, judgement: check.Judgement, release: str) -> bool:
    """Whether a failure looks like the known defect that is said to be its cause; a sentence may be any."""
    defect = next((defect for defect in defects.DEFECTS if defect.id == why), None)
    return defect is None or (
        release in defects.releases_of(why)
        and any(pattern.matches(verdict) for pattern in defect.signature for verdict in judgement.verdicts)
    )


@lacking
@pytest.mark.parametrize("call", CALLS)
def test_a_plain_vit_is_what_the_matrix_takes_for_it(engine: Engine, call: str) -> None:
    """The family `fused_unbind` stands for it there, without timm."""
    for release in FEW:
        real, ours = (checked(engine, network, call, release) for network in ("plain", "look_alike"))
        assert _left(real) == _left(ours), release


def _left(found: check.Checked) -> object:
    """The verdicts, and how many heads and channels are left; but for names."""
    kinds = [(verdict.kind, verdict.finding and verdict.finding.rule) for verdict in found.judgement.verdicts]
    attentions = [each.listed[0].left for pruned in found.sight.pruned for each in pruned.attentions]
    return kinds, attentions, sorted(each.left for pruned in found.sight.pruned for each in pruned.dimensions)
