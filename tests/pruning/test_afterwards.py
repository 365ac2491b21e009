"""What a user does next: it works on every dense network, or the network itself cannot do it."""

import pytest
import torch

from headcount.matrix import Then
from headcount.models import Model, small
from headcount.observation import Problem
from headcount.pruning import afterwards, network
from headcount.pruning.afterwards import Network

ALONE = [t for t in Then if t in afterwards._ACTS.keys() - {Then.TP_STATE_DICT, Then.GRAPH}]  # noqa: SLF001 - what is done


def before(whole: Network) -> torch.Tensor:
    with torch.no_grad():
        return whole.output()


@pytest.mark.filterwarnings("ignore")  # as in the isolated process: torch.jit warns
@pytest.mark.parametrize("then", ALONE)
@pytest.mark.parametrize("family", ["vit", "vit_mae"])  # called with a tensor, and with several by name
def test_nothing_is_wrong_with_a_network_that_no_pruner_has_seen(then: Then, family: str) -> None:
    whole = Network(model := small(family), network.copied(model))
    done = afterwards.use(then, whole, before(whole))
    assert (done.failure, done.cannot, done.names) == (None, "", ())
    assert done.gap <= 1e-5


def test_what_the_dense_network_cannot_do_is_held_against_nobody() -> None:
    whole = Network(model := small("pvt"), network.copied(model))
    done = afterwards.use(Then.ATTENTION, whole, before(whole))
    assert done.cannot
    assert done.failure is None


def test_a_number_that_is_none_is_the_largest_gap() -> None:
    """A training step that leaves no numbers, and a batch of another shape."""
    whole = Network(Model(), network.copied(Model()))
    given = before(whole)
    assert afterwards._gap(given[:, :1], given) == torch.inf  # noqa: SLF001 - the measure itself
    assert afterwards._gap(given * torch.nan, given) == torch.inf  # noqa: SLF001 - as above


def test_what_a_file_does_not_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Network(Model(), network.copied(Model()))
    given = before(whole)
    assert not afterwards.use(Then.SAVE_PRETRAINED, whole, given).names
    whole.net.register_buffer("not_saved", torch.ones(1), persistent=True)
    monkeypatch.setattr(whole.net, "save_pretrained", lambda _folder: None)
    done = afterwards.use(Then.SAVE_PRETRAINED, whole, given)
    assert done.problem is Problem.NOT_SAVED
    assert {"config.json", "not_saved", "classifier.weight"} <= set(done.names)


def test_a_network_that_raises_is_a_failure() -> None:
    whole = Network(Model(), network.copied(Model()))
    given = before(whole)
    whole.net.register_full_backward_hook(lambda *_: None)
    failure = afterwards.use(Then.SAVE, whole, given).failure
    assert failure is not None
