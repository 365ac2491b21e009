"""The call: a config's arguments for the pruner, with modules in place of names, and its importance criterion."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from packaging.version import Version
from torch import Tensor, nn, ones

from headcount.matrix.config import CONSTRUCTED, LAYER_TYPES, OUTPUTS, Config, Criterion
from headcount.models import Model


def arguments(
    config: Config, blocks: Sequence[Any], always: Sequence[nn.Module], num_heads: dict[nn.Module, int]
) -> dict[str, Any]:
    """Return MetaPruner's keyword arguments, only those that differ from its defaults.

    Args:
        always: the layers ignored whatever the config.
    """
    found: dict[str, Any] = {
        name: float(value) if isinstance(value, Fraction) else value for name, value in config.keywords().items()
    }
    for name in found.keys() & {"head_pruning_ratio_dict", "pruning_ratio_dict"}:
        scopes = {_modules(scope, blocks): float(ratio) for scope, ratio in found[name].items()}
        found[name] = {scope if len(scope) > 1 else scope[0]: ratio for scope, ratio in scopes.items()}
    return found | {
        "ignored_layers": [*always, *_modules(config.ignored_layers, blocks)],
        "num_heads": num_heads,
    }


def _modules(names: Sequence[str], blocks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the modules, and the classes, that a config names."""
    named: dict[str, tuple[Any, ...]] = {name: (getattr(nn, name),) for name in LAYER_TYPES}
    attention, mlps = zip(*(block.residual_outputs for block in blocks), strict=True)
    named |= dict(zip(OUTPUTS, ((*attention, *mlps), attention, mlps), strict=True))
    for index, block in enumerate(blocks):
        named |= {
            f"attention.{index}": (block.attention,),
            f"query.{index}": (block.query,),
            f"qkv.{index}": block.projections,
            f"mlp.{index}": (block.fc1,),
            f"block.{index}": (block.layer,),
        }
    return tuple(module for name in names for module in named[name])


def criterion(pruning: ModuleType, criterion: Criterion, model: Model) -> Any:
    """Return the criterion's object, by the name that the build has for it.

    Raises:
        AttributeError: the build has no such criterion.
    """
    if criterion is Criterion.CONSTANT:
        return _constant
    names, given = CONSTRUCTED[criterion]
    found = next((name for name in names if hasattr(pruning.importance, name)), names[-1])
    classes = {"num_classes": model.labels} if criterion is Criterion.OBDC else {}
    return getattr(pruning.importance, found)(**given, **classes)


def _constant(group: Any, **_: Any) -> Tensor:
    """A criterion of a user's own: "importance (Callable): importance estimator". All channels are alike to it."""
    return ones(len(group[0][1]))


def feed(criterion: Criterion, importance: Any, pruner: Any, net: nn.Module, forward: Callable[[], Tensor]) -> None:
    """Give a criterion what its documentation calls for, as upstream's examples do."""
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

    Its beginning came with 1.3.5, and was called otherwise up to 1.4.1. It changes gradients and nothing else.
    """
    _set_gradients(net)
    if hasattr(pruner, name := _beginning()):
        getattr(pruner, name)()
    pruner.regularize(net)


@cache
def _beginning() -> str:
    """Return what the release calls it. Up to 1.4.1 MetaPruner has a method of the later name, which does nothing."""
    with suppress(PackageNotFoundError):
        if Version(version("torch-pruning")) < Version("1.4.2"):
            return "update_regularizor"
    return "update_regularizer"


def _set_gradients(net: nn.Module) -> None:
    """Set gradients as large as the weights, so that |w * dw| ranks as the synthetic importance does.

    None is negative, and half of the weights are: where products are added up before their size is taken, they cancel.
    """
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = parameter.detach().abs()
