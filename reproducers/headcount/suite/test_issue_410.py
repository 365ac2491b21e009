"""The five claims about upstream issue 410, the defect this project is named for, on the releases around it.

The call itself, word for word on ViT-B/16, is a cell of the matrix; the claims are checked on a
small ViT with as many heads.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from headcount.builds import Overlay
from headcount.isolation import Engine
from headcount.matrix import Cell
from headcount.matrix.cells import ISSUE_410
from headcount.models import Model
from headcount.observation import Ending, Observation, Phase

Observe = Callable[..., Observation]

ATTRIBUTE = "initial_total_heads"


@pytest.fixture
def observe(matrix_engine: Engine, overlays: Sequence[Overlay]) -> Observe:
    """Runs the issue's call, with changes, on a release; skips where that release is not among the builds."""

    def _observe(release: str, **changes: object) -> Observation:
        overlay = next((o for o in overlays if o.label == release), None)
        if overlay is None:
            pytest.skip(f"{release} is not among the builds")
        config = replace(ISSUE_410.config, **changes)  # type: ignore[arg-type]
        return matrix_engine.run(overlay, Cell(Model(heads=ISSUE_410.model.heads), config))

    return _observe


def test_local_head_pruning_raises(observe: Observe) -> None:
    """1.4.1: AttributeError in the step; 1.4.0 and 1.4.2 prune 12 heads to 8."""
    broken = observe("1.4.1")
    assert (broken.ending, broken.phase) == (Ending.RAISED, Phase.STEP)
    assert broken.failure is not None
    assert (broken.failure.exception, broken.failure.message) == (
        "AttributeError",
        f"'MetaPruner' object has no attribute '{ATTRIBUTE}'",
    )
    for release in ("1.4.0", "1.4.2"):
        assert observe(release).reported == ((8, 8, 8), (8, 8, 8))


def test_attribute_is_set_for_global_pruning_only(observe: Observe) -> None:
    """1.4.1: there with global_pruning=True, missing with False."""
    assert ATTRIBUTE in observe("1.4.1", global_pruning=True).attributes
    assert ATTRIBUTE not in observe("1.4.1", global_pruning=False).attributes


@pytest.mark.parametrize("global_pruning", [False, True])
def test_fix_does_not_depend_on_global_pruning(observe: Observe, global_pruning: bool) -> None:
    """1.4.2: there either way."""
    assert ATTRIBUTE in observe("1.4.2", global_pruning=global_pruning).attributes


def test_fix_kept_the_api(observe: Observe) -> None:
    """1.4.2 takes what 1.4.1 takes, in that order."""
    assert observe("1.4.2").parameters == observe("1.4.1").parameters


def test_ignored_classifier_keeps_its_labels(observe: Observe) -> None:
    """1.4.2: num_labels outputs before and after, though the width behind them is halved."""
    pruned = observe("1.4.2")
    assert len(pruned.kept["labels"]) == pruned.sizes["labels"] == Model().labels
    assert len(pruned.kept["width"]) == pruned.sizes["width"] // 2
    assert pruned.output_shape == (1, Model().labels)
