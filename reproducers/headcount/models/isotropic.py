"""A ViT of equal blocks. Its layers are found by what they are, not by their names.

Each block has three projections that attention reads, one that it writes, and an MLP of two layers. The registry
names the classes of transformers to build. Where a family differs, its adapter overrides what differs.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import transformers
from torch import Generator, Tensor, nn, randn

from headcount.models import Family, Model

#: Names of the three projections, which may be one layer, by the first one's.
_PROJECTIONS = {
    "query": ("query", "key", "value"),
    "q_proj": ("q_proj", "k_proj", "v_proj"),
    "qkv": ("qkv", "qkv", "qkv"),
}


class Number(Enum):
    """What an attribute of attention counts."""

    HEADS = auto()
    HEAD_DIM = auto()
    CHANNELS = auto()


#: Names that attention has for its own sizes, and what each is.
ATTRIBUTES: Mapping[str, Number] = {
    "num_attention_heads": Number.HEADS,
    "num_heads": Number.HEADS,
    "attention_head_size": Number.HEAD_DIM,
    "head_dim": Number.HEAD_DIM,
    "all_head_size": Number.CHANNELS,
    "embed_dim": Number.CHANNELS,
    "kdim": Number.CHANNELS,
    "vdim": Number.CHANNELS,
}


@dataclass(frozen=True)
class Block:
    """One transformer block's prunable layers.

    Attributes:
        layer: the whole block.
        attention: the module that carries the head count.
        query, key, value: the projections; they may be one layer, or the whole attention.
        out: the attention's output projection.
        fc1, fc2: the MLP's layers.
        reduction: what keys and values are read through: a convolution and a norm of its output.
        gate: what each channel of fc1 is multiplied by, a layer; fc1 itself where one half of it gates the other.
        depthwise: convolutions that read and write each channel of the MLP by itself.
        biases: what the attention itself adds to queries, keys or values: `q` and the parameter's name.
        reads_condition: keys and values are read from another input, whose channels stay.
        modulation: the layer that makes scales and shifts of the width, once for each that it makes.
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
    gate: tuple[nn.Module, ...] = ()
    depthwise: tuple[nn.Module, ...] = ()
    biases: tuple[tuple[str, str], ...] = ()
    reads_condition: bool = False
    modulation: tuple[nn.Module, ...] = ()

    @property
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """The layers of queries, keys and values."""
        return self.query, self.key, self.value

    @property
    def residual_outputs(self) -> tuple[nn.Module, nn.Module]:
        """The layers that write the residual stream, as a user names them."""
        return (self.attention if self.query is self.attention else self.out), self.fc2


