"""What is done before a step, as upstream's README has it."""

import pytest
from torch import nn

from headcount.pruning import arguments


class Pruner:
    """A pruner that makes weights sparse, and notes what is called."""

    def __init__(self, beginning: str) -> None:
        self.called: list[str] = []
        if beginning:
            setattr(self, beginning, lambda: self.called.append(beginning))

    def regularize(self, _: nn.Module) -> None:
        self.called.append("regularize")


@pytest.mark.parametrize(
    ("version", "beginning"), [("1.3.4", ""), ("1.4.1", "update_regularizor"), ("1.4.2", "update_regularizer")]
)
def test_sparse_training_begins_by_the_name_that_a_release_has(
    monkeypatch: pytest.MonkeyPatch, version: str, beginning: str
) -> None:
    """It came with 1.3.5, and was spelt otherwise up to 1.4.1."""
    monkeypatch.setattr(arguments, "version", lambda _: version)
    arguments._beginning.cache_clear()  # noqa: SLF001 - it knows the release of this process
    pruner = Pruner(beginning)
    arguments.sparsen(pruner, nn.Linear(2, 2))
    arguments._beginning.cache_clear()  # noqa: SLF001
    assert pruner.called == [*filter(None, [beginning]), "regularize"]
