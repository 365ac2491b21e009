"""What the output of a pruned network should be: the dense network's, with the removed parts masked or sliced away."""

import math
from functools import cache

import torch

from headcount.models import Model, adapter
from headcount.pruning.network import axes, copied, dense, inputs, originals
from headcount.pruning.trace import Kept, dense_sizes, read_axes


def gap(output: torch.Tensor, model: Model, kept: Kept) -> float | None:
    """Return the largest difference to the dense network's output without the removed parts.

    Returns:
        The difference relative to the largest logit, or None if what is left is no network.
    """
    if kept.keys() != dense_sizes(model).keys() or len(kept.get("labels", ())) != model.labels:
        return None
    reference = _reference(model, tuple(kept.items()))
    if reference is None or reference.shape != output.shape:
        return None
    difference = float((reference - output).abs().max() / reference.abs().max())
    return math.inf if math.isnan(difference) else difference


def runs(model: Model, kept: Kept) -> bool:
    """Return whether the dense weights at these indices make a network that runs, or make none at all."""
    try:
        if kept.keys() == dense_sizes(model).keys():
            _sliced(model, kept)
    except Exception:  # noqa: BLE001 - a model's own code may raise anything
        return False
    return True


@cache
def _reference(model: Model, kept: tuple[tuple[str, tuple[int, ...]], ...]) -> torch.Tensor | None:
    """Return the logits of what should be left. Many calls leave the same, so they are kept.

    Where the width is whole, the removed heads and neurons are masked in the dense network itself. Where it
    is not, that would change every norm, and fewer dims may change what a family divides attention's logits
    by: there a network of the size that is left gets the dense weights at the surviving indices.
    """
    left = dict(kept)
    whole = all(
        len(left[f"q.{index}"]) == model.head_dim * len({row // model.head_dim for row in left[f"q.{index}"]})
        for index in range(model.layers)
    )
    wide = all(len(left[dimension]) == width for dimension, width in model.widths.items())
    return _masked(model, left) if whole and wide else _sliced(model, left)


def _masked(model: Model, kept: Kept) -> torch.Tensor:
    """Return the dense network's logits without what is gone.

    A removed head contributes nothing once its columns of the output projection are zero; so with a neuron.
    """
    sizes, masked = dense_sizes(model), dict(originals(model))
    for name, named in read_axes(model).items():
        for dim, axis in enumerate(named):
            gone = [
                start * sizes[dimension] + index
                for start, dimension in enumerate(axis)
                if dimension not in model.widths and dimension != "labels"
                for index in set(range(sizes[dimension])) - set(kept[dimension])
            ]
            if gone:
                masked[name] = masked[name].index_fill(dim, torch.tensor(sorted(gone)), 0.0)
    return _logits(dense(model), masked, model)


def _sliced(model: Model, kept: Kept) -> torch.Tensor | None:
    """Return the logits of a network of the size that is left; None if its blocks have no whole number of heads."""
    net, family = copied(model, shares=True), adapter(model.family)
    for index, block in enumerate(family.blocks(net)):
        rows = len(kept[f"q.{index}"])
        heads = len({row // model.head_dim for row in kept[f"q.{index}"]})
        if rows % heads:
            return None
        block.out.in_features = rows  # what a family takes for the width of attention
        family.set_heads(block, heads)
    sizes, left = dense_sizes(model), dict(originals(model))
    for name, named in axes(dense(model), model).items():
        for dim, axis in enumerate(named):
            if axis:  # also where the output does not depend on it
                survivors = [start * sizes[part] + index for start, part in enumerate(axis) for index in kept[part]]
                left[name] = left[name].index_select(dim, torch.tensor(survivors))
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.normalized_shape = tuple(left[f"{name}.weight"].shape)
        elif isinstance(module, torch.nn.Conv2d) and module.groups > 1:
            module.groups = left[f"{name}.weight"].shape[0]
    family.set_sizes(net, left)
    return _logits(net, left, model)


def _logits(net: torch.nn.Module, parameters: dict[str, torch.Tensor], model: Model) -> torch.Tensor:
    with torch.no_grad():
        output: torch.Tensor = adapter(model.family).call(
            lambda *given, **named: torch.func.functional_call(net, parameters, given, named), inputs(model)
        )
    return output
