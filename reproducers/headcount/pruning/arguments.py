"""The call: a config's arguments for MetaPruner, with modules for roles, and the criterion with what it feeds on."""

from collections.abc import Callable, Mapping, Sequence
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
    """MetaPruner's keyword arguments: only those that differ from its defaults.

    Args:
        always: the layers ignored whatever the config.
    """

    def modules(role: str) -> tuple[nn.Module, ...]:
        name, _, index = role.partition(".")
        if name == "residual_outputs":
            return tuple(layer for block in blocks for layer in block.residual_outputs)
        block = blocks[int(index)]
        found: dict[str, tuple[nn.Module, ...]] = {
            "attention": (block.attention,),
            "query": (block.query,),
            "qkv": (block.query, block.key, block.value),
            "mlp": (block.fc1,),
        }
        return found[name]

    def keyed(ratios: tuple[tuple[Scope, Fraction], ...]) -> dict[Any, float]:
        scopes = [(tuple(m for role in scope for m in modules(role)), ratio) for scope, ratio in ratios]
        return {scope if len(scope) > 1 else scope[0]: float(ratio) for scope, ratio in scopes}

    arguments: dict[str, Any] = {name: _number(value) for name, value in config.departures().items()}
    ignored = [layer for role in config.ignored_layers for layer in modules(role)]
    arguments |= {"ignored_layers": [*always, *ignored], "num_heads": num_heads}
    if config.one_shot:
        arguments["iterative_pruning_ratio_scheduler"] = one_shot
    for name in ("head_pruning_ratio_dict", "pruning_ratio_dict"):
        if getattr(config, name):
            arguments[name] = keyed(getattr(config, name))
    return arguments


def one_shot(ratio: float, steps: int) -> list[float]:
    """Each step's share of the whole, the state before the first included: all of it at once."""
    return [0.0, *[ratio] * steps]


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Fraction) else value


def criterion(pruning: ModuleType, criterion: Criterion, model: Model) -> Any:
    """The criterion's object, by whichever name the build has for it.

    Raises:
        AttributeError: the build has no such criterion.
    """
    if criterion is Criterion.CONSTANT:
        return _indifferent
    names, arguments = CONSTRUCTED[criterion]
    found = next((name for name in names if hasattr(pruning.importance, name)), names[-1])
    return getattr(pruning.importance, found)(**arguments, **_of_the_model(criterion, model))


def _of_the_model(criterion: Criterion, model: Model) -> dict[str, int]:
    """What a criterion is told of the model."""
    return {"num_classes": model.labels} if criterion is Criterion.OBDC else {}


def _indifferent(group: Any, **_: Any) -> Tensor:
    """A criterion of a user's own: "importance (Callable): importance estimator". All channels are alike to it."""
    return torch.ones(len(group[0][1]))


def _plant_gradients(net: nn.Module) -> None:
    """Gradients equal to the weights, so that |w * dw| ranks as the planted importance does."""
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = parameter.detach().clone()


def _feed_taylor(_importance: Any, _pruner: Any, net: nn.Module, _given: Any, _family: Any) -> None:
    _plant_gradients(net)


def _feed_hessian(importance: Any, _pruner: Any, net: nn.Module, _given: Any, _family: Any) -> None:
    importance.zero_grad()
    _plant_gradients(net)
    importance.accumulate_grad(net)


def _feed_obdc(importance: Any, pruner: Any, net: nn.Module, given: Any, family: Any) -> None:
    importance._prepare_model(net, pruner)  # noqa: SLF001 - upstream's reproduce/main.py calls it so
    output = family.call(net, given)
    nn.functional.cross_entropy(output, output.argmax(1)).backward()  # type: ignore[no-untyped-call]
    importance.step()
    importance._rm_hooks(net)  # noqa: SLF001 - likewise


def _feed_activation(importance: Any, _pruner: Any, net: nn.Module, given: Any, family: Any) -> None:
    with importance.compute_importance(net):
        family.call(net, given)


def sparsen(pruner: Any, net: nn.Module) -> None:
    """A step of training towards sparse weights, as README's Sparse Training has it, up to the optimiser's.

    Its beginning came with 1.3.5. It changes gradients and nothing else.
    """
    _plant_gradients(net)
    if hasattr(pruner, "update_regularizer"):
        pruner.update_regularizer()
    pruner.regularize(net)


FEEDERS: Mapping[Criterion, Callable[[Any, Any, nn.Module, Any, Any], None]] = {
    Criterion.TAYLOR: _feed_taylor,
    Criterion.HESSIAN: _feed_hessian,
    Criterion.FIRST: _feed_taylor,
    Criterion.LAST: _feed_hessian,
    Criterion.OBDC: _feed_obdc,
    Criterion.ACTIVATION: _feed_activation,
}
