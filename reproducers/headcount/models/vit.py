"""ViT of transformers 4 and 5: build one, and find its attention by what it has, not what it is called."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

from headcount.models import Model

#: How the lines of transformers name the three projections: 4.x, then 5.x.
_PROJECTIONS = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"))


@dataclass(frozen=True)
class Block:
    """One transformer block's prunable layers.

    `attention` is the module that carries the head count; `out` the attention's output projection.
    """

    attention: nn.Module
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out: nn.Linear
    fc1: nn.Linear
    fc2: nn.Linear


def build(model: Model) -> nn.Module:
    """The network, in evaluation mode, with whatever weights transformers draws."""
    config = ViTConfig(  # type: ignore[no-untyped-call]
        hidden_size=model.width,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        intermediate_size=model.mlp,
        image_size=model.image,
        patch_size=model.patch,
        num_labels=model.labels,
    )
    net: nn.Module = ViTForImageClassification(config)
    return net.eval()


def classifier(net: nn.Module) -> nn.Linear:
    """The layer with one output per label."""
    head = net.get_submodule("classifier")
    assert isinstance(head, nn.Linear)
    return head


def blocks(net: nn.Module) -> list[Block]:
    """The transformer blocks in order, found by their q/k/v projections."""
    return [_block(layer) for layer in _layers(net)]


def logits(net: nn.Module, pixels: Tensor) -> Tensor:
    """The classifier's output, (batch, labels)."""
    output: Tensor = net(pixels).logits
    return output


def set_heads(block: Block, heads: int) -> None:
    """Tell the attention its new head count, as upstream's examples/transformers/prune_hf_vit.py does.

    Raises:
        ZeroDivisionError: `heads` is 0.
    """
    width = block.query.out_features
    attention = block.attention
    attention.num_attention_heads = heads  # type: ignore[assignment]
    for name, value in (
        ("attention_head_size", width // heads),
        ("head_dim", width // heads),
        ("all_head_size", width),
    ):
        if hasattr(attention, name):
            setattr(attention, name, value)


def _layers(net: nn.Module) -> Iterator[nn.Module]:
    """The encoder's layers: the members of the one ModuleList whose members hold attention."""
    for module in net.modules():
        if isinstance(module, nn.ModuleList) and all(_attention(layer) is not None for layer in module):
            yield from module


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
    inner = {id(module) for module in (query, key, value)}
    # What is left, in the order of the forward pass: the output projection and the MLP's two.
    out, fc1, fc2 = (m for m in layer.modules() if isinstance(m, nn.Linear) and id(m) not in inner)
    return Block(attention, query, key, value, out, fc1, fc2)