class Adapter:
    """Builds a family's network, calls it, and finds what pruning changes."""

    #: How the class with a classifier ends.
    classifies = "ForImageClassification"

    def __init__(self, family: Family) -> None:
        self.family, self.fixed = family, dict(family.fixed)

    def named(self, suffix: str) -> Any:
        """Return the family's class of transformers with this ending: `Config`, `Model`, `ForImageClassification`.

        Raises:
            ImportError: the transformers that is installed does not have it.
        """
        name = self.family.prefix + suffix
        if not hasattr(transformers, name):
            raise ImportError(f"this transformers has no {name}")
        return getattr(transformers, name)

    def numbers(self, model: Model) -> dict[str, Any]:
        """Return a model's numbers, without the labels, under the config's names."""
        return {
            "hidden_size": model.width,
            "num_hidden_layers": model.layers,
            "num_attention_heads": model.heads,
            "intermediate_size": model.mlp,
            "image_size": model.image,
            "patch_size": model.patch,
        }

    def arguments(self, model: Model) -> dict[str, Any]:
        """Return what the config is made with. It leaves open whether the network has a classifier."""
        return {**self.numbers(model), **self.fixed, "num_labels": model.labels}

    def config(self, model: Model) -> Any:
        """Return the config of transformers."""
        return self.named("Config")(**self.arguments(model))

    def build(self, model: Model) -> nn.Module:
        """Return the network, in evaluation mode, with the weights that transformers draws."""
        kind: type[nn.Module] = self.named(self.classifies if model.labels else "Model")
        pools = "add_pooling_layer" in inspect.signature(kind).parameters
        return kind(self.config(model), **({"add_pooling_layer": False} if pools else {})).eval()

    def inputs(self, model: Model) -> Any:
        """Return the example inputs, a tensor or a dictionary of them: one image, (1, 3, image, image)."""
        return randn(1, 3, model.image, model.image, generator=Generator().manual_seed(1))

    def call(self, net: Callable[..., Any], given: Any) -> Tensor:
        """Return the output of a forward pass.

        Returns:
            Logits, (1, labels); of a bare network the last block's tokens, (1, tokens, width).
        """
        answer = net(**given) if isinstance(given, dict) else net(given)
        # In what transformers returns, either comes first. A network of our own returns the tensor.
        output: Tensor = answer if isinstance(answer, Tensor) else answer[0]
        return output

    def classifier(self, net: nn.Module) -> nn.Linear | None:
        """Return the layer with one output per label; None for a bare backbone."""
        head = getattr(net, "classifier", None) or getattr(net, "lm_head", None)
        return head if isinstance(head, nn.Linear) else None

    def pooler(self, net: nn.Module) -> nn.Linear | None:
        """Return the layer that the classifier reads a token through; None where there is none."""
        return next((m for name, m in net.named_modules() if name.endswith("pooler.dense")), None)

    def ignored(self, net: nn.Module) -> list[nn.Module]:
        """Return what a user puts into `ignored_layers`: the classifier, as upstream's examples do."""
        head = self.classifier(net)
        return [] if head is None else [head]

    def blocks(self, net: nn.Module) -> list[Block]:
        """Return the transformer blocks in order, found by their q/k/v projections."""
        modules = dict(net.named_modules())
        return [
            # Of `encoder.layer.0.attention.self`, the block is `encoder.layer.0`: a member of a list.
            _block(modules[re.sub(r"\.\D*$", "", attention)], modules[attention], _PROJECTIONS[name])
            for attention, _, name in (path.rpartition(".") for path in modules)
            if name in _PROJECTIONS
        ]

    def set_heads(self, block: Block, heads: int) -> None:
        """Set the attention's head count, as upstream's examples/transformers/prune_hf_vit.py does.

        Raises:
            ZeroDivisionError: `heads` is 0.
        """
        width = block.out.in_features
        numbers = {Number.HEADS: heads, Number.HEAD_DIM: width // heads, Number.CHANNELS: width}
        for name, number in ATTRIBUTES.items():
            if hasattr(block.attention, name):
                setattr(block.attention, name, numbers[number])

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:
        """Return the further arguments of MetaPruner in upstream's example for the family."""
        raise NotImplementedError(f"upstream has no example for {type(net).__name__}, of {pruning.__name__}")

    def set_sizes(self, net: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        """Set the network's own copies of its parameters' sizes; the parameters are given by name."""


def linears(module: nn.Module) -> Iterator[nn.Linear]:
    """Yield the linear layers, in order, without those of an MLP in one piece, as Swin v2 makes its biases with."""
    for child in module.children():
        if isinstance(child, nn.Linear):
            yield child
        elif not isinstance(child, nn.Sequential):
            yield from linears(child)


def _block(layer: nn.Module, attention: nn.Module, names: tuple[str, str, str]) -> Block:
    query, key, value = (getattr(attention, name) for name in names)
    # What else reads or writes the width, in the order of the forward pass: the output projection and the MLP's.
    out, fc1, *gate, fc2 = (
        module
        for module in linears(layer)
        if all(module is not other for other in (query, key, value))
        and query.in_features in (module.in_features, module.out_features)
    )
    if fc1.out_features == 2 * fc2.in_features:
        gate = [fc1]
    depthwise = tuple(m for m in layer.modules() if isinstance(m, nn.Conv2d) and m.groups == fc1.out_features > 1)
    biases = tuple((name, f"{name}_bias") for name in "qkv" if hasattr(attention, f"{name}_bias"))
    return Block(
        layer, attention, query, key, value, out, fc1, fc2, gate=tuple(gate), depthwise=depthwise, biases=biases
    )
