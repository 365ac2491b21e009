"""PyTorch's own attention, as torchvision's ViT has it: one layer, whose channels are those of the residual stream."""

from typing import Any

from torch import Tensor, nn

from headcount.models import own
from headcount.models.isotropic import Block
from headcount.models.model import Model


class SelfAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` on one input."""

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Map (batch, tokens, width) to the same shape."""
        read: Tensor = super().forward(tokens, tokens, tokens, need_weights=False)[0]
        return read


class Adapter(own.Adapter):
    """Builds the network with this attention, and names it as one layer."""

    def attend(self, model: Model) -> nn.Module:
        """Return the attention of one block."""
        return SelfAttention(model.width, model.heads, batch_first=True)

    def blocks(self, net: nn.Module) -> list[Block]:
        """Return the blocks in order; the layer holds all three projections, and is what a user names."""
        return [
            Block(layer, layer.attn, *(layer.attn,) * 3, layer.attn.out_proj, layer.fc1, layer.fc2)
            for layer in net.modules()
            if isinstance(layer, own.Layer) and isinstance(layer.attn, nn.MultiheadAttention)
        ]

    def set_heads(self, block: Block, heads: int) -> None:
        """Set the attention's head count, and its channels, which the layer takes for the width."""
        attention, width = block.attention, block.out.in_features
        assert isinstance(attention, nn.MultiheadAttention)
        attention.num_heads, attention.head_dim = heads, width // heads
        attention.embed_dim = attention.kdim = attention.vdim = width

    def documented(self, pruning: Any, net: nn.Module) -> dict[str, Any]:  # noqa: ARG002 - the same in all builds
        """Return groups of channels in the place of heads, as in upstream's examples/torchvision_models."""
        groups = {block.attention: block.attention.num_heads for block in self.blocks(net)}
        return {"num_heads": {}, "out_channel_groups": groups}
