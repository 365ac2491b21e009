"""The call: a config's arguments for the pruner, with modules in place of names, and its importance criterion."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from headcount.matrix.config import CONSTRUCTED, Config, Criterion, Scope
from headcount.models import Model


def arguments(
    config: Config, blocks: Sequence[Any], always: Sequence[nn.Module], num_heads: dict[nn.Module, int]
) -> dict[str, Any]:
    """Return MetaPruner's keyword arguments, only those that differ from its defaults.

    Args:
        always: the layers ignored whatever the config.
    """

    def keyed(ratios: tuple[tuple[Scope, Fraction], ...]) -> dict[Any, float]:
        scopes = [(tuple(m for name in scope for m in _modules(name, blocks)), ratio) for scope, ratio in ratios]
        return {scope if len(scope) > 1 else scope[0]: float(ratio) for scope, ratio in scopes}

    departures = config.departures().items()
    found = {name: float(value) if isinstance(value, Fraction) else value for name, value in departures}
    ignored = [layer for name in config.ignored_layers for layer in _modules(name, blocks)]
    found |= {"ignored_layers": [*always, *ignored], "num_heads": num_heads}
    if config.one_shot:
        found["iterative_pruning_ratio_scheduler"] = _one_shot
    for name in ("head_pruning_ratio_dict", "pruning_ratio_dict"):
        if getattr(config, name):
            found[name] = keyed(getattr(config, name))
    return found


def _modules(name: str, blocks: Sequence[Any]) -> tuple[nn.Module, ...]:
    """Return the modules that a config names."""
    kind, _, index = name.partition(".")
    if kind == "residual_outputs":
        return tuple(layer for block in blocks for layer in block.residual_outputs)
    block = blocks[int(index)]
    return {
        "attention": (block.attention,),
        "query": (block.query,),
        "qkv": (block.query, block.key, block.value),
        "mlp": (block.fc1,),
    }[kind]


def _one_shot(ratio: float, steps: int) -> list[float]:
    """Return each step's share of the whole, the state before the first included: all of it at once."""
    return [0.0, *[ratio] * steps]


def criterion(pruning: ModuleType, criterion: Criterion, model: Model) -> Any:
    """Return the criterion's object, by the name that the build has for it.

    Raises:
        AttributeError: the build has no such criterion.
    """
    if criterion is Criterion.CONSTANT:
        return _constant
    names, given = CONSTRUCTED[criterion]
    found = next((name for name in names if hasattr(pruning.importance, name)), names[-1])
    of_the_model = {"num_classes": model.labels} if criterion is Criterion.OBDC else {}
    return getattr(pruning.importance, found)(**given, **of_the_model)


def _constant(group: Any, **_: Any) -> Tensor:
    """A criterion of a user's own: "importance (Callable): importance estimator". All channels are alike to it."""
    return torch.ones(len(group[0][1]))


def feed(criterion: Criterion, importance: Any, pruner: Any, net: nn.Module, forward: Callable[[], Tensor]) -> None:
    """Give a criterion what its documentation asks for, as upstream's examples do."""
    match criterion:
        case Criterion.TAYLOR | Criterion.FIRST:
            _set_gradients(net)
        case Criterion.HESSIAN | Criterion.LAST:
            importance.zero_grad()
            _set_gradients(net)
            importance.accumulate_grad(net)
        case Criterion.OBDC:
            importance._prepare_model(net, pruner)  # noqa: SLF001 - upstream's reproduce/main.py calls it so
            output = forward()
            nn.functional.cross_entropy(output, output.argmax(1)).backward()  # type: ignore[no-untyped-call]
            importance.step()
            importance._rm_hooks(net)  # noqa: SLF001 - as above
        case Criterion.ACTIVATION:
            with importance.compute_importance(net):
                forward()


def sparsen(pruner: Any, net: nn.Module) -> None:
    """Take a step of training towards sparse weights, as README's Sparse Training has it, without the optimiser's.

    Its beginning came with 1.3.5. It changes gradients and nothing else.
    """
    _set_gradients(net)
    if hasattr(pruner, "update_regularizer"):
        pruner.update_regularizer()
    pruner.regularize(net)


def _set_gradients(net: nn.Module) -> None:
    """Set gradients equal to the weights, so that |w * dw| ranks as the synthetic importance does."""
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = parameter.detach().clone()
