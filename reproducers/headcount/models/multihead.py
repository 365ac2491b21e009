"""PyTorch's own attention, as torchvision's ViT has it: one layer, whose channels are those of the residual stream."""

from typing import Any

from torch import Tensor, nn

from headcount.models import Model
from headcount.models.isotropic import Block
from headcount.models.own import Layer, Own


class SelfAttention(nn.MultiheadAttention):
    """Called with one input for three."""

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """(batch, tokens, width), twice."""
        read: Tensor = super().forward(tokens, tokens, tokens, need_weights=False)[0]
        return read


class _Multihead(Own):
    def blocks(self, net: nn.Module) -> list[Block]:
        """The blocks in order; the layer holds all three projections, and is what a user names."""
        return [
            Block(layer, layer.attn, *(layer.attn,) * 3, layer.attn.out_proj, layer.fc1, layer.fc2)
            for layer in net.modules()
            if isinstance(layer, Layer) and isinstance(layer.attn, nn.MultiheadAttention)
        ]

    def set_heads(self, block: Block, heads: int) -> None:
        """Tell the attention its new head count, and its channels, which the layer takes for the width."""
        attention, width = block.attention, block.out.in_features
        assert isinstance(attention, nn.MultiheadAttention)
        attention.num_heads, attention.head_dim = heads, width // heads
        attention.embed_dim = attention.kdim = attention.vdim = width

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:  # noqa: ARG002 - it is alike in all builds
        """The layer as one with groups of channels, as in upstream's examples/torchvision_models, in place of heads."""
        groups = {block.attention: block.attention.num_heads for block in self.blocks(net)}
        return {"num_heads": {}, "out_channel_groups": groups}


def _attention(model: Model) -> nn.Module:
    return SelfAttention(model.width, model.heads, batch_first=True)


ADAPTER = _Multihead(_attention)
