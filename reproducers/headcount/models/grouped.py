"""Grouped-query attention: several heads of queries read one of keys and values, repeated for them."""

from torch import Tensor, nn
from transformers.integrations.sdpa_attention import repeat_kv

from headcount.models import own
from headcount.models.model import Model


class Attention(nn.Module):
    """Multi-head attention with fewer heads of keys and values than of queries."""

    def __init__(self, model: Model) -> None:
        """Build attention as wide as the residual stream."""
        super().__init__()
        self.num_heads, self.head_dim = model.heads, model.head_dim
        self.q_proj = nn.Linear(model.width, model.width)
        self.k_proj, self.v_proj = (nn.Linear(model.width, model.kv_heads * model.head_dim) for _ in "kv")
        self.o_proj = nn.Linear(model.width, model.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        batch, count, _ = tokens.shape
        q, k, v = (
            projection(tokens).view(batch, count, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = (repeat_kv(states, self.num_heads // states.shape[1]) for states in (k, v))
        weights = (q @ k.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
        read: Tensor = self.o_proj((weights @ v).transpose(1, 2).flatten(2))
        return read


class Adapter(own.Adapter):
    """Builds the network with this attention."""

    def attend(self, model: Model) -> nn.Module:
        """Return the attention of one block."""
        return Attention(model)
