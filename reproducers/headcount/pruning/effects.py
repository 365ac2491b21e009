"""What pruning must leave alone besides the weights, before and after."""

from torch import nn

from headcount.observation import Aspect, SideEffect

State = dict[tuple[str, Aspect], object]


def state(net: nn.Module) -> State:
    """Return what pruning must not change, beyond the weights."""
    found: State = {}
    for name, parameter in net.named_parameters():
        found[name, Aspect.REQUIRES_GRAD] = parameter.requires_grad
        found[name, Aspect.DTYPE] = parameter.dtype
    for name, module in net.named_modules():
        found[name or "model", Aspect.TRAINING] = module.training
        found[name or "model", Aspect.HOOKS] = len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001 - no public way
    return found


def changes(before: State, after: State) -> list[SideEffect]:
    """Return what differs of what is still there."""
    changed = [key for key, value in before.items() if key in after and after[key] != value]
    return [SideEffect(*key, repr(before[key]), repr(after[key])) for key in changed]
