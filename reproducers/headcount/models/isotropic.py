"""A ViT of equal blocks, whatever its family: found by what its layers have and do, not by what they are called.

Each block has three projections that attention reads, one that it writes, and an MLP of two layers. A family's own
file has an `ADAPTER`: it says which classes of transformers to build, and what is otherwise.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headcount.models import Model

#: What the three projections are called.
_PROJECTIONS = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"))

#: What attention calls the number of heads, the channels of one, and those of all.
_HEADS = ("num_attention_heads", "num_heads")
_HEAD_DIM = ("attention_head_size", "head_dim")
_ALL_DIMS = ("all_head_size", "embed_dim")


@dataclass(frozen=True)
class Block:
    """One transformer block's prunable layers.

    `attention` is the module that carries the head count; `out` the attention's output projection. A projection
    may have no bias, and be one layer with the others, or with all attention. `layer` is all of it; `reduction` what
    keys and values are read through: a convolution and a norm of its output.
    """

    layer: nn.Module
    attention: nn.Module
    query: nn.Module
    key: nn.Module
    value: nn.Module
    out: nn.Linear
    fc1: nn.Linear
    fc2: nn.Linear
    reduction: tuple[nn.Module, ...] = ()

    @property
    def residual_outputs(self) -> tuple[nn.Module, nn.Module]:
        """What writes the residual stream, as a user would name it."""
        return (self.attention if self.query is self.attention else self.out), self.fc2


class Isotropic:
    """How to build a family's network, call it, and find and change what pruning is about."""

    def __init__(self, config: Any, classifier: Any, bare: Any, **fixed: Any) -> None:
        """Of classes of transformers.

        Args:
            classifier: the network with an image classifier; None if the family has none.
            bare: the network without.
            fixed: what the config is told of each model.
        """
        self._config, self._classifier, self._bare, self._fixed = config, classifier, bare, fixed

    def numbers(self, model: Model) -> dict[str, Any]:
        """A model's numbers under the names that the config has for them, the labels aside."""
        return {
            "hidden_size": model.width,
            "num_hidden_layers": model.layers,
            "num_attention_heads": model.heads,
            "intermediate_size": model.mlp,
            "image_size": model.image,
            "patch_size": model.patch,
        }

    def build(self, model: Model) -> nn.Module:
        """The network, in evaluation mode, with whatever weights transformers draws."""
        numbers = self.numbers(model) | self._fixed
        if model.labels:
            return evaluating(self._classifier(self._config(**numbers, num_labels=model.labels)))
        config = self._config(**numbers)
        pools = "add_pooling_layer" in inspect.signature(self._bare).parameters
        return evaluating(self._bare(config, add_pooling_layer=False) if pools else self._bare(config))

    def inputs(self, model: Model) -> Any:
        """What the network is called with, a tensor or a dictionary of them: one image, (1, 3, image, image)."""
        return torch.randn(1, 3, model.image, model.image, generator=torch.Generator().manual_seed(1))

    def output(self, answer: Any) -> Tensor:
        """What a network says: logits, (1, labels), or of a bare one the last block's tokens, (1, tokens, width)."""
        found: Tensor = answer.logits if hasattr(answer, "logits") else answer.last_hidden_state
        return found

    def call(self, net: nn.Module, given: Any) -> Tensor:
        """A forward pass."""
        return self.output(net(**given) if isinstance(given, dict) else net(given))

    def classifier(self, net: nn.Module) -> nn.Linear | None:
        """The layer with one output per label; None of a bare backbone."""
        head = getattr(net, "classifier", None)
        return head if isinstance(head, nn.Linear) else None

    def ignored(self, net: nn.Module) -> list[nn.Module]:
        """What a user puts into `ignored_layers`: the classifier, as upstream's examples do."""
        head = self.classifier(net)
        return [] if head is None else [head]

    def blocks(self, net: nn.Module) -> list[Block]:
        """The transformer blocks in order, found by their q/k/v projections."""
        return [_block(layer) for layer in _layers(net)]

    def set_heads(self, block: Block, heads: int) -> None:
        """Tell the attention its new head count, as upstream's examples/transformers/prune_hf_vit.py does.

        Raises:
            ZeroDivisionError: `heads` is 0.
        """
        width = block.out.in_features
        for names, value in ((_HEADS, heads), (_HEAD_DIM, width // heads), (_ALL_DIMS, width)):
            for name in names:
                if hasattr(block.attention, name):
                    setattr(block.attention, name, value)

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:
        """What upstream's example for the family tells the pruner besides: arguments of MetaPruner."""
        raise NotImplementedError(f"upstream has no example for {type(net).__name__}, of {pruning.__name__}")

    def settle(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Tell the network what else it keeps of the sizes of its parameters, which are given by name."""


def evaluating(net: nn.Module) -> nn.Module:
    """The network, in evaluation mode."""
    return net.eval()


def _layers(net: nn.Module) -> Iterator[nn.Module]:
    """The encoder's layers: the members of the innermost ModuleLists whose members all hold attention."""
    for module in net.modules():
        if _is_stack(module) and not any(_is_stack(inner) for inner in module.modules() if inner is not module):
            yield from module.children()


def _is_stack(module: nn.Module) -> bool:
    layers = list(module.children()) if isinstance(module, nn.ModuleList) else []
    return bool(layers) and all(_attention(layer) is not None for layer in layers)


def _attention(layer: nn.Module) -> nn.Module | None:
    for module in layer.modules():
        if any(hasattr(module, names[0]) for names in _PROJECTIONS):
            return module
    return None


def _block(layer: nn.Module) -> Block:
    attention = _attention(layer)
    assert attention is not None
    query, key, value = next(
        tuple(getattr(attention, name) for name in names) for names in _PROJECTIONS if hasattr(attention, names[0])
    )
    width = query.in_features
    # What else reads or writes the width, in the order of the forward pass: the output projection and the MLP's two.
    out, fc1, fc2 = (
        module
        for module in layer.modules()
        if isinstance(module, nn.Linear)
        and all(module is not other for other in (query, key, value))
        and width in (module.in_features, module.out_features)
    )
    return Block(layer, attention, query, key, value, out, fc1, fc2)
