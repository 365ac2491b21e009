"""What a file says of networks of all families: they are ours, and its checks hold on a build that is right."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from headcount.builds import Overlay
from headcount.defects import Explanation, Outcome
from headcount.environment import environment
from headcount.errors import UsageError
from headcount.isolation import Engine
from headcount.matrix import Cell, Config
from headcount.models import ENDING, FAMILIES, adapter, small
from headcount.oracle import Finding, Kind, Problem, Rule, Verdict
from headcount.reproduce.script import TEMPLATES, Weights, write
from headcount.reproduce.source import source

UNKNOWN = Explanation(Outcome.UNEXPECTED_FAILURE)

HEADS = Config(
    prune_num_heads=True,
    head_pruning_ratio=Fraction(1, 3),
    pruning_ratio=Fraction(0),
    ignored_layers=("residual_outputs",),
)

HERE = [name for name, family in ENDING.items() if family.is_in(environment()["transformers"])]
OWN = [name for name in HERE if not FAMILIES[name].prefix]


@pytest.mark.parametrize("family", OWN)
def test_a_network_of_our_own_is_the_same_in_a_file(family: str) -> None:
    """It has the same parameters, by the same names, and the same output."""
    model = small(family)
    ours = adapter(family).build(model)
    defined: dict[str, Any] = {"torch": torch}
    text = "from transformers.integrations.sdpa_attention import repeat_kv\n" if family == "grouped" else ""
    exec(text + TEMPLATES.get_template("classes.j2").render(model=model), defined)  # noqa: S102 - what is tested
    theirs = defined["Net"]().eval()
    theirs.load_state_dict(ours.state_dict())
    given = adapter(family).inputs(model)
    seen = theirs(**given) if isinstance(given, dict) else theirs(given)
    assert torch.equal(seen, adapter(family).call(ours, given))


@pytest.mark.parametrize("family", HERE)
def test_the_lines_of_a_file_find_the_layers(family: str) -> None:
    model = small(family)
    if source(model).is_plain:
        return
    net = adapter(family).build(model)
    found: dict[str, Any] = {"model": net}
    exec("\n".join(source(model).lines.values()), found)  # noqa: S102 - what is tested
    for index, block in enumerate(adapter(family).blocks(net)):
        layers = [found[source(model).called[name]][index] for name in "qkv"]
        assert all(one is other for one, other in zip(layers, block.projections, strict=True))
        assert (found["out"][index], found["fc1"][index], found["fc2"][index]) == (block.out, block.fc1, block.fc2)
        assert (found["attention"][index], found["block"][index]) == (block.attention, block.layer)


#: What is not wrong with a build that is right, and is looked at in another way in networks of another kind.
FINDINGS = [
    Finding(Rule.HEAD_COUNTS, Kind.WRONG_HEADS, Problem.COUNT, 0, "heads", found=(1,), allowed=(4,), dense=6),
    Finding(Rule.REPORTED_HEADS, Kind.DESYNC, Problem.REPORTED, 0, "k", "", (0,), (1,), 8),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_HEADS, Problem.UNLIKE_CHANNELS, 0, "qk"),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_HEADS, Problem.UNLIKE_CHANNELS, 0, "vo"),
    Finding(Rule.WHOLE_HEADS, Kind.WRONG_HEADS, Problem.COUNT, 0, "dims", found=(4,), allowed=(8,), dense=8),
    Finding(Rule.LEAST_IMPORTANT, Kind.WRONG_SELECTION, Problem.HEAD_RANKING, 0, "heads", found=(4, 1, 0)),
    Finding(Rule.MASKED_OUTPUT, Kind.WRONG_OUTPUT, Problem.OUTPUT, found=(7,)),
    Finding(Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, Problem.OTHER_INDICES, 0, "mlp", "{fc1}.weight"),
]

#: Families of transformers that differ in how they are built, called, and set to other sizes.
KINDS = ("beit", "vit_mae", "clip", "dinov2", "swin_stages", "pvt_stages", "segformer", "bert", "llama")


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: f"{finding.problem}-{finding.dimension}")
def test_a_check_holds_on_a_build_that_is_right(
    family: str, finding: Finding, tmp_path: Path, engine: Engine, miniature: Callable[[str], Overlay]
) -> None:
    """Whatever a network is called with, and whatever its layers are called."""
    model = small(family)
    if model.traits.heads_fixed and finding.problem is Problem.OUTPUT:
        return  # pruned, it does not run in this version
    if model.traits.queries_per_kv > 1 and finding.problem is Problem.HEAD_RANKING:
        return  # whole groups go
    if finding.where:
        blocks = adapter(family).blocks(net := adapter(family).build(model))
        fc1 = next(name for name, module in net.named_modules() if module is blocks[0].fc1)
        finding = replace(finding, where=finding.where.format(fc1=fc1))
    path = tmp_path / "shown.py"
    weights = Weights(normal=True, synthetic=True)
    path.write_text(write(Cell(model, HEADS), "1.6.1", Verdict(finding.kind, finding), UNKNOWN, weights))
    assert all(len(line) <= 120 for line in path.read_text().splitlines())
    run = engine.run_script(miniature("correct"), path)
    assert (run.status, run.said) == (0, run.said)


def test_what_no_file_can_show_is_said_with_the_command_that_does() -> None:
    finding = Finding(Rule.DENSE_WEIGHTS, Kind.WRONG_SHAPE, Problem.OTHER_INDICES, None, "nowhere", "norm.weight")
    cell = Cell(small("bert"), HEADS)
    with pytest.raises(UsageError, match=rf"this shows it: .* gate 1.6.1 --cell {cell.id}"):
        write(cell, "1.6.1", Verdict(finding.kind, finding), UNKNOWN)
